//! The table of codes and texts.

use cloud::Error;
use device::{DriverError, Limit};
use server::api::code::{Family, TEXTS, in_family, of, text};
use server::config::Language;
use server::logging::redact;

#[test]
fn every_code_has_both_texts_once() {
    assert!(TEXTS.is_sorted_by(|a, b| a.0 < b.0), "ascending, each once");
    for row in TEXTS {
        assert!(!row.1.is_empty() && row.1.is_ascii(), "{}: {}", row.0, row.1);
        assert!(!row.2.is_empty() && !row.2.is_ascii(), "{}: {}", row.0, row.2);
    }
    assert_eq!(text(20007, Language::Zh), "设备不在线");
    assert_eq!(text(20007, Language::En), "device is offline");
    assert_eq!(text(1, Language::En), "unknown error");
}

/// Secrets never reach a log, whoever logs an address or a request whole (T28).
#[test]
fn log_lines_lose_their_secrets() {
    let check = |line: &str, expected: &str| assert_eq!(String::from_utf8(redact(line.as_bytes())).unwrap(), expected);
    check(
        "GET /v3/openlive/D1_1_1?expire=1&id=2&t=abc&ev=100 x",
        "GET /v3/openlive/D1_1_1?expire=1&id=2&t=***&ev=100 x",
    );
    check(
        "body accessToken=at.1&appSecret=\"s\" path=/push/D1_1?key=k\n",
        "body accessToken=***&appSecret=*** path=/push/D1_1?key=***\n",
    );
    check("code=20007 limit=5 =x", "code=20007 limit=5 =x");
    check("oldPassword=ABCDEF&newPassword=secret&x=1", "oldPassword=***&newPassword=***&x=1");
    check("t=", "t=***");
    check("serial=\"D1\" password=\"a b\" x=1", "serial=\"D1\" password=*** x=1");
}

/// One of every error of the product, each naming the next: a new one does not compile until it is here.
fn next(error: &Error) -> Option<Error> {
    let refused = || DriverError::Refused { step: "x", cause: "y".into() };
    Some(match error {
        Error::InvalidArgument { .. } => Error::TokenInvalid,
        Error::TokenInvalid => Error::AppKeyDisabled,
        Error::AppKeyDisabled => Error::AppKeyUnknown,
        Error::AppKeyUnknown => Error::SecretMismatch,
        Error::SecretMismatch => Error::RateLimited,
        Error::RateLimited => Error::PermissionDenied,
        Error::PermissionDenied => Error::ChannelNotFound,
        Error::ChannelNotFound => Error::DeviceRemoved,
        Error::DeviceRemoved => Error::DeviceOffline,
        Error::DeviceOffline => Error::DeviceTimeout,
        Error::DeviceTimeout => Error::Device(DriverError::LoginRefused),
        Error::Device(_) => Error::Refused(refused()),
        Error::Refused(_) => Error::VerifyCodeWrong,
        Error::VerifyCodeWrong => Error::OwnedByOther,
        Error::OwnedByOther => Error::AlreadyYours,
        Error::AlreadyYours => Error::NotOwner,
        Error::NotOwner => Error::SerialMalformed,
        Error::SerialMalformed => Error::SerialTaken,
        Error::SerialTaken => Error::Unsupported,
        Error::Unsupported => Error::PtzUnsupported,
        Error::PtzUnsupported => Error::AtLimit(Limit::Up),
        Error::AtLimit(Limit::Up) => Error::AtLimit(Limit::Down),
        Error::AtLimit(Limit::Down) => Error::AtLimit(Limit::Left),
        Error::AtLimit(Limit::Left) => Error::AtLimit(Limit::Right),
        Error::AtLimit(Limit::Right) => Error::PresetUnknown,
        Error::PresetUnknown => Error::PresetsFull,
        Error::PresetsFull => Error::PresetReached,
        Error::PresetReached => Error::Masked,
        Error::Masked => Error::SpeakerBusy,
        Error::SpeakerBusy => Error::TurnTaken,
        Error::TurnTaken => Error::ReplayBusy,
        Error::ReplayBusy => Error::RecordingUnknown,
        Error::RecordingUnknown => Error::SwitchUnchanged,
        Error::SwitchUnchanged => Error::DefenceUnchanged,
        Error::DefenceUnchanged => Error::Encrypted,
        Error::Encrypted => Error::AlreadyEncrypted,
        Error::AlreadyEncrypted => Error::NotEncrypted,
        Error::NotEncrypted => Error::VoicesFull,
        Error::VoicesFull => Error::VoiceRefused("why".into()),
        Error::VoiceRefused(_) => Error::CardLocked,
        Error::CardLocked => Error::CardUnknown,
        Error::CardUnknown => Error::CardSpent,
        Error::CardSpent => Error::CardElsewhere,
        Error::CardElsewhere => Error::CardFailed,
        Error::CardFailed => Error::GrantInvalid,
        Error::GrantInvalid => Error::NoPicture { step: "x", cause: "y".into() },
        Error::NoPicture { .. } => Error::Internal("x".into()),
        Error::Internal(_) => return None,
    })
}

#[test]
fn every_error_has_a_documented_code_in_every_family_and_a_name_of_its_own() {
    let families = [Family::Address, Family::Ptz, Family::Capture, Family::Voice, Family::Storage, Family::Control];
    let mut names = std::collections::BTreeMap::new();
    let mut error = Some(Error::InvalidArgument { field: "x" });
    while let Some(this) = error {
        for family in families {
            let code = in_family(&this, family);
            assert!(TEXTS.iter().any(|row| row.0 == code), "{this:?} in {family:?} is {code}, which has no text");
            assert!(code != 10001 || matches!(this, Error::InvalidArgument { .. }), "clients log in anew at 10001");
            assert!(code != 10002 || matches!(this, Error::TokenInvalid | Error::GrantInvalid), "likewise");
        }
        let public = of(&this);
        assert!((400..=504).contains(&public.status), "{this:?}");
        assert_eq!(names.insert(public.name, format!("{this:?}")), None, "{this:?} is named as another");
        error = next(&this);
    }
    assert_eq!(names.len(), 48);
}

#[test]
fn families_have_their_own_codes() {
    let refused = Error::Refused(DriverError::Refused { step: "x", cause: "y".into() });
    let check = |error: &Error, expected: [u32; 5]| {
        let families = [Family::Control, Family::Address, Family::Ptz, Family::Capture, Family::Voice];
        assert_eq!(families.map(|family| in_family(error, family)), expected, "{error:?}");
    };
    check(&refused, [60012, 60012, 60006, 60017, 111012]);
    check(&Error::ChannelNotFound, [20032, 20001, 20032, 20032, 20001]);
    check(&Error::Unsupported, [60020, 60020, 60020, 60020, 20015]);
    check(&Error::SpeakerBusy, [60029, 60029, 60029, 60029, 111012]);
    check(&Error::Device(DriverError::LoginRefused), [20006, 20006, 20006, 20006, 111012]);
    check(&Error::NoPicture { step: "x", cause: "y".into() }, [20008, 20008, 20008, 60017, 20008]);
    check(&Error::DeviceTimeout, [20008; 5]);
}
