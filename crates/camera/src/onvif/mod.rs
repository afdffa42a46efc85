//! ONVIF: what the camera says of itself and how it is turned, as SOAP over HTTP.
//!
//! Services: Device, Media in both versions, PTZ, Imaging, and with a card Recording, Search and Replay, each
//! under `/onvif/…_service`; a request is recognised by its body. Both logins are accepted: WS-Security UsernameToken and HTTP digest.
//!
//! A recorder is a device with several video sources. Tokens of what belongs to one are made by
//! [`token`]: `main`, `sub`, `sensor`, `motor` of the first channel, `main2` … of the others.

mod device;
mod imaging;
mod media;
mod media2;
mod ptz;
mod recording;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub use self::recording::Searches;
use proto::digest::Denied;
use proto::onvif::{Envelope, Error, Fault, Message, Request};
use proto::onvif::{device as tds, imaging as timg, media as trt, media2 as tr2, ptz as tptz};

use crate::channel::Channel;
use crate::config::{Config, Quality};
use crate::http::Site;
use crate::{faults, token};

/// Stem of the tokens of sensors and their configurations.
const SOURCE: &str = "sensor";
/// Stem of the tokens of motors and their configurations.
const MOTOR: &str = "motor";

/// A request as HTTP brought it.
pub struct Call<'a> {
    /// Request target, as sent.
    pub target: &'a str,
    /// `Authorization` header.
    pub authorization: Option<&'a str>,
    /// Host and port by which the client reached us, for the addresses in answers.
    pub host: &'a str,
    /// Host without port.
    pub hostname: &'a str,
    /// The SOAP document.
    pub body: &'a [u8],
}

/// An answer for HTTP to bring back.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Values of `WWW-Authenticate` headers.
    pub challenges: Vec<String>,
    /// The SOAP document.
    pub body: String,
    /// Whether the connection breaks in the middle of it.
    pub cut: bool,
}

impl Site {
    /// Answers one request.
    pub fn soap(&self, call: &Call<'_>) -> Answer {
        let envelope = match Envelope::parse(call.body) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.counters.malformed.fetch_add(1, Relaxed);
                return fault(&error.to_fault(), Vec::new());
            }
        };
        // The body first: what may be asked without login is known by it. An unknown body needs one.
        let request = Request::parse(&envelope);
        if !request.as_ref().is_ok_and(is_public)
            && let Err(denied) = self.authorize(&envelope, call)
        {
            self.count_denied(denied);
            return fault(&Fault::not_authorized(), self.login.challenges(denied));
        }
        let request = match request {
            Ok(request) => request,
            Err(error) => return fault(&error.to_fault(), Vec::new()),
        };
        match self.faults.get() {
            faults::Fault::Refuse if is_command(&request) => {
                return fault(&Fault::receiver(&["Action"], "the camera would not"), Vec::new());
            }
            faults::Fault::Drop if is_command(&request) => {
                return Answer { status: 200, challenges: Vec::new(), body: String::new(), cut: true };
            }
            _ => {}
        }
        match self.dispatch(request, call) {
            Ok(body) => {
                self.counters.onvif_requests.fetch_add(1, Relaxed);
                Answer { status: 200, challenges: Vec::new(), body, cut: false }
            }
            Err(refusal) => fault(&refusal, Vec::new()),
        }
    }

    fn authorize(&self, envelope: &Envelope, call: &Call<'_>) -> Result<(), Denied> {
        match envelope.username_token() {
            Ok(Some(token)) => self.login.token(&token),
            Ok(None) => self.login.digest(call.authorization, "POST", call.target).map(drop),
            Err(_) => Err(Denied::Bad),
        }
    }

    fn dispatch(&self, request: Request, call: &Call<'_>) -> Result<String, Fault> {
        match request {
            Request::Device(request) => self.device(request, call),
            Request::Media(request) => self.media(request, call),
            Request::Media2(request) => self.media2(request, call),
            Request::Ptz(request) => self.motor(request),
            Request::Imaging(request) => self.imaging(request),
            Request::Recording(request) => self.recording(request, call),
            Request::Search(request) => self.search(request, call),
            Request::Replay(request) => self.replay(request, call),
        }
    }

    /// Channel and quality of a profile.
    fn profile_of(&self, token: &str) -> Result<(&Arc<Channel>, Quality), Fault> {
        let found = token::profile(token).and_then(|(number, quality)| Some((self.channel(number)?, quality)));
        found.ok_or_else(|| Fault::sender(&["InvalidArgVal", "NoProfile"], "no such profile"))
    }

    /// The channel of a token made of a stem.
    fn channel_of(&self, token: &str, stem: &str) -> Option<&Arc<Channel>> {
        self.channel(token::channel(token, stem)?)
    }
}

/// What may be asked without login (ONVIF Core 5.9.4.3, access class PRE_AUTH).
fn is_public(request: &Request) -> bool {
    use tds::Request::*;
    matches!(
        request,
        Request::Device(
            GetSystemDateAndTime(_) | GetCapabilities(_) | GetServices(_) | GetServiceCapabilities(_) | GetHostname(_)
        )
    )
}

/// What changes something, as faults see it.
fn is_command(request: &Request) -> bool {
    match request {
        Request::Device(_) | Request::Recording(_) | Request::Search(_) | Request::Replay(_) => false,
        Request::Media(request) => {
            use trt::Request::*;
            matches!(request, SetSynchronizationPoint(_) | SetVideoSourceConfiguration(_))
        }
        Request::Media2(request) => {
            use tr2::Request::*;
            matches!(request, SetSynchronizationPoint(_) | CreateMask(_) | SetMask(_) | DeleteMask(_))
        }
        Request::Ptz(request) => {
            use tptz::Request::*;
            let moves = matches!(request, ContinuousMove(_) | RelativeMove(_) | AbsoluteMove(_) | Stop(_));
            moves || matches!(request, SetPreset(_) | GotoPreset(_) | RemovePreset(_))
        }
        Request::Imaging(request) => matches!(request, timg::Request::SetImagingSettings(_)),
    }
}

fn document(message: &impl Message) -> String {
    Envelope::of(message).write()
}

fn fault(fault: &Fault, challenges: Vec<String>) -> Answer {
    Answer { status: fault.http_status(), challenges, body: fault.write(), cut: false }
}

/// The error a body that is too large gets.
pub fn too_large() -> Answer {
    fault(&Error::Envelope("too large").to_fault(), Vec::new())
}

/// Address of a service as a client at `host` reaches it.
pub fn xaddr(host: &str, service: &str) -> String {
    format!("http://{host}/onvif/{service}_service")
}

/// URIs that describe the camera in discovery (ONVIF Core 7.3.2.2).
pub fn scopes(config: &Config) -> Vec<String> {
    let name: String = config
        .name
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let scope = |path: &str| format!("onvif://www.onvif.org/{path}");
    vec![
        scope("type/video_encoder"),
        scope("type/ptz"),
        scope("Profile/Streaming"),
        scope("hardware/Virtual_Camera"),
        scope(&format!("name/{name}")),
    ]
}

fn no_configuration() -> Fault {
    Fault::sender(&["InvalidArgVal", "NoConfig"], "no such configuration")
}
