//! A document that is understood can be written and means the same; what it says of itself is not out of range.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::isapi::*;
use proto::xml;

/// A document sent and heard; `None` if it has grown past a limit.
fn heard<D: Document>(document: &D) -> Option<D> {
    let sent = document.to_document();
    match D::parse(sent.as_bytes()) {
        Ok(again) => Some(again),
        Err(error) => {
            assert!(matches!(error, Error::Xml(xml::Error::Limit(_))), "{error}: {sent}");
            None
        }
    }
}

fn read<D: Document + PartialEq + std::fmt::Debug>(data: &[u8]) -> Option<D> {
    let first = D::parse(data).ok()?;
    // The first writing takes out what XML cannot carry; from then on nothing changes.
    if let Some(second) = heard(&first) {
        assert_eq!(heard(&second), Some(second));
    }
    Some(first)
}

fuzz_target!(|data: &[u8]| {
    if let Some(status) = read::<ResponseStatus>(data) {
        assert!(status.refusal().is_none_or(|refusal| refusal.http_status() >= 400));
        assert!(status.to_string().len() < 1024);
    }
    if let Some(info) = read::<DeviceInfo>(data) {
        assert!(info.short_serial().is_none_or(|serial| serial.len() == 9));
    }
    if let Some(mask) = read::<PrivacyMask>(data) {
        let _ = mask.regions.iter().filter(|region| mask.is_whole(region)).count();
        assert_eq!(mask.whole().len(), 4);
    }
    if let Some(flip) = read::<ImageFlip>(data).and_then(|flip| flip.flip()) {
        assert_eq!(ImageFlip::from(flip).flip(), Some(flip));
    }
    if let Some(page) = read::<CmSearchResult>(data) {
        let sizes = page.matches.iter().filter_map(|found| found.media.as_ref()?.bytes());
        assert!(sizes.count() <= page.matches.len());
    }
    read::<CmSearchDescription>(data);
    read::<TrackList>(data);
    read::<Storage>(data);
    read::<DeviceStatus>(data);
    read::<UserCheck>(data);
    read::<AdminAccessProtocolList>(data);
    read::<VideoInputChannelList>(data);
    read::<InputProxyChannelList>(data);
    read::<InputProxyChannelStatusList>(data);
    read::<StreamingChannelList>(data);
    read::<StreamingChannel>(data);
    read::<PtzData>(data);
    read::<PtzStatus>(data);
    read::<PtzChannelCap>(data);
    read::<PtzPresetList>(data);
    read::<PtzPreset>(data);
    read::<ImageFlipCap>(data);
    read::<TwoWayAudioChannelList>(data);
    read::<TwoWayAudioChannel>(data);
    read::<TwoWayAudioSession>(data);
});
