//! ISAPI documents, both ends: what Hikvision and EZVIZ cameras and recorders say over HTTP.
//!
//! ISAPI is resources under `/ISAPI/`, read by GET and changed by PUT, with XML bodies and HTTP digest
//! on every request. Each document is declared once, as a plain type; reading and writing both come
//! from that declaration. What a device refuses, and every PUT, is answered by a [`ResponseStatus`],
//! not always under the HTTP status that fits.
//!
//! ```
//! use proto::isapi::{Document, PtzData};
//!
//! let left = PtzData { pan: -60, tilt: 0, zoom: 0 };
//! let sent = left.to_document();
//! assert_eq!(PtzData::parse(sent.as_bytes())?, left);
//! # Ok::<(), proto::isapi::Error>(())
//! ```
//!
//! Reading is lenient: any namespace or none, names in any case, unknown elements ignored. Only the
//! parts of a document that somebody here needs are declared. [`xml`](crate::xml) bounds what is read.
//!
//! Sources: Hikvision, Intelligent Security API (General Application) Developer Guide; ISAPI 2.0 PTZ
//! Service; what devices were seen to send where the two are silent.

#[macro_use]
mod declare;

pub mod path;
mod schema;

pub use declare::Content;
pub use schema::*;

use crate::xml::{self, Dialect, Element};

/// Namespace of documents of most firmware, and of those written here.
pub const NAMESPACE: &str = "http://www.hikvision.com/ver20/XMLSchema";
/// Content type of documents; older firmware refuses `text/xml`.
pub const CONTENT_TYPE: &str = "application/xml";

/// Written without prefixes: the namespace stands on the root as the default one.
const DIALECT: Dialect = Dialect { prefixes: &[], qnames: &[] };

/// Why a document was not what it had to be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// Not XML, or XML past a limit.
    #[error(transparent)]
    Xml(#[from] xml::Error),
    /// Another document than was waited for.
    #[error("unexpected document `{0}`")]
    Unexpected(String),
    /// The device says how it went instead of answering.
    #[error(transparent)]
    Status(Box<ResponseStatus>),
    /// A part that is needed is absent.
    #[error("`{0}` has no `{1}`")]
    Missing(String, &'static str),
    /// A value does not fit its type.
    #[error("`{0}` cannot be `{1}`")]
    Value(String, String),
}

/// Content with a name of its own: the body of a request or an answer.
pub trait Document: Content {
    /// Name of the root element.
    const NAME: &'static str;
    /// Another name some firmware has for it.
    const ALSO: Option<&'static str> = None;

    /// Reads a document.
    ///
    /// # Errors
    /// [`Error::Status`] if it is a [`ResponseStatus`] and that was not asked for.
    fn parse(document: &[u8]) -> Result<Self, Error> {
        let root = DIALECT.parse(document)?;
        if declare::is(&root, Self::NAME) || Self::ALSO.is_some_and(|name| declare::is(&root, name)) {
            return Self::read(&root);
        }
        if declare::is(&root, ResponseStatus::NAME) {
            return Err(Error::Status(Box::new(ResponseStatus::read(&root)?)));
        }
        Err(Error::Unexpected(root.name.chars().take(64).collect()))
    }

    /// Writes a document, with declaration and namespace: some firmware refuses it without.
    fn to_document(&self) -> String {
        let mut root = Element::new("", Self::NAME).with_attribute("version", "2.0").with_attribute("xmlns", NAMESPACE);
        self.write(&mut root);
        DIALECT.write(&root)
    }
}

#[cfg(test)]
mod tests;
