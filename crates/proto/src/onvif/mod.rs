//! ONVIF messages, both ends: what a client asks and a camera answers.
//!
//! Each operation is declared once, in the module of its service ([`device`], [`media`], [`media2`], [`ptz`],
//! [`imaging`], [`recording`], [`search`], [`replay`]), as a request type and a response type; reading and writing both come from that declaration, so element names,
//! namespaces and order stand in one place. A camera takes a [`Request`] from an
//! [`Envelope`](soap::Envelope) and answers with the response of the same operation; a client sends
//! any [`Operation`] and reads its `Response`.
//!
//! ```
//! use proto::onvif::{Request, ptz, soap::Envelope};
//!
//! let stop = ptz::Stop { profile_token: "main".into(), pan_tilt: Some(true), zoom: None };
//! let sent = Envelope::of(&stop).write();
//!
//! let heard = Envelope::parse(sent.as_bytes())?;
//! assert_eq!(Request::parse(&heard)?, Request::Ptz(ptz::Request::Stop(stop)));
//! let answer = Envelope::of(&ptz::StopResponse {}).write();
//!
//! let response: ptz::StopResponse = Envelope::parse(answer.as_bytes())?.response()?;
//! # Ok::<(), proto::onvif::Error>(())
//! ```
//!
//! Reading is lenient where cameras are known to be careless (a missing `UseCount`, `TRUE` for
//! `true`); writing follows the WSDLs to the letter.
//!
//! Sources: ONVIF Core, Media, Media2, PTZ, Imaging, Recording Control, Recording Search and Replay Control
//! service specifications 2.4 with their WSDLs; SOAP 1.2; WSS UsernameToken Profile 1.1; WS-Discovery of
//! April 2005; WS-BaseNotification 1.3.

#[macro_use]
mod declare;

pub mod device;
pub mod discovery;
pub mod imaging;
pub mod media;
pub mod media2;
pub mod ptz;
pub mod recording;
pub mod replay;
pub mod schema;
pub mod search;
pub mod security;
pub mod soap;

mod clock;

pub use clock::DateTimeError;
pub use declare::{Content, Message, Operation, Scalar};
pub use soap::{Envelope, Fault};

use crate::xml::{self, Element};

/// Namespace URIs, named by the prefixes of the ONVIF specifications.
pub mod ns {
    /// SOAP 1.2 envelope.
    pub const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
    /// SOAP 1.1 envelope, which ONVIF does not use.
    pub const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
    /// WS-Security extension.
    pub const WSSE: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
    /// WS-Security utility.
    pub const WSU: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
    /// WS-Addressing as WS-Discovery of 2005 uses it.
    pub const WSA: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
    /// WS-Addressing 1.0, which some clients add to requests.
    pub const WSA10: &str = "http://www.w3.org/2005/08/addressing";
    /// WS-Discovery, April 2005.
    pub const WSD: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery";
    /// ONVIF network types, for discovery.
    pub const DN: &str = "http://www.onvif.org/ver10/network/wsdl";
    /// Device management service.
    pub const TDS: &str = "http://www.onvif.org/ver10/device/wsdl";
    /// Media service, version 1.
    pub const TRT: &str = "http://www.onvif.org/ver10/media/wsdl";
    /// Media service, version 2.
    pub const TR2: &str = "http://www.onvif.org/ver20/media/wsdl";
    /// PTZ service.
    pub const TPTZ: &str = "http://www.onvif.org/ver20/ptz/wsdl";
    /// Imaging service.
    pub const TIMG: &str = "http://www.onvif.org/ver20/imaging/wsdl";
    /// Recording control service.
    pub const TRC: &str = "http://www.onvif.org/ver10/recording/wsdl";
    /// Recording search service.
    pub const TSE: &str = "http://www.onvif.org/ver10/search/wsdl";
    /// Replay control service.
    pub const TRP: &str = "http://www.onvif.org/ver10/replay/wsdl";
    /// WS-BaseNotification, of which events of the past are messages too.
    pub const WSNT: &str = "http://docs.oasis-open.org/wsn/b-2";
    /// Topics of events.
    pub const TNS1: &str = "http://www.onvif.org/ver10/topics";
    /// Common schema.
    pub const TT: &str = "http://www.onvif.org/ver10/schema";
    /// Error subcodes.
    pub const TER: &str = "http://www.onvif.org/ver10/error";
}

/// How SOAP documents of ONVIF and WS-Discovery are read and written.
pub const DIALECT: xml::Dialect = xml::Dialect {
    prefixes: &[
        ("s", ns::SOAP),
        ("wsse", ns::WSSE),
        ("wsu", ns::WSU),
        ("wsa", ns::WSA),
        ("wsa10", ns::WSA10),
        ("d", ns::WSD),
        ("dn", ns::DN),
        ("tds", ns::TDS),
        ("trt", ns::TRT),
        ("tr2", ns::TR2),
        ("tptz", ns::TPTZ),
        ("timg", ns::TIMG),
        ("trc", ns::TRC),
        ("tse", ns::TSE),
        ("trp", ns::TRP),
        ("wsnt", ns::WSNT),
        ("tns1", ns::TNS1),
        ("tt", ns::TT),
        ("ter", ns::TER),
    ],
    qnames: &[(ns::SOAP, "Value"), (ns::WSD, "Types"), (ns::WSNT, "Topic"), (ns::WSNT, "TopicExpression")],
};

/// Why a message was not what it had to be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// Not XML, or XML past a limit.
    #[error(transparent)]
    Xml(#[from] xml::Error),
    /// XML, but not a SOAP 1.2 envelope with a body.
    #[error("not a SOAP 1.2 message: {0}")]
    Envelope(&'static str),
    /// The other end answered with a fault.
    #[error(transparent)]
    Fault(Box<Fault>),
    /// The body holds something else than what was waited for.
    #[error("unexpected message `{0}`")]
    Unexpected(String),
    /// A header with `mustUnderstand` that nobody here does.
    #[error("header `{0}` is not understood")]
    Header(String),
    /// A part that the schema demands is absent.
    #[error("`{0}` has no `{1}`")]
    Missing(String, &'static str),
    /// A value does not fit its type.
    #[error("`{0}` cannot be `{1}`")]
    Value(String, String),
}

impl Error {
    /// The fault a camera answers with when a request fails so.
    ///
    /// Source: ONVIF Core 5.8.2 (SOAP fault messages).
    pub fn to_fault(&self) -> Fault {
        match self {
            Error::Xml(_) | Error::Envelope(_) => Fault::sender(&["WellFormed"], self.to_string()),
            Error::Fault(fault) => (**fault).clone(),
            Error::Unexpected(_) => Fault::receiver(&["ActionNotSupported"], self.to_string()),
            Error::Header(_) => Fault { code: soap::Code::MustUnderstand, ..Fault::sender(&[], self.to_string()) },
            Error::Missing(..) => Fault::sender(&["InvalidArgs"], self.to_string()),
            Error::Value(..) => Fault::sender(&["InvalidArgVal"], self.to_string()),
        }
    }
}

/// A request to any of the services.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// To device management.
    Device(device::Request),
    /// To the media service.
    Media(media::Request),
    /// To the media service, version 2.
    Media2(media2::Request),
    /// To the PTZ service.
    Ptz(ptz::Request),
    /// To the imaging service.
    Imaging(imaging::Request),
    /// To the recording control service.
    Recording(recording::Request),
    /// To the recording search service.
    Search(search::Request),
    /// To the replay control service.
    Replay(replay::Request),
}

impl Request {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if this crate does not know the operation, otherwise what is wrong with
    /// its arguments. [`Error::to_fault`] makes the answer.
    pub fn parse(envelope: &Envelope) -> Result<Self, Error> {
        let body = envelope.understood()?;
        match &*body.namespace {
            ns::TDS => device::Request::parse(body).map(Self::Device),
            ns::TRT => media::Request::parse(body).map(Self::Media),
            ns::TR2 => media2::Request::parse(body).map(Self::Media2),
            ns::TPTZ => ptz::Request::parse(body).map(Self::Ptz),
            ns::TIMG => imaging::Request::parse(body).map(Self::Imaging),
            ns::TRC => recording::Request::parse(body).map(Self::Recording),
            ns::TSE => search::Request::parse(body).map(Self::Search),
            ns::TRP => replay::Request::parse(body).map(Self::Replay),
            _ => Err(Error::Unexpected(body.name.to_string())),
        }
    }

    /// The body of the request.
    pub fn to_element(&self) -> Element {
        match self {
            Self::Device(request) => request.to_element(),
            Self::Media(request) => request.to_element(),
            Self::Media2(request) => request.to_element(),
            Self::Ptz(request) => request.to_element(),
            Self::Imaging(request) => request.to_element(),
            Self::Recording(request) => request.to_element(),
            Self::Search(request) => request.to_element(),
            Self::Replay(request) => request.to_element(),
        }
    }
}

#[cfg(test)]
mod tests;
