#![allow(clippy::unwrap_used)]
use super::*;

/// Writes and reads again.
fn same<D: Document + PartialEq + std::fmt::Debug>(document: D) {
    assert_eq!(D::parse(document.to_document().as_bytes()), Ok(document));
}

#[test]
fn documents_are_written_as_devices_write_them() {
    let written = PtzData { pan: -60, tilt: 0, zoom: 100 }.to_document();
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?><PTZData version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema"><pan>-60</pan><tilt>0</tilt><zoom>100</zoom></PTZData>"#;
    assert_eq!(written, expected);
    same(ResponseStatus::ok("/ISAPI/PTZCtrl/channels/1/continuous"));
    same(ImageFlip::from(Flip { horizontal: true, vertical: false }));
    let mask = PrivacyMask { enabled: true, screen: Some(PrivacyMask::SCREEN), regions: Vec::new() };
    let region = PrivacyMaskRegion { id: 1, enabled: true, corners: mask.whole() };
    same(PrivacyMask { regions: vec![region], ..mask });
    same(ImageFlipCap {
        enabled: Some(Choices(vec!["true".into(), "false".into()])),
        style: Some(Choices(vec!["CENTER".into()])),
    });
}

#[test]
fn a_search_is_written_and_read() {
    let [start, end] = [1_700_000_000, 1_700_003_600].map(|seconds| av::UnixMicros(seconds * 1_000_000));
    let description = CmSearchDescription {
        search_id: "C77384AD-66A0-0001-E7C2-1151F04F90B0".into(),
        tracks: vec![101],
        spans: vec![TimeSpan { start, end }],
        content_types: vec!["video".into()],
        max_results: Some(40),
        position: Some(80),
        metadata: vec!["//recordType.meta.std-cgi.com".into()],
    };
    let written = description.to_document();
    assert!(written.contains("<startTime>2023-11-14T22:13:20Z</startTime>"), "{written}");
    assert!(written.contains("<searchResultPostion>80</searchResultPostion>"), "{written}");
    same(description);
    let page = r#"<CMSearchResult version="1.0" xmlns="http://www.isapi.org/ver20/XMLSchema"><searchID>{C7}</searchID><responseStatus>true</responseStatus><responseStatusStrg>MORE</responseStatusStrg><numOfMatches>1</numOfMatches><matchList><searchMatchItem><sourceID>{0000000000-0000-0000-0000-000000000000}</sourceID><trackID>101</trackID><timeSpan><startTime>2023-11-14T22:13:20Z</startTime><endTime>2023-11-15T07:13:20+08:00</endTime></timeSpan><mediaSegmentDescriptor><contentType>video</contentType><codecType>H.264-BP</codecType><playbackURI>rtsp://192.0.2.1/Streaming/tracks/101?starttime=20231114T221320Z&amp;endtime=20231114T231320Z&amp;name=00000000139000613&amp;size=4294967296</playbackURI></mediaSegmentDescriptor><metadataMatches><metadataDescriptor>recordType.meta.hikvision.com/timing</metadataDescriptor></metadataMatches></searchMatchItem></matchList></CMSearchResult>"#;
    let page = CmSearchResult::parse(page.as_bytes()).unwrap();
    assert!(page.is_more());
    let [found] = &page.matches[..] else { panic!("{page:?}") };
    assert_eq!((found.span, found.track), (TimeSpan { start, end }, Some(101)));
    assert_eq!(found.media.as_ref().unwrap().bytes(), Some(1 << 32));
    same(page);
    let none = "<CMSearchResult><responseStatus>true</responseStatus><responseStatusStrg>NO MATCHES</responseStatusStrg><numOfMatches>0</numOfMatches></CMSearchResult>";
    let none = CmSearchResult::parse(none.as_bytes()).unwrap();
    assert!(!none.is_more() && none.matches.is_empty());
}

#[test]
fn addresses_of_footage_are_read_as_they_are_written() {
    let [from, to] = [1_700_000_000_900_000, 1_700_003_600_000_000].map(av::UnixMicros);
    let written = path::rtsp_track(2, false, from, to);
    assert_eq!(written, "/Streaming/tracks/201?starttime=20231114T221320Z&endtime=20231114T231320Z");
    let (path, query) = written.split_once('?').unwrap();
    let whole = av::UnixMicros(1_700_000_000_000_000);
    assert_eq!(path::parse_rtsp_track(path, query), Some((2, false, whole, Some(to))));
    let named = format!("name=0000&{query}&size=1");
    assert_eq!(path::parse_rtsp_track("streaming/Tracks/201/", &named), Some((2, false, whole, Some(to))));
    let open = path::parse_rtsp_track(path, "StartTime=20231114T221320Z");
    assert_eq!(open, Some((2, false, whole, None)));
    for (path, query) in [
        (path, ""),
        (path, "endtime=20231114T221320Z"),
        (path, "starttime=x"),
        (path, "starttime=20231114T221320Z&endtime="),
        ("Streaming/Channels/201", query),
        ("Streaming/tracks/203", query),
        ("tracks/201", query),
    ] {
        assert_eq!(path::parse_rtsp_track(path, query), None, "{path} {query}");
    }
}

#[test]
fn a_card_that_is_broken_is_none() {
    let storage = |status: &str| {
        let text = format!(
            "<storage><hddList size='1'><hdd><id>1</id><hddType>SD</hddType><status>{status}</status><capacity>30543</capacity><freeSpace>0</freeSpace></hdd></hddList><nasList/></storage>"
        );
        Storage::parse(text.as_bytes()).unwrap()
    };
    assert!(storage("ok").is_there() && storage("idle").is_there());
    assert!(!storage("unformatted").is_there() && !storage("error").is_there() && !storage("").is_there());
    same(storage("ok"));
}

#[test]
fn namespaces_and_case_do_not_matter() {
    for document in [
        "<PTZChanelCap xmlns='http://www.isapi.org/ver20/XMLSchema'><AbsolutePanTiltPositionSpace><XRange><Min>0</Min><Max>3600</Max></XRange></AbsolutePanTiltPositionSpace></PTZChanelCap>",
        "<PTZChannelCap><AbsolutePanTiltPositionSpace><XRange><min>0</min><max>3600</max></XRange></AbsolutePanTiltPositionSpace></PTZChannelCap>",
        "<h:PTZChanelCap xmlns:h='urn:x'><h:AbsolutePanTiltPositionSpace><h:XRange><h:Min>0</h:Min><h:Max>3600.0</h:Max></h:XRange></h:AbsolutePanTiltPositionSpace></h:PTZChanelCap>",
    ] {
        let cap = PtzChannelCap::parse(document.as_bytes()).unwrap();
        assert_eq!(cap.absolute_pan_tilt.unwrap().x, Some(Range { min: 0, max: 3600 }), "{document}");
        assert_eq!(cap.continuous_zoom, None);
    }
}

#[test]
fn items_are_read_with_and_without_a_list_around_them() {
    let list = "<TwoWayAudioChannelList version='1.0'><TwoWayAudioChannel><id>1</id><audioCompressionType/></TwoWayAudioChannel><TwoWayAudioChannel><id>1001</id><associateVideoInputs><enabled>true</enabled><videoInputChannelList><videoInputChannelID>1</videoInputChannelID></videoInputChannelList></associateVideoInputs></TwoWayAudioChannel></TwoWayAudioChannelList>";
    let channels = TwoWayAudioChannelList::parse(list.as_bytes()).unwrap().channels;
    assert_eq!(channels.iter().map(|channel| channel.id).collect::<Vec<_>>(), [1, 1001]);
    assert_eq!(channels[0].codec, None);
    assert_eq!(channels[1].inputs.as_ref().unwrap().channels, [1]);
}

#[test]
fn a_refusal_is_told_from_an_answer() {
    let refusal = |code: i32, word: &str| {
        let text = format!(
            "<ResponseStatus xmlns='{NAMESPACE}'><statusCode>{code}</statusCode><subStatusCode>{word}</subStatusCode></ResponseStatus>"
        );
        match DeviceInfo::parse(text.as_bytes()) {
            Err(Error::Status(status)) => status.refusal(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refusal(1, "ok"), None);
    assert_eq!(refusal(7, "rebootRequired"), None);
    assert_eq!(refusal(4, "notSupport"), Some(Refusal::NotSupported));
    assert_eq!(refusal(4, "LOWPRIVILEGE"), Some(Refusal::Privilege));
    assert_eq!(refusal(4, "badAuthorization"), Some(Refusal::Login));
    assert_eq!(refusal(2, "somethingNew"), Some(Refusal::Busy));
    assert_eq!(refusal(3, ""), Some(Refusal::Failed));
    assert_eq!(refusal(6, "presetNotExist"), Some(Refusal::Parameters));
    let unexpected = DeviceInfo::parse(b"<html><body/></html>");
    assert_eq!(unexpected, Err(Error::Unexpected("html".into())));
    let missing = ResponseStatus::parse(b"<ResponseStatus/>");
    assert_eq!(missing, Err(Error::Missing("ResponseStatus".into(), "statusCode")));
    assert!(matches!(DeviceInfo::parse(b"<DeviceInfo><model>x</model>"), Err(Error::Xml(_))));
}

#[test]
fn what_is_refused_is_understood_again() {
    use Refusal::*;
    for refusal in [NotSupported, Busy, Login, Privilege, Method, Malformed, Parameters, ChannelOffline, Failed] {
        let status = ResponseStatus::refused("/ISAPI/x", refusal);
        assert_eq!(status.refusal(), Some(refusal));
        assert!(refusal.http_status() >= 400);
    }
}

#[test]
fn the_label_has_the_end_of_the_serial_number() {
    let short = |serial: &str| {
        let document = format!("<DeviceInfo><serialNumber>{serial}</serialNumber></DeviceInfo>");
        DeviceInfo::parse(document.as_bytes()).unwrap().short_serial().map(str::to_owned)
    };
    assert_eq!(short("DS-2CD2385FWD-I20200114AAWR123456789").as_deref(), Some("123456789"));
    assert_eq!(short("DS-2DE4425IW-DE20210101AAWRF41375543").as_deref(), Some("F41375543"));
    assert_eq!(short("DS-7816H-SNH1620140125AACH450813722WCVU").as_deref(), Some("450813722"));
    assert_eq!(short("CAM000001"), None);
    assert_eq!(short("20200114AAWRäääää"), None);
}

#[test]
fn mirrors_are_a_group() {
    let [left_right, up_down, centre] = Flip::STYLES.map(|(_, flip)| flip);
    for flip in [left_right, up_down, centre] {
        assert_eq!(flip.and_then(flip), Flip::default());
        assert_eq!(ImageFlip::from(flip).flip(), Some(flip));
    }
    assert_eq!(left_right.and_then(up_down), centre);
    assert_eq!(centre.and_then(up_down), left_right);
    assert_eq!(ImageFlip::from(Flip::default()), ImageFlip { enabled: false, style: None });
    assert_eq!(ImageFlip { enabled: true, style: Some("AUTO".into()) }.flip(), None);
}

#[test]
fn a_mask_over_everything_is_known_on_any_grid() {
    let screen = NormalizedScreenSize { width: 1000, height: 1000 };
    let mask = PrivacyMask { enabled: true, screen: Some(screen), regions: Vec::new() };
    let region = |corners: &[(i32, i32)]| PrivacyMaskRegion {
        id: 1,
        enabled: true,
        corners: corners.iter().map(|&(x, y)| RegionCoordinates { x, y }).collect(),
    };
    assert!(mask.is_whole(&region(&[(0, 1), (998, 1), (998, 999), (0, 999)])));
    assert!(!mask.is_whole(&region(&[(0, 0), (500, 0), (500, 1000), (0, 1000)])));
    assert!(!mask.is_whole(&region(&[(0, 0), (1000, 0), (0, 1000)])));
    assert!(!mask.is_whole(&region(&[])));
}
