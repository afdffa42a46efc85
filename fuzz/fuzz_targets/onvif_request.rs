//! A request that is understood can be sent on and means the same; answers of any shape are read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::onvif::{Envelope, Error, Message, Request, device, imaging, media, media2, ptz, recording, replay, search};
use proto::xml;

/// A message sent and heard; `None` if it has grown past a limit.
fn heard<T>(body: xml::Element, read: impl Fn(&Envelope) -> Result<T, Error>) -> Option<T> {
    let sent = Envelope { headers: Vec::new(), body }.write();
    match Envelope::parse(sent.as_bytes()) {
        Ok(envelope) => Some(read(&envelope).expect("what was understood once is understood again")),
        Err(error) => {
            assert!(matches!(error, Error::Xml(xml::Error::Limit(_))), "{error}: {sent}");
            None
        }
    }
}

fn response<M: Message + PartialEq + std::fmt::Debug>(envelope: &Envelope) {
    let Ok(first) = envelope.response::<M>() else { return };
    // The first writing takes out what XML cannot carry; from then on nothing changes.
    let read = |envelope: &Envelope| envelope.response::<M>();
    if let Some(second) = heard(first.to_element(), read) {
        assert_eq!(heard(second.to_element(), read), Some(second));
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(envelope) = Envelope::parse(data) else { return };
    match Request::parse(&envelope) {
        Ok(first) => {
            if let Some(second) = heard(first.to_element(), Request::parse) {
                assert_eq!(heard(second.to_element(), Request::parse), Some(second));
            }
        }
        Err(error) => assert!(error.to_fault().http_status() >= 400),
    }
    response::<device::GetSystemDateAndTimeResponse>(&envelope);
    response::<device::GetServicesResponse>(&envelope);
    response::<device::GetCapabilitiesResponse>(&envelope);
    response::<device::GetNetworkInterfacesResponse>(&envelope);
    response::<media::GetProfilesResponse>(&envelope);
    response::<media::GetStreamUriResponse>(&envelope);
    response::<media::GetVideoSourceConfigurationOptionsResponse>(&envelope);
    response::<media::GetAudioDecoderConfigurationOptionsResponse>(&envelope);
    response::<media2::GetProfilesResponse>(&envelope);
    response::<media2::GetMasksResponse>(&envelope);
    response::<media2::GetMaskOptionsResponse>(&envelope);
    response::<ptz::GetPresetsResponse>(&envelope);
    response::<ptz::GetNodesResponse>(&envelope);
    response::<ptz::GetStatusResponse>(&envelope);
    response::<imaging::GetOptionsResponse>(&envelope);
    response::<recording::GetRecordingsResponse>(&envelope);
    response::<search::GetRecordingSearchResultsResponse>(&envelope);
    response::<search::GetEventSearchResultsResponse>(&envelope);
    response::<search::GetMediaAttributesResponse>(&envelope);
    response::<replay::GetReplayUriResponse>(&envelope);
});
