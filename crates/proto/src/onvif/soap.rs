//! The SOAP 1.2 envelope and its fault.

use super::security::UsernameToken;
use super::{DIALECT, Error, Message, Operation, ns};
use crate::xml::{Element, clark};

/// Media type of SOAP 1.2 over HTTP: of answers, and of requests without the action.
pub const CONTENT_TYPE: &str = "application/soap+xml; charset=utf-8";

/// Media type of a request, which names the action (RFC 3902 §2): some cameras look nowhere else.
pub fn content_type<O: Operation>() -> String {
    format!(r#"{CONTENT_TYPE}; action="{}/{}""#, O::NAMESPACE, O::NAME)
}

/// One SOAP 1.2 message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Header blocks.
    pub headers: Vec<Element>,
    /// The first element of the body.
    pub body: Element,
}

impl Envelope {
    /// An envelope without headers around a message.
    pub fn of(message: &impl Message) -> Self {
        Self { headers: Vec::new(), body: message.to_element() }
    }

    /// With one more header block.
    #[must_use]
    pub fn with_header(mut self, header: Element) -> Self {
        self.headers.push(header);
        self
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Error::Xml`] or [`Error::Envelope`].
    pub fn parse(document: &[u8]) -> Result<Self, Error> {
        let mut root = DIALECT.parse(document)?;
        match &*root.namespace {
            _ if root.name != "Envelope" => return Err(Error::Envelope("no envelope")),
            ns::SOAP => {}
            ns::SOAP11 => return Err(Error::Envelope("it is SOAP 1.1")),
            _ => return Err(Error::Envelope("no envelope")),
        }
        let mut take = |name| {
            let at = root.children.iter().position(|child| child.is(ns::SOAP, name))?;
            Some(root.children.swap_remove(at).children)
        };
        let body = take("Body").ok_or(Error::Envelope("no body"))?;
        let body = body.into_iter().next().ok_or(Error::Envelope("an empty body"))?;
        Ok(Self { headers: take("Header").unwrap_or_default(), body })
    }

    /// Writes the message as a document.
    pub fn write(&self) -> String {
        let mut root = Element::new(ns::SOAP, "Envelope");
        if !self.headers.is_empty() {
            let header = Element { children: self.headers.clone(), ..Element::new(ns::SOAP, "Header") };
            root = root.with(header);
        }
        DIALECT.write(&root.with(Element::new(ns::SOAP, "Body").with(self.body.clone())))
    }

    /// The first header block of that name.
    pub fn header(&self, namespace: &str, name: &str) -> Option<&Element> {
        self.headers.iter().find(|header| header.is(namespace, name))
    }

    /// The WS-Security user name token; `None` if there is none.
    ///
    /// # Errors
    /// If there is one that lacks a part.
    pub fn username_token(&self) -> Result<Option<UsernameToken>, Error> {
        let token = self.header(ns::WSSE, "Security");
        let token = token.and_then(|security| security.child(ns::WSSE, "UsernameToken"));
        token.map(UsernameToken::parse).transpose()
    }

    /// The body, once no header demands what nobody here understands (SOAP 1.2 part 1, §2.4).
    /// Addressing headers are understood: an answer over HTTP goes where it has to anyway.
    pub(super) fn understood(&self) -> Result<&Element, Error> {
        let demands = |header: &&Element| {
            let must = header.attribute(ns::SOAP, "mustUnderstand");
            must.is_some_and(|must| matches!(must.trim(), "1" | "true"))
        };
        let known = [ns::WSSE, ns::WSA, ns::WSA10, ns::WSD];
        let mut strange = self.headers.iter().filter(|header| !known.contains(&&*header.namespace));
        match strange.find(demands) {
            Some(header) => Err(Error::Header(header.name.to_string())),
            None => Ok(&self.body),
        }
    }

    /// Reads the body as the answer that was waited for.
    ///
    /// # Errors
    /// [`Error::Fault`] if the other end refused, else as [`Message::from_element`].
    pub fn response<M: Message>(&self) -> Result<M, Error> {
        if self.body.is(ns::SOAP, "Fault") {
            return Err(Error::Fault(Box::new(Fault::parse(&self.body))));
        }
        M::from_element(&self.body)
    }
}

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request.
    Sender,
    /// The one who got it.
    Receiver,
    /// A header demanded understanding and got none.
    MustUnderstand,
    /// Another SOAP version.
    VersionMismatch,
}

/// A SOAP 1.2 fault with ONVIF's subcodes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ({})", .reason, .subcodes.join("/"))]
pub struct Fault {
    /// Who is to blame.
    pub code: Code,
    /// Local names in ONVIF's error namespace, outermost first, such as `NotAuthorized`.
    pub subcodes: Vec<String>,
    /// What happened, for people.
    pub reason: String,
}

impl Fault {
    /// A fault of the request.
    pub fn sender(subcodes: &[&str], reason: impl Into<String>) -> Self {
        let subcodes = subcodes.iter().map(|&code| code.to_owned()).collect();
        Self { code: Code::Sender, subcodes, reason: reason.into() }
    }

    /// A fault of the one who got the request.
    pub fn receiver(subcodes: &[&str], reason: impl Into<String>) -> Self {
        Self { code: Code::Receiver, ..Self::sender(subcodes, reason) }
    }

    /// The answer to a wrong or absent login.
    pub fn not_authorized() -> Self {
        Self::sender(&["NotAuthorized"], "Sender not authorized")
    }

    /// Whether one of the subcodes is this one, letter case aside: cameras vary it.
    pub fn is(&self, subcode: &str) -> bool {
        self.subcodes.iter().any(|code| code.eq_ignore_ascii_case(subcode))
    }

    /// HTTP status that carries it (SOAP 1.2 part 2, table 20; ONVIF Core 5.8.2 for the login).
    pub fn http_status(&self) -> u16 {
        match self.code {
            Code::Sender if self.is("NotAuthorized") => 401,
            Code::Sender => 400,
            Code::Receiver | Code::MustUnderstand | Code::VersionMismatch => 500,
        }
    }

    /// As a SOAP body.
    pub fn to_element(&self) -> Element {
        let text = |name: &'static str, text: String| Element::new(ns::SOAP, name).with_text(text);
        let innermost = self.subcodes.iter().rev().fold(None, |inner, code| {
            let value = text("Value", format!("{{{}}}{code}", ns::TER));
            let children = std::iter::once(value).chain(inner).collect();
            Some(Element { children, ..Element::new(ns::SOAP, "Subcode") })
        });
        let code = text("Value", format!("{{{}}}{:?}", ns::SOAP, self.code));
        let code =
            Element { children: std::iter::once(code).chain(innermost).collect(), ..Element::new(ns::SOAP, "Code") };
        let reason = text("Text", self.reason.clone());
        let reason = reason.with_attribute_in("http://www.w3.org/XML/1998/namespace", "lang", "en");
        let reason = Element::new(ns::SOAP, "Reason").with(reason);
        Element::new(ns::SOAP, "Fault").with(code).with(reason)
    }

    /// As a document.
    pub fn write(&self) -> String {
        Envelope { headers: Vec::new(), body: self.to_element() }.write()
    }

    /// Reads a fault; parts that are absent stay empty, since even a bad fault is a refusal.
    pub fn parse(element: &Element) -> Self {
        let local = |value: &Element| match clark(&value.text) {
            Some((_, local)) => local.to_owned(),
            None => value.text.rsplit(':').next().unwrap_or_default().to_owned(),
        };
        let mut at = element.child(ns::SOAP, "Code");
        let mut codes = Vec::new();
        while let Some(code) = at {
            codes.extend(code.child(ns::SOAP, "Value").map(local));
            at = code.child(ns::SOAP, "Subcode");
        }
        let code = match codes.first().map(String::as_str) {
            Some("Sender") => Code::Sender,
            Some("MustUnderstand") => Code::MustUnderstand,
            Some("VersionMismatch") => Code::VersionMismatch,
            _ => Code::Receiver,
        };
        let reason = element.child(ns::SOAP, "Reason").and_then(|r| r.child(ns::SOAP, "Text"));
        let reason = reason.map(|text| text.text.chars().take(256).collect()).unwrap_or_default();
        Self { code, subcodes: codes.into_iter().skip(1).collect(), reason }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::onvif::{Request, device};

    fn parse(text: &str) -> Result<Envelope, Error> {
        Envelope::parse(text.as_bytes())
    }

    #[test]
    fn faults_survive_the_way() {
        let faults = [
            Fault::not_authorized(),
            Fault::receiver(&["ActionNotSupported", "PTZNotSupported"], "no motor <here>"),
            Fault { code: Code::MustUnderstand, ..Fault::sender(&[], "") },
        ];
        for fault in faults {
            let heard = parse(&fault.write()).unwrap().response::<device::GetHostnameResponse>();
            assert_eq!(heard, Err(Error::Fault(Box::new(fault))));
        }
    }

    #[test]
    fn a_fault_is_written_as_the_standard_shows_it() {
        let written = Fault::sender(&["InvalidArgVal", "NoProfile"], "No such profile").write();
        let expected = concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            r#"<s:Envelope xmlns:ter="http://www.onvif.org/ver10/error""#,
            r#" xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault>"#,
            "<s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:InvalidArgVal</s:Value>",
            "<s:Subcode><s:Value>ter:NoProfile</s:Value></s:Subcode></s:Subcode></s:Code>",
            r#"<s:Reason><s:Text xml:lang="en">No such profile</s:Text></s:Reason>"#,
            "</s:Fault></s:Body></s:Envelope>",
        );
        assert_eq!(written, expected);
    }

    #[test]
    fn a_fault_with_an_unbound_prefix_still_tells() {
        let text = r#"<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope">
            <SOAP-ENV:Body><SOAP-ENV:Fault><SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:Sender</SOAP-ENV:Value>
            <SOAP-ENV:Subcode><SOAP-ENV:Value>ter:notAuthorized</SOAP-ENV:Value></SOAP-ENV:Subcode>
            </SOAP-ENV:Code></SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"#;
        let fault = Fault::parse(&parse(text).unwrap().body);
        assert!(fault.is("NotAuthorized") && fault.code == Code::Sender, "{fault:?}");
        assert_eq!(fault.http_status(), 401);
    }

    #[test]
    fn what_is_no_message_says_why() {
        let soap11 = r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"/>"#;
        assert_eq!(parse(soap11), Err(Error::Envelope("it is SOAP 1.1")));
        assert_eq!(parse("<html/>"), Err(Error::Envelope("no envelope")));
        let open = r#"<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope">"#;
        assert_eq!(parse(&format!("{open}</e:Envelope>")), Err(Error::Envelope("no body")));
        let empty = format!("{open}<e:Body/></e:Envelope>");
        assert_eq!(parse(&empty), Err(Error::Envelope("an empty body")));
        assert!(parse(&empty).unwrap_err().to_fault().is("WellFormed"));
    }

    #[test]
    fn a_header_nobody_understands_is_refused_only_if_it_must_be() {
        let ask = Envelope::of(&device::GetHostname {});
        let header = Element::new("urn:strange", "Demand");
        assert!(Request::parse(&ask.clone().with_header(header.clone())).is_ok());
        let must = header.with_attribute_in(ns::SOAP, "mustUnderstand", "1");
        let error = Request::parse(&ask.clone().with_header(must)).unwrap_err();
        assert_eq!(error.to_fault().code, Code::MustUnderstand);
        let action = Element::new(ns::WSA10, "Action").with_attribute_in(ns::SOAP, "mustUnderstand", "1");
        assert!(Request::parse(&ask.with_header(action)).is_ok());
    }
}
