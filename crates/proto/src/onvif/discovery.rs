//! WS-Discovery: how cameras in a network are found.
//!
//! Source: Web Services Dynamic Discovery, April 2005; ONVIF Core chapter 7.

use super::soap::Envelope;
use super::{Error, ns};
use crate::xml::{Element, clark};

/// UDP port of probes.
pub const PORT: u16 = 3702;
/// Multicast group of probes over IPv4.
pub const GROUP_V4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(239, 255, 255, 250);
/// Multicast group of probes over IPv6, on the link.
pub const GROUP_V6: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x0c);

/// Most matches taken from one answer: cameras send one, a discovery proxy some more. The rest is
/// left unread.
const MATCHES_MAX: usize = 64;
/// Most types, scopes or addresses of one match. The rest is left unread.
const LIST_MAX: usize = 128;

const TO_ALL: &str = "urn:schemas-xmlsoap-org:ws:2005:04:discovery";
const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";

/// The discovery type of every ONVIF camera, `{uri}local`.
pub const NETWORK_VIDEO_TRANSMITTER: &str = "{http://www.onvif.org/ver10/network/wsdl}NetworkVideoTransmitter";
/// The discovery type of every ONVIF device, `{uri}local`.
pub const DEVICE: &str = "{http://www.onvif.org/ver10/device/wsdl}Device";

/// A discovery message with its addressing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Unique per message: `urn:uuid:…`.
    pub message_id: String,
    /// The message this one answers.
    pub relates_to: Option<String>,
    /// What it says.
    pub message: Message,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who is there?
    Probe(Probe),
    /// I am, to one who asked.
    ProbeMatches(Vec<Target>),
    /// I am here now, to all.
    Hello(Target),
    /// I am going, to all.
    Bye(Target),
}

/// What is looked for; a camera answers only if all of it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Types as `{uri}local`.
    pub types: Vec<String>,
    /// Scope URIs, matched by RFC 3986 prefix.
    pub scopes: Vec<String>,
}

/// A device as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Stable address of the endpoint: `urn:uuid:…`.
    pub endpoint: String,
    /// Types as `{uri}local`.
    pub types: Vec<String>,
    /// Scope URIs.
    pub scopes: Vec<String>,
    /// Addresses of its device service.
    pub xaddrs: Vec<String>,
    /// Rises when the description changes.
    pub metadata_version: u32,
}

impl Target {
    /// Whether a probe is meant for this device (WS-Discovery 5.1: all types, and each scope a prefix
    /// of one of ours by whole path segments).
    pub fn matches(&self, probe: &Probe) -> bool {
        let within = |ours: &str, asked: &str| {
            let (ours, asked) = (ours.trim_end_matches('/'), asked.trim_end_matches('/'));
            ours.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        probe.types.iter().all(|kind| self.types.contains(kind))
            && probe.scopes.iter().all(|asked| self.scopes.iter().any(|ours| within(ours, asked)))
    }

    /// The last part of the first scope of a category such as `name`, `hardware` or `location`,
    /// percent-decoded.
    pub fn scope(&self, category: &str) -> Option<String> {
        let value = self.scopes.iter().find_map(|scope| {
            let path = scope.strip_prefix("onvif://www.onvif.org/")?;
            path.strip_prefix(category)?.strip_prefix('/')
        })?;
        Some(percent_decode(value))
    }

    fn read(element: &Element) -> Self {
        let text = |name| element.child(ns::WSD, name).map_or("", |child| &child.text);
        let list = |name| text(name).split_ascii_whitespace().take(LIST_MAX).map(str::to_owned).collect();
        let endpoint = element.child(ns::WSA, "EndpointReference");
        let endpoint = endpoint.and_then(|reference| reference.child(ns::WSA, "Address"));
        Self {
            endpoint: endpoint.map(|address| address.text.clone()).unwrap_or_default(),
            types: list("Types"),
            scopes: list("Scopes"),
            xaddrs: list("XAddrs"),
            metadata_version: text("MetadataVersion").parse().unwrap_or(0),
        }
    }

    fn write(&self, name: &'static str) -> Element {
        let address = Element::new(ns::WSA, "Address").with_text(&self.endpoint);
        let mut element = Element::new(ns::WSD, name).with(Element::new(ns::WSA, "EndpointReference").with(address));
        let lists = [("Types", &self.types), ("Scopes", &self.scopes), ("XAddrs", &self.xaddrs)];
        for (name, list) in lists {
            if !list.is_empty() {
                element = element.with(Element::new(ns::WSD, name).with_text(list.join(" ")));
            }
        }
        let version = self.metadata_version.to_string();
        element.with(Element::new(ns::WSD, "MetadataVersion").with_text(version))
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'%', [a, b, ..]) => {
                let digits = [(*a as char).to_digit(16), (*b as char).to_digit(16)];
                if let [Some(high), Some(low)] = digits { Some((high * 16 + low) as u8) } else { None }
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Packet {
    /// Reads a datagram.
    ///
    /// # Errors
    /// If it is no SOAP, or no discovery message that is known here.
    pub fn parse(datagram: &[u8]) -> Result<Self, Error> {
        let envelope = Envelope::parse(datagram)?;
        let header = |name| envelope.header(ns::WSA, name).map(|header| header.text.clone());
        let body = &envelope.body;
        let message = match &*body.name {
            _ if body.namespace != ns::WSD => return Err(Error::Unexpected(body.name.to_string())),
            "Probe" => {
                let Target { types, scopes, .. } = Target::read(body);
                Message::Probe(Probe { types, scopes })
            }
            "ProbeMatches" => {
                let matches = body.children(ns::WSD, "ProbeMatch").take(MATCHES_MAX);
                Message::ProbeMatches(matches.map(Target::read).collect())
            }
            "Hello" => Message::Hello(Target::read(body)),
            "Bye" => Message::Bye(Target::read(body)),
            other => return Err(Error::Unexpected(other.to_owned())),
        };
        let message_id = header("MessageID").ok_or(Error::Missing("Header".into(), "MessageID"))?;
        Ok(Self { message_id, relates_to: header("RelatesTo"), message })
    }

    /// Writes a datagram.
    pub fn write(&self) -> String {
        let (action, to, body) = match &self.message {
            Message::Probe(probe) => {
                let mut body = Element::new(ns::WSD, "Probe");
                // Some cameras answer only if the element is there, even empty.
                body = body.with(Element::new(ns::WSD, "Types").with_text(probe.types.join(" ")));
                if !probe.scopes.is_empty() {
                    body = body.with(Element::new(ns::WSD, "Scopes").with_text(probe.scopes.join(" ")));
                }
                ("Probe", TO_ALL, body)
            }
            Message::ProbeMatches(matches) => {
                let children = matches.iter().map(|target| target.write("ProbeMatch")).collect();
                let body = Element { children, ..Element::new(ns::WSD, "ProbeMatches") };
                ("ProbeMatches", ANONYMOUS, body)
            }
            Message::Hello(target) => ("Hello", TO_ALL, target.write("Hello")),
            Message::Bye(target) => ("Bye", TO_ALL, target.write("Bye")),
        };
        let header = |name, text: &str| Element::new(ns::WSA, name).with_text(text);
        let mut headers = vec![header("MessageID", &self.message_id)];
        headers.extend(self.relates_to.as_deref().map(|id| header("RelatesTo", id)));
        headers.push(header("To", to));
        headers.push(header("Action", &format!("{}/{action}", ns::WSD)));
        Envelope { headers, body }.write()
    }
}

/// The local names of `{uri}local` types.
pub fn local_names(types: &[String]) -> impl Iterator<Item = &str> {
    types.iter().map(|kind| clark(kind).map_or(kind.as_str(), |(_, local)| local))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn camera() -> Target {
        Target {
            endpoint: "urn:uuid:11111111-2222-3333-4444-555555555555".into(),
            types: vec![NETWORK_VIDEO_TRANSMITTER.into(), DEVICE.into()],
            scopes: vec![
                "onvif://www.onvif.org/type/video_encoder".into(),
                "onvif://www.onvif.org/name/%E9%99%A2%E5%AD%90%20100%".into(),
                "onvif://www.onvif.org/location/country/china".into(),
            ],
            xaddrs: vec!["http://192.168.1.64/onvif/device_service".into()],
            metadata_version: 10,
        }
    }

    #[test]
    fn every_message_survives_the_way() {
        let probe = Probe { types: vec![NETWORK_VIDEO_TRANSMITTER.into()], scopes: vec![] };
        for message in [
            Message::Probe(probe),
            Message::Probe(Probe::default()),
            Message::ProbeMatches(vec![camera(), Target::default()]),
            Message::ProbeMatches(vec![]),
            Message::Hello(camera()),
            Message::Bye(camera()),
        ] {
            let relates_to = matches!(message, Message::ProbeMatches(_)).then(|| "urn:uuid:a".into());
            let packet = Packet { message_id: "urn:uuid:b".into(), relates_to, message };
            assert_eq!(Packet::parse(packet.write().as_bytes()).unwrap(), packet);
        }
    }

    #[test]
    fn a_probe_finds_what_it_asks_for_and_nothing_else() {
        let fits = |types: &[&str], scopes: &[&str]| {
            let own = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
            camera().matches(&Probe { types: own(types), scopes: own(scopes) })
        };
        assert!(fits(&[], &[]));
        assert!(fits(&[NETWORK_VIDEO_TRANSMITTER], &["onvif://www.onvif.org/location"]));
        assert!(fits(&[DEVICE], &["onvif://www.onvif.org/location/country/china/"]));
        assert!(!fits(&[DEVICE], &["onvif://www.onvif.org/locat"]));
        assert!(!fits(&["{http://schemas.xmlsoap.org/ws/2006/02/devprof}Device"], &[]));
        assert!(!fits(&[DEVICE, "{urn:x}Printer"], &[]));
    }

    #[test]
    fn names_in_scopes_are_percent_decoded() {
        assert_eq!(camera().scope("name").as_deref(), Some("院子 100%"));
        assert_eq!(camera().scope("location").as_deref(), Some("country/china"));
        assert_eq!(camera().scope("nam"), None);
    }

    /// The shape gSOAP-based cameras send: everything declared on the envelope, a `wsa:To` that is
    /// not anonymous, `AppSequence`, tabs between scopes.
    #[test]
    fn an_answer_as_gsoap_writes_it() {
        let text = include_str!("testdata/gsoap_probe_matches.xml");
        let packet = Packet::parse(text.as_bytes()).unwrap();
        assert_eq!(packet.relates_to.as_deref(), Some("uuid:8d5ef3f5-7a1b-4a09-9f39-1d3c1c0b0f1e"));
        let Message::ProbeMatches(matches) = packet.message else { panic!("no matches") };
        assert_eq!(matches.len(), 1);
        assert_eq!(local_names(&matches[0].types).collect::<Vec<_>>(), ["NetworkVideoTransmitter", "Device"]);
        assert_eq!(matches[0].types[0], NETWORK_VIDEO_TRANSMITTER);
        assert_eq!(matches[0].scope("hardware").as_deref(), Some("IPC-BX 100"));
        assert_eq!(matches[0].xaddrs.len(), 2);
    }

    #[test]
    fn what_is_no_discovery_is_an_error() {
        assert!(Packet::parse(b"M-SEARCH * HTTP/1.1\r\n\r\n").is_err());
        let other = Envelope::of(&crate::onvif::device::GetHostname {}).write();
        assert!(matches!(Packet::parse(other.as_bytes()), Err(Error::Unexpected(_))));
        let packet = Packet { message_id: String::new(), relates_to: None, message: Message::Probe(Probe::default()) };
        let without = packet.write().replace("MessageID", "Other");
        assert!(matches!(Packet::parse(without.as_bytes()), Err(Error::Missing(..))));
    }
}
