//! Packagers over made-up cameras, under a paused clock.
#![allow(clippy::unwrap_used)]

use av::AacParameters;
use av::codec::{aac, h264};

use super::*;

const FIRST: u64 = 1_000;

/// 640 by 360, Baseline.
fn video() -> Track {
    video_with(b"\x68\xce\x38\x80")
}

fn video_with(pps: &'static [u8]) -> Track {
    let sps = Bytes::from_static(b"\x67\x42\xc0\x1e\xda\x02\x80\xbf\xe5\x40");
    let codec = CodecParameters::H264(h264::parameters(sps, Bytes::from_static(pps)).unwrap());
    Track { id: TrackId::VIDEO, codec, clock_rate: 90_000 }
}

fn sound() -> Track {
    let config = aac::config(aac::OBJECT_TYPE_LC, 16_000, 1).unwrap();
    let codec = CodecParameters::Aac(AacParameters { config, sample_rate: 16_000, channels: 1 });
    Track { id: TrackId::AUDIO, codec, clock_rate: 16_000 }
}

/// A camera: pictures at a rate, with a key frame each so many, and sound.
struct Camera {
    fps: i64,
    gop: i64,
    pictures: i64,
    heard: i64,
}

impl Camera {
    fn new(fps: i64, gop: i64) -> Camera {
        Camera { fps, gop, pictures: 0, heard: 0 }
    }

    /// Writes the next picture and the sound up to it.
    fn picture(&mut self, packager: &mut Packager) {
        let at = self.pictures * 90_000 / self.fps;
        let frame = |track, dts, key, data| {
            let wall = UnixMicros(1_700_000_000_000_000 + at * 100 / 9);
            Item::Frame(Arc::new(Frame { track, dts: Ticks(dts), cts: 0, wall, key, data }))
        };
        let key = self.pictures % self.gop == 0;
        // A slice of an IDR picture, or of another, with the number of the picture.
        let mut data = vec![0, 0, 0, 10, if key { 0x65 } else { 0x41 }, 0x88];
        data.extend(self.pictures.to_be_bytes());
        packager.push(frame(TrackId::VIDEO, at, key, data.into()));
        while self.heard * 1024 * 90_000 <= at * 16_000 {
            packager.push(frame(TrackId::AUDIO, self.heard * 1024, true, Bytes::from_static(&[0x21; 20])));
            self.heard += 1;
        }
        self.pictures += 1;
    }

    fn seconds(&mut self, packager: &mut Packager, seconds: i64) {
        (0..seconds * self.fps).for_each(|_| self.picture(packager));
    }
}

fn packager(container: Container) -> (Packager, Rendition) {
    let (mut packager, rendition) = Packager::new(container, FIRST);
    packager.push(Item::Tracks([video(), sound()].into()));
    (packager, rendition)
}

fn ask(low_latency: bool) -> Ask<'static> {
    Ask { low_latency, folder: "C_1_1/", query: "?t=x", ..Ask::default() }
}

/// The values of a tag.
fn values<'a>(playlist: &'a str, tag: &str) -> Vec<&'a str> {
    playlist.lines().filter_map(|line| line.strip_prefix(tag)?.strip_prefix(':')).collect()
}

fn files(playlist: &str) -> Vec<File> {
    let named = playlist.lines().filter(|line| !line.starts_with('#'));
    named.map(|line| File::parse(line.strip_prefix("C_1_1/").unwrap().strip_suffix("?t=x").unwrap()).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn segments_begin_with_key_frames_and_add_up() {
    let (mut packager, rendition) = packager(Container::Fmp4);
    let mut camera = Camera::new(25, 25);
    camera.seconds(&mut packager, 21);
    let playlist = rendition.playlist(ask(false)).await.unwrap();
    assert_eq!(values(&playlist, "#EXT-X-TARGETDURATION"), ["2"]);
    assert_eq!(values(&playlist, "#EXT-X-MAP"), ["URI=\"C_1_1/init0.mp4?t=x\""]);
    assert_eq!(values(&playlist, "#EXTINF"), ["2.00000,"; LISTED]);
    assert!(!playlist.contains("EXT-X-PART"));
    // Ten whole ones, of which the last five are named, and three more can still be fetched.
    assert_eq!(files(&playlist), (5..10).map(|n| File::Segment(FIRST + n)).collect::<Vec<_>>());
    assert_eq!(values(&playlist, "#EXT-X-MEDIA-SEQUENCE"), ["1005"]);
    assert_eq!(values(&playlist, "#EXT-X-PROGRAM-DATE-TIME")[0], "2023-11-14T22:13:30.000Z");
    assert_eq!(rendition.file(File::Segment(FIRST + 1)).await, Err(HlsError::Gone));

    let init = rendition.file(File::Init(0)).await.unwrap().concat();
    let (tracks, _) = fmp4::read_init(&init).unwrap();
    let mut pictures = Vec::new();
    for number in 2..10 {
        let mut bytes = Bytes::from(rendition.file(File::Segment(FIRST + number)).await.unwrap().concat());
        let before = pictures.len();
        while !bytes.is_empty() {
            let (frames, length) = fmp4::read_fragment(&tracks, &bytes).unwrap();
            pictures.extend(frames.into_iter().filter(|frame| frame.track == TrackId::VIDEO));
            bytes = bytes.slice(length..);
        }
        assert!(pictures[before].key, "segment {number}");
    }
    let numbers: Vec<i64> =
        pictures.iter().map(|frame| i64::from_be_bytes(frame.data[6..].try_into().unwrap())).collect();
    assert_eq!(numbers, (100..500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn transport_stream_segments_hold_whole_packets_and_no_parts() {
    let (mut packager, rendition) = packager(Container::Ts);
    Camera::new(25, 50).seconds(&mut packager, 7);
    let playlist = rendition.playlist(ask(true)).await.unwrap();
    assert!(!playlist.contains("EXT-X-PART") && !playlist.contains("EXT-X-MAP"), "{playlist}");
    assert_eq!(values(&playlist, "#EXT-X-VERSION"), ["3"]);
    for file in files(&playlist) {
        let bytes = rendition.file(file).await.unwrap().concat();
        assert_eq!(bytes.len() % 188, 0);
        assert!(bytes.chunks(188).all(|packet| packet[0] == 0x47));
        assert_eq!((bytes[1] & 0x1F, bytes[2]), (0, 0), "begins with the programme association table");
    }
}

#[tokio::test(start_paused = true)]
async fn long_gops_make_the_target_and_later_ones_are_cut_to_it() {
    let (mut packager, rendition) = packager(Container::Fmp4);
    let mut camera = Camera::new(10, 40);
    camera.seconds(&mut packager, 9);
    let playlist = rendition.playlist(ask(false)).await.unwrap();
    assert_eq!(values(&playlist, "#EXT-X-TARGETDURATION"), ["4"]);
    assert_eq!(values(&playlist, "#EXTINF"), ["4.00000,", "4.00000,"]);
    // From now on a key frame comes once a minute, and no segment may become longer than was said.
    camera.gop = 600;
    camera.seconds(&mut packager, 25);
    let playlist = rendition.playlist(ask(false)).await.unwrap();
    let longest = values(&playlist, "#EXTINF").into_iter().map(|d| d.trim_end_matches(',').parse::<f64>().unwrap());
    let longest = longest.fold(0.0, f64::max);
    assert!((4.0..4.5).contains(&longest), "{playlist}");
}

#[tokio::test(start_paused = true)]
async fn parts_are_announced_waited_for_and_join_to_the_segment() {
    let (mut packager, rendition) = packager(Container::Fmp4);
    let mut camera = Camera::new(25, 50);
    camera.seconds(&mut packager, 5);
    let playlist = rendition.playlist(ask(true)).await.unwrap();
    assert_eq!(values(&playlist, "#EXT-X-SERVER-CONTROL"), ["CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.50000"]);
    assert_eq!(values(&playlist, "#EXT-X-PART-INF"), ["PART-TARGET=0.50000"]);
    let parts = values(&playlist, "#EXT-X-PART");
    let lasts = |part: &str| part["DURATION=".len()..].split(',').next().unwrap().parse::<f64>().unwrap();
    assert!(parts.iter().all(|part| lasts(part) <= 0.5), "{playlist}");
    assert_eq!(parts.iter().filter(|part| part.ends_with("INDEPENDENT=YES")).count(), 3);
    // 0.48 s each in whole segments: five of them, the last one short; one second of the open one.
    assert_eq!(parts.len(), 5 + 5 + 2, "{playlist}");
    assert_eq!(values(&playlist, "#EXT-X-PRELOAD-HINT"), ["TYPE=PART,URI=\"C_1_1/1002.2.m4s?t=x\""]);

    let mut joined = Vec::new();
    for part in 0..5 {
        joined.extend(rendition.file(File::Part(FIRST + 1, part)).await.unwrap().concat());
    }
    assert_eq!(joined, rendition.file(File::Segment(FIRST + 1)).await.unwrap().concat());

    // What was hinted at can be asked for before it is there, as a file and as a playlist.
    let (reader, writer) = (rendition.clone(), rendition.clone());
    let hinted = tokio::spawn(async move { reader.file(File::Part(FIRST + 2, 2)).await });
    let reloaded =
        tokio::spawn(async move { writer.playlist(Ask { after: Some((FIRST + 2, Some(2))), ..ask(true) }).await });
    tokio::task::yield_now().await;
    assert!(!hinted.is_finished() && !reloaded.is_finished());
    camera.seconds(&mut packager, 1);
    assert!(!hinted.await.unwrap().unwrap().concat().is_empty());
    assert!(reloaded.await.unwrap().unwrap().contains("1002.2.m4s"));
    assert_eq!(rendition.playlist(Ask { after: Some((FIRST + 9, None)), ..ask(true) }).await, Err(HlsError::TooEarly));
    // Nothing more comes, and nobody waits for ever.
    let late = Ask { after: Some((FIRST + 3, None)), ..ask(true) };
    assert_eq!(rendition.playlist(late).await, Err(HlsError::Timeout));
}

#[tokio::test(start_paused = true)]
async fn what_breaks_off_goes_on_after_a_discontinuity() {
    let (mut packager, rendition) = packager(Container::Fmp4);
    let mut camera = Camera::new(25, 50);
    camera.seconds(&mut packager, 5);
    packager.push(Item::Gap { skipped: 7 });
    camera.seconds(&mut packager, 3);
    // Other parameter sets: another initialisation file.
    packager.push(Item::Tracks([video_with(b"\x68\xce\x3c\x80"), sound()].into()));
    camera.pictures = 1_000;
    camera.seconds(&mut packager, 3);
    let playlist = rendition.playlist(ask(false)).await.unwrap();
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 2, "{playlist}");
    assert_eq!(values(&playlist, "#EXT-X-MAP").len(), 2);
    assert!(rendition.file(File::Init(1)).await.is_ok());
    // The discontinuities are counted on when their segments leave.
    camera.seconds(&mut packager, 30);
    let playlist = rendition.playlist(ask(false)).await.unwrap();
    assert_eq!(values(&playlist, "#EXT-X-DISCONTINUITY-SEQUENCE"), ["2"]);
    assert_eq!(rendition.file(File::Init(0)).await, Err(HlsError::Gone));
}

#[tokio::test(start_paused = true)]
async fn ends_are_told_apart() {
    let (mut finished, rendition) = packager(Container::Ts);
    Camera::new(25, 50).seconds(&mut finished, 3);
    finished.finish();
    assert!(!rendition.is_broken());
    let playlist = rendition.playlist(ask(false)).await.unwrap();
    assert!(playlist.ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(values(&playlist, "#EXTINF"), ["2.00000,", "1.00000,"]);

    let (broken, rendition) = packager(Container::Ts);
    drop(broken);
    assert!(rendition.is_broken());
    assert_eq!(rendition.playlist(ask(false)).await, Err(HlsError::Gone));

    let (silent, rendition) = packager(Container::Ts);
    assert_eq!(rendition.playlist(ask(false)).await, Err(HlsError::Timeout));
    drop(rendition);
    silent.unwanted().await;
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded() {
    let (mut packager, rendition) = packager(Container::Fmp4);
    let frame = |dts: i64, key: bool| {
        let data = Bytes::from(vec![0x65; 4 << 20]);
        Item::Frame(Arc::new(Frame { track: TrackId::VIDEO, dts: Ticks(dts), cts: 0, wall: UnixMicros(0), key, data }))
    };
    for second in 0..40 {
        packager.push(frame(second * 90_000, second % 2 == 0));
    }
    let kept = rendition.shared.window().segments.iter().map(Segment::bytes).sum::<usize>();
    assert!(kept <= KEPT_BYTES_MAX + (1 << 20), "{kept}");
    // A second of pictures of 4 MiB each without a key frame is given up.
    for n in 1..20 {
        packager.push(frame(39 * 90_000 + n * 3_600, false));
    }
    assert!(packager.open_bytes() <= OPEN_BYTES_MAX);
    packager.push(frame(41 * 90_000, true));
    packager.push(frame(43 * 90_000, true));
    assert!(rendition.playlist(ask(false)).await.unwrap().contains("#EXT-X-DISCONTINUITY"));
}

#[test]
fn names_of_files_are_read_back() {
    for (file, container) in [
        (File::Init(3), Container::Fmp4),
        (File::Segment(12), Container::Ts),
        (File::Segment(12), Container::Fmp4),
        (File::Part(12, 4), Container::Fmp4),
    ] {
        assert_eq!(File::parse(&file.named(container).to_string()), Some(file));
    }
    for bad in ["", ".ts", "1", "-1.ts", "+1.ts", "1.2.ts", "init.mp4", "1..m4s", "99999999999999999999.ts"] {
        assert_eq!(File::parse(bad), None, "{bad}");
    }
}

#[test]
fn moments_are_written_as_in_iso_8601() {
    let check = |at: i64, text: &str| assert_eq!(playlist::DateTime(UnixMicros(at)).to_string(), text);
    check(0, "1970-01-01T00:00:00.000Z");
    check(951_782_399_999_999, "2000-02-28T23:59:59.999Z");
    check(951_868_799_000_000, "2000-02-29T23:59:59.000Z");
    check(4_107_542_400_000_000, "2100-03-01T00:00:00.000Z");
    check(-1, "1969-12-31T23:59:59.999Z");
}
