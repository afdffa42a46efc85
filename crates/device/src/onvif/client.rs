//! One ONVIF call: login by whatever the camera wants, its clock, its refusals.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use proto::onvif::device::GetSystemDateAndTime;
use proto::onvif::security::UsernameToken;
use proto::onvif::{Envelope, Error, Fault, Message, Operation, ns, soap};
use reqwest::{StatusCode, Url};

use crate::dial::Dialer;
use crate::driver::{DriverError, Login};
use crate::http::{Answer, CameraHttp};

/// How far the camera's clock may have moved since it was looked at for a refused login to be worth a
/// second try. Cameras demand as little as ten seconds; half of it is surely inside.
const CLOCK_MOVED: u64 = 5;

/// Calls to one camera under one login.
pub(super) struct Client {
    http: CameraHttp,
    login: Option<Login>,
    /// The camera's clock less ours, in seconds; zero until it was asked.
    clock_offset: Mutex<i64>,
}

impl Client {
    pub(super) fn new(dialer: Dialer, login: Option<Login>) -> Client {
        Client { http: CameraHttp::new(dialer, login.clone()), login, clock_offset: Mutex::new(0) }
    }

    /// Asks the camera for its time, as digests carry it and most cameras' clocks are wrong. One that
    /// does not tell is taken to be right.
    ///
    /// # Errors
    /// If the camera cannot be reached.
    pub(super) async fn synchronise(&self, device: &Url) -> Result<(), DriverError> {
        // Without login: it is what a login needs first (ONVIF Core 5.9.1).
        let answer = self.send::<GetSystemDateAndTime>(device, Envelope::of(&GetSystemDateAndTime {})).await?;
        let told = read::<GetSystemDateAndTime>(&answer).ok().and_then(|answer| answer.system_date_and_time.utc);
        let offset = told.and_then(|utc| utc.to_unix().ok()).map_or(0, |camera| camera - unix_now().as_secs() as i64);
        *self.clock_offset.lock().expect("no panic while the offset is locked") = offset;
        Ok(())
    }

    /// The camera's clock less ours, in seconds.
    pub(super) fn clock_offset(&self) -> i64 {
        *self.clock_offset.lock().expect("no panic while the offset is locked")
    }

    /// Calls an operation of the service at `service`; `device` is asked for the time if need be.
    ///
    /// # Errors
    /// `LoginRefused`; `Unsupported` if the camera has no such operation; `PresetUnknown`, `PresetsFull`;
    /// `Refused` for any other fault; `Protocol` for an answer that cannot be read; what
    /// [`CameraHttp::post`] says.
    pub(super) async fn call<O: Operation>(
        &self,
        device: &Url,
        service: &Url,
        operation: &O,
    ) -> Result<O::Response, DriverError> {
        let answer = read::<O>(&self.send::<O>(service, self.signed(operation)).await?);
        if !matches!(answer, Err(DriverError::LoginRefused)) || self.login.is_none() {
            return answer;
        }
        // A restart may have set its clock back since; then the token was right but not of its time.
        let before = self.clock_offset();
        self.synchronise(device).await?;
        if self.clock_offset().abs_diff(before) < CLOCK_MOVED {
            return answer;
        }
        read::<O>(&self.send::<O>(service, self.signed(operation)).await?)
    }

    /// With a token of the camera's own time, if there is a login. HTTP digest is added on demand below.
    fn signed(&self, message: &impl Message) -> Envelope {
        let envelope = Envelope::of(message);
        let Some(login) = &self.login else { return envelope };
        let now = unix_now().as_millis() as i64 + self.clock_offset().saturating_mul(1000);
        let now = Duration::from_millis(now.max(0) as u64);
        let token = UsernameToken::new(&login.user, &login.password, rand::random(), now);
        envelope.with_header(token.to_header())
    }

    async fn send<O: Operation>(&self, service: &Url, envelope: Envelope) -> Result<Answer, DriverError> {
        self.http.post(service, soap::content_type::<O>(), envelope.write()).await
    }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// What a camera's answer means. A status alone says little: faults come under 200, 400, 401 and 500.
fn read<O: Operation>(answer: &Answer) -> Result<O::Response, DriverError> {
    let step = O::NAME;
    let error = match Envelope::parse(&answer.body).and_then(|envelope| envelope.response()) {
        Ok(response) if answer.status.is_success() => return Ok(response),
        Ok(_) => return Err(DriverError::Protocol { step, cause: format!("HTTP {}", answer.status) }),
        Err(error) => error,
    };
    let refused = |fault: &Fault| {
        ["NotAuthorized", "FailedAuthentication", "InvalidSecurityToken"].iter().any(|code| fault.is(code))
    };
    let lacking = |fault: &Fault| {
        let codes = ["ActionNotSupported", "OptionalActionNotImplemented", "UnknownAction", "NotImplemented"];
        codes.iter().any(|code| fault.is(code))
    };
    Err(match error {
        Error::Fault(fault) if refused(&fault) => DriverError::LoginRefused,
        _ if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => DriverError::LoginRefused,
        Error::Fault(fault) if lacking(&fault) => DriverError::Unsupported,
        // PTZ §5.4: the only tokens of that service that may be unknown are those of presets.
        Error::Fault(fault) if O::NAMESPACE == ns::TPTZ && fault.is("NoToken") => DriverError::PresetUnknown,
        Error::Fault(fault) if fault.is("TooManyPresets") => DriverError::PresetsFull,
        Error::Fault(fault) => DriverError::Refused { step, cause: fault.to_string() },
        _ if matches!(
            answer.status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        ) =>
        {
            DriverError::Unsupported
        }
        _ if !answer.status.is_success() => DriverError::Protocol { step, cause: format!("HTTP {}", answer.status) },
        error => DriverError::Protocol { step, cause: error.to_string() },
    })
}
