//! What the product says no with.

use device::{DriverError, Limit};

/// The product's vocabulary of failure. Each variant has one public code, given by whoever faces the public.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value is out of its range or malformed.
    #[error("{field} is missing, malformed or out of range")]
    InvalidArgument {
        /// Name of the parameter.
        field: &'static str,
    },
    /// The access token is unknown or expired.
    #[error("access token is unknown or expired")]
    TokenInvalid,
    /// The application was switched off.
    #[error("application is disabled")]
    AppKeyDisabled,
    /// No application has this key.
    #[error("application does not exist")]
    AppKeyUnknown,
    /// The secret is not the application's.
    #[error("secret does not match the application")]
    SecretMismatch,
    /// Too many attempts; later ones may succeed.
    #[error("too many attempts; try again later")]
    RateLimited,
    /// The caller may not do this.
    #[error("permission denied")]
    PermissionDenied,
    /// The device has no such channel.
    #[error("channel does not exist")]
    ChannelNotFound,
    /// The device was the caller's and is attached no more.
    #[error("device was removed")]
    DeviceRemoved,
    /// The device does not answer.
    #[error("device is off line")]
    DeviceOffline,
    /// The device did not answer in time.
    #[error("device did not answer in time")]
    DeviceTimeout,
    /// The device could not be reached, or did not let us in.
    #[error("the device could not be reached: {0}")]
    Device(#[source] DriverError),
    /// The device understood and would not, or answered nonsense.
    #[error("the device would not")]
    Refused(#[source] DriverError),
    /// The serial is unknown or the code is not its.
    #[error("verification code is wrong")]
    VerifyCodeWrong,
    /// Another account has the device.
    #[error("device belongs to another account")]
    OwnedByOther,
    /// The caller has the device already.
    #[error("device is yours already")]
    AlreadyYours,
    /// The device is not the caller's, known or not.
    #[error("device is not yours")]
    NotOwner,
    /// The serial is not 9 characters `[A-Z0-9]`.
    #[error("serial is malformed")]
    SerialMalformed,
    /// A device with this serial is attached already.
    #[error("serial is attached already")]
    SerialTaken,
    /// The device cannot do this.
    #[error("not supported by the device")]
    Unsupported,
    /// The device has no motor.
    #[error("the device has no motor")]
    PtzUnsupported,
    /// The motor is at the end of its travel.
    #[error("the motor is at the end of its travel: {0:?}")]
    AtLimit(Limit),
    /// The motor has no preset of that number.
    #[error("no such preset")]
    PresetUnknown,
    /// The device keeps no more presets.
    #[error("no room for another preset")]
    PresetsFull,
    /// The motor stands at that preset already.
    #[error("already at the preset")]
    PresetReached,
    /// The lens is covered.
    #[error("the lens is covered")]
    Masked,
    /// Somebody is speaking through the device.
    #[error("the speaker is in use")]
    SpeakerBusy,
    /// Another guest is turning the camera.
    #[error("somebody else is using the camera")]
    TurnTaken,
    /// The device plays its footage to no further viewer.
    #[error("the device serves no further playback session")]
    ReplayBusy,
    /// There is no recording of that number.
    #[error("no such recording")]
    RecordingUnknown,
    /// A switch is as it shall be already.
    #[error("already in this state")]
    SwitchUnchanged,
    /// Defence is in that state already.
    #[error("already in this defence state")]
    DefenceUnchanged,
    /// The device is encrypted, and the code is missing or wrong.
    #[error("the device is encrypted and the code is missing or wrong")]
    Encrypted,
    /// The device is encrypted already.
    #[error("the device is encrypted already")]
    AlreadyEncrypted,
    /// The device is not encrypted.
    #[error("the device is not encrypted")]
    NotEncrypted,
    /// The account keeps no more phrases.
    #[error("no room for another phrase")]
    VoicesFull,
    /// A voice file or its name cannot be taken; says why, in words for the caller.
    #[error("voice refused: {0}")]
    VoiceRefused(String),
    /// Too many unknown card keys; later ones may be right.
    #[error("too many wrong cards; try again in 24 hours")]
    CardLocked,
    /// No card has this key.
    #[error("card does not exist")]
    CardUnknown,
    /// The card was used, has expired or is kept from being used.
    #[error("card was used, has expired or is disabled")]
    CardSpent,
    /// The card goes with another device.
    #[error("card is good for another device only")]
    CardElsewhere,
    /// The plan of the card would never begin.
    #[error("the plan of the card cannot begin")]
    CardFailed,
    /// A play or publish address is forged, expired or revoked.
    #[error("address is invalid, expired or revoked")]
    GrantInvalid,
    /// The picture did not come; names the hop that failed.
    #[error("no picture, failed at {step}: {cause}")]
    NoPicture {
        /// The hop: `dial`, `auth`, `describe`, `no key frame`, …
        step: &'static str,
        /// What happened there.
        cause: String,
    },
    /// Our own fault; the source is for the log.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Why a device did not do what it was asked.
    pub(crate) fn of_device(error: DriverError) -> Error {
        match error {
            DriverError::Unsupported => Error::Unsupported,
            DriverError::AtLimit(limit) => Error::AtLimit(limit),
            DriverError::PresetUnknown => Error::PresetUnknown,
            DriverError::PresetsFull => Error::PresetsFull,
            DriverError::PresetReached => Error::PresetReached,
            DriverError::Masked => Error::Masked,
            DriverError::SpeakerBusy => Error::SpeakerBusy,
            DriverError::ReplayBusy => Error::ReplayBusy,
            DriverError::Timeout { .. } => Error::DeviceTimeout,
            DriverError::Refused { .. } | DriverError::Protocol { .. } => Error::Refused(error),
            DriverError::AddressRefused(_) | DriverError::Unreachable { .. } | DriverError::LoginRefused => {
                Error::Device(error)
            }
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Internal(error.into())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        Error::Internal(error.into())
    }
}
