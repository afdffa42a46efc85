//! Containers against ffmpeg, which reads what we write and writes what we read: every output decodes without
//! a warning, to the pictures and the sound that ffmpeg decodes from its own file.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use av::container::{flv, fmp4, ts};
use av::{CodecKind, Frame, MediaKind, Ticks, Track, UnixMicros};
use bytes::Bytes;
use tempfile::TempDir;

/// Runs a tool to its end, which must be a good one, and gives what it printed and what it complained about.
fn run(tool: &str, args: &[&str]) -> (String, String) {
    let output = Command::new(tool).args(args).stdin(Stdio::null()).output().expect("ffmpeg is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{tool} {args:?}: {err}");
    (out, err)
}

/// A hash of each decoded picture, or of all decoded sound; fails on any warning.
fn decoded(file: &Path, kind: MediaKind) -> String {
    let path = file.to_str().unwrap();
    let (map, format) = match kind {
        MediaKind::Video => ("0:v", ["-f", "framehash"]),
        MediaKind::Audio => ("0:a", ["-f", "hash"]),
    };
    let (hashes, warnings) =
        run("ffmpeg", &["-v", "warning", "-i", path, "-map", map, format[0], format[1], "-hash", "md5", "-"]);
    // No box of MP4 that ffmpeg 5 knows says where one channel of G.711 sounds.
    let warnings: Vec<_> = warnings.lines().filter(|line| !line.starts_with("Guessed Channel Layout")).collect();
    assert!(warnings.is_empty(), "{path}: {warnings:?}");
    // The last column: times are compared elsewhere, as each container has its own zero.
    let last = |line: &str| line.rsplit(',').next().unwrap().trim().to_owned();
    hashes.lines().filter(|line| !line.starts_with('#')).map(last).collect::<Vec<_>>().join("\n")
}

/// Packets as ffprobe sees them: stream, pts, dts, duration, size, key.
fn packets(file: &Path) -> Vec<String> {
    let path = file.to_str().unwrap();
    let entries = "packet=stream_index,pts,dts,duration,size,flags";
    let as_stored: &[&str] = if path.ends_with(".mp4") { &["-ignore_editlist", "1"] } else { &[] };
    let args = ["-v", "warning", "-show_entries", entries, "-of", "csv=p=0", path];
    let (packets, warnings) = run("ffprobe", &[as_stored, &args].concat());
    assert_eq!(warnings, "", "{path}");
    packets.lines().map(str::to_owned).collect()
}

/// A recording as a test has it: frames in decoding order over all tracks.
#[derive(Clone)]
struct Clip {
    tracks: Vec<Track>,
    frames: Vec<Arc<Frame>>,
}

impl Clip {
    /// Reads a fragmented file.
    fn of_fragments(file: &Path) -> Clip {
        let mut bytes = Bytes::from(std::fs::read(file).unwrap());
        let (tracks, len) = fmp4::read_init(&bytes).unwrap();
        let mut frames = Vec::new();
        bytes = bytes.slice(len..);
        while !bytes.is_empty() {
            let (more, len) = fmp4::read_fragment(&tracks, &bytes).unwrap();
            frames.extend(more.into_iter().map(Arc::new));
            bytes = bytes.slice(len..);
        }
        Clip { tracks, frames }
    }

    fn of_flv(stream: &[u8]) -> Clip {
        let (mut demuxer, mut reader, mut frames) = (flv::Demuxer::new(), flv::FrameReader::new(), Vec::new());
        demuxer.push(stream);
        while let Some(tag) = demuxer.pull().unwrap() {
            let output = reader.push(tag.kind, tag.timestamp_ms, tag.body, UnixMicros(0)).unwrap();
            frames.extend(output.frame.map(Arc::new));
        }
        Clip { tracks: reader.tracks().to_vec(), frames }
    }

    fn track(&self, frame: &Frame) -> &Track {
        self.tracks.iter().find(|track| track.id == frame.track).unwrap()
    }

    /// Its fragments, of a second each.
    fn fragments(&self) -> Vec<Vec<u8>> {
        let second = |frame: &Frame| frame.dts.0 / i64::from(self.track(frame).clock_rate);
        let seconds = self.frames.iter().map(|frame| second(frame)).max().unwrap() + 1;
        let fragment = |part: i64| {
            let frames = self.tracks.iter().map(|track| {
                let own = self.frames.iter().filter(|frame| frame.track == track.id);
                let inside: Vec<_> = own.clone().filter(|frame| second(frame) == part).cloned().collect();
                let next = own.clone().find(|frame| second(frame) > part).map(|frame| frame.dts.0);
                // Nobody tells how long the last one lasts: as long as the one before.
                let mut dts = own.rev().map(|frame| frame.dts.0);
                let (last, before) = (dts.next().unwrap(), dts.next().unwrap());
                (track, inside, Ticks(next.unwrap_or(2 * last - before)))
            });
            let frames: Vec<_> = frames.collect();
            let runs: Vec<_> =
                frames.iter().map(|(track, frames, end)| fmp4::Run { track, frames, end: *end }).collect();
            let mut out = Vec::new();
            fmp4::fragment(&mut out, part as u32 + 1, &runs);
            out
        };
        (0..seconds).map(fragment).collect()
    }

    fn to_mp4(&self) -> Vec<u8> {
        [fmp4::init(&self.tracks), self.fragments().concat()].concat()
    }

    fn to_ts(&self) -> Vec<u8> {
        let (mut muxer, mut out) = (ts::Muxer::new(&self.tracks), Vec::new());
        self.frames.iter().for_each(|frame| muxer.push(frame, &mut out));
        out
    }
}

struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Three seconds of a test picture and a tone.
    fn made(&self, inputs: &[&str], how: &[&str]) -> std::path::PathBuf {
        let path = self.0.path().join("made.mp4");
        let lavfi = inputs.iter().flat_map(|input| ["-f", "lavfi", "-i", input]);
        let args: Vec<&str> = ["-v", "error"]
            .into_iter()
            .chain(lavfi)
            .chain(how.iter().copied())
            .chain([path.to_str().unwrap()])
            .collect();
        run("ffmpeg", &args);
        path
    }
}

const PICTURE: &str = "testsrc2=s=320x180:r=25:d=3";
const TONE: &str = "sine=440:r=16000:d=3";

/// What ffmpeg made is read as ffprobe reads it; written again, as MP4 and TS, it decodes to the same.
fn check(inputs: &[&str], how: &[&str], codecs: &[CodecKind]) {
    let files = Files::new();
    let made = files.made(inputs, how);
    let clip = Clip::of_fragments(&made);
    assert_eq!(clip.tracks.iter().map(|track| track.codec.kind()).collect::<Vec<_>>(), codecs);
    assert!(clip.frames.len() > 40);
    let mp4 = files.write("ours.mp4", &clip.to_mp4());
    let ts = files.write("ours.ts", &clip.to_ts());
    let by_stream = |mut packets: Vec<String>| {
        packets.sort_by_key(|packet| packet.split(',').next().unwrap().to_owned());
        packets
    };
    assert_eq!(by_stream(packets(&mp4)), by_stream(packets(&made)));
    for kind in clip.tracks.iter().map(Track::kind) {
        let expected = decoded(&made, kind);
        assert_eq!(decoded(&mp4, kind), expected);
        assert_eq!(decoded(&ts, kind), expected);
    }
}

const X264: &[&str] = &["-c:v", "libx264", "-g", "25", "-bf", "2"];
const X265: &[&str] = &["-c:v", "libx265", "-g", "25", "-bf", "2", "-x265-params", "log-level=error"];
const AAC: &[&str] = &["-c:a", "aac"];

/// Fragments at key frames, with what else `-movflags` may say.
fn fragmented(more: &str) -> [String; 2] {
    ["-movflags".to_owned(), format!("frag_keyframe+empty_moov{more}")]
}

#[test]
fn h264_and_aac_in_all_ways_to_say_where_samples_are() {
    for more in ["", "+default_base_moof", "+cmaf", "+omit_tfhd_offset", "+separate_moof"] {
        let flags = fragmented(more);
        let how = [X264, AAC, &flags.each_ref().map(String::as_str)].concat();
        check(&[PICTURE, TONE], &how, &[CodecKind::H264, CodecKind::Aac]);
    }
}

#[test]
fn h265_and_aac() {
    let flags = fragmented("+default_base_moof");
    let how = [X265, AAC, &flags.each_ref().map(String::as_str)].concat();
    check(&[PICTURE, TONE], &how, &[CodecKind::H265, CodecKind::Aac]);
}

#[test]
fn pictures_alone_each_a_key_frame() {
    let flags = fragmented("+cmaf");
    let how = [&["-c:v", "libx264", "-g", "1"], &flags.each_ref().map(String::as_str)[..]].concat();
    check(&[PICTURE], &how, &[CodecKind::H264]);
}

#[test]
fn sound_alone() {
    let how = [AAC, &["-movflags", "empty_moov+default_base_moof", "-frag_duration", "700000"]].concat();
    check(&[TONE], &how, &[CodecKind::Aac]);
}

#[test]
fn g711_in_mp4_and_left_out_of_ts() {
    let files = Files::new();
    let streams: [(&str, &[u8]); 2] = [
        ("a.flv", include_bytes!("../src/testdata/ffmpeg_baseline_g711a.flv")),
        ("mu.flv", include_bytes!("../src/testdata/ffmpeg_g711mu.flv")),
    ];
    for (name, stream) in streams {
        let theirs = files.write(name, stream);
        let clip = Clip::of_flv(stream);
        let ours = files.write("ours.mp4", &clip.to_mp4());
        assert_eq!(decoded(&ours, MediaKind::Audio), decoded(&theirs, MediaKind::Audio));
        let (tracks, _) = fmp4::read_init(&std::fs::read(&ours).unwrap()).unwrap();
        assert_eq!(tracks, clip.tracks);
        let ts = clip.to_ts();
        if clip.tracks.iter().any(|track| track.kind() == MediaKind::Video) {
            assert_eq!(decoded(&files.write("ours.ts", &ts), MediaKind::Video), decoded(&theirs, MediaKind::Video));
        } else {
            assert!(ts.is_empty());
        }
    }
}

/// A clip of ffmpeg's with pictures and sound.
fn made_clip(files: &Files) -> (std::path::PathBuf, Clip) {
    let flags = fragmented("");
    let made = files.made(&[PICTURE, TONE], &[X264, AAC, &flags.each_ref().map(String::as_str)].concat());
    let clip = Clip::of_fragments(&made);
    (made, clip)
}

/// Milliseconds between the presentation times of packets of one stream, without the first.
fn steps(packets: &[String], stream: &str, rate: i64) -> Vec<i64> {
    let field = |packet: &String, at: usize| packet.split(',').nth(at).unwrap().to_owned();
    let own = packets.iter().filter(|packet| field(packet, 0) == stream);
    let mut times: Vec<i64> = own.map(|packet| field(packet, 1).parse().unwrap()).collect();
    times.sort_unstable();
    times.windows(2).map(|pair| (pair[1] - pair[0]) * 1000 / rate).collect()
}

#[test]
fn segments_of_several_ts_muxers_are_one_stream() {
    let files = Files::new();
    let (made, clip) = made_clip(&files);
    // A muxer each for what is before, between and behind the key pictures.
    let mut out = Vec::new();
    let mut muxer = ts::Muxer::new(&clip.tracks);
    for frame in &clip.frames {
        if frame.key && clip.track(frame).kind() == MediaKind::Video {
            muxer = ts::Muxer::new(&clip.tracks);
        }
        muxer.push(frame, &mut out);
    }
    let ts = files.write("ours.ts", &out);
    for kind in [MediaKind::Video, MediaKind::Audio] {
        assert_eq!(decoded(&ts, kind), decoded(&made, kind));
    }
    assert!(steps(&packets(&ts), "0", 90_000).iter().all(|&step| step == 40));
}

#[test]
fn recordings_joined_play_without_a_gap() {
    let files = Files::new();
    let (made, clip) = made_clip(&files);
    // Recorded three times: at once, an hour later, and by a clock that began anew.
    let hour = |frame: &Frame| 3600 * i64::from(clip.track(frame).clock_rate);
    let later = |shift: &dyn Fn(&Frame) -> i64| {
        let frames = clip
            .frames
            .iter()
            .map(|frame| Arc::new(Frame { dts: Ticks(frame.dts.0 + shift(frame)), ..Frame::clone(frame) }));
        let fragments = Clip { frames: frames.collect(), ..clip.clone() }.fragments();
        fragments.into_iter().filter(|fragment| !fragment.is_empty()).collect::<Vec<_>>()
    };
    let parts = [later(&|_| 0), later(&hour), later(&|_| 0)].concat();
    let mut joiner = fmp4::Joiner::new(&clip.tracks);
    let mut out = fmp4::init(&clip.tracks);
    for part in parts {
        let part = Bytes::from(part);
        let (joined, len) = joiner.push(&part).unwrap();
        assert_eq!(len, part.len());
        let fmp4::Joined { moof, mdat } = joined.unwrap();
        out.extend_from_slice(&moof);
        out.extend_from_slice(&mdat);
    }
    let ours = files.write("joined.mp4", &out);
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let frames = decoded(&made, kind);
        if kind == MediaKind::Video {
            assert_eq!(decoded(&ours, kind), [&frames[..]; 3].join("\n"));
        } else {
            decoded(&ours, kind);
        }
    }
    let packets = packets(&ours);
    assert!(packets[0].starts_with("0,1024,0,"));
    let rate = i64::from(clip.tracks[0].clock_rate);
    let steps = steps(&packets, "0", rate);
    assert_eq!(steps.len(), 3 * 75 - 1);
    // Sound lasts a little longer than the pictures, and the next take begins behind both.
    assert!(steps.iter().all(|step| (40..180).contains(step)), "{steps:?}");
    assert_eq!(steps.iter().filter(|&&step| step != 40).count(), 2, "{steps:?}");
}

#[test]
fn an_index_is_found_by_others() {
    let files = Files::new();
    let (made, clip) = made_clip(&files);
    let mut file = clip.to_mp4();
    let entries: Vec<_> = fmp4::scan(&clip.tracks, &file)
        .map(|found| fmp4::IndexEntry { at: found.offset as u64, time: found.time, key: found.key })
        .collect();
    let start = entries[0].time;
    let entries: Vec<_> =
        entries.into_iter().map(|entry| fmp4::IndexEntry { time: entry.time - start, ..entry }).collect();
    fmp4::write_index(&mut file, &clip.tracks, start, &entries);
    let ours = files.write("indexed.mp4", &file);
    assert_eq!(decoded(&ours, MediaKind::Video), decoded(&made, MediaKind::Video));
    // Seeking by it, ffmpeg begins at the key picture before the time asked for.
    let path = ours.to_str().unwrap();
    let args = ["-v", "warning", "-use_mfra_for", "pts", "-read_intervals", "2.1%+#1", "-select_streams", "v"];
    let show = ["-show_entries", "packet=pts_time", "-of", "csv=p=0", path];
    let (first, warnings) = run("ffprobe", &[&args[..], &show].concat());
    assert_eq!((first.trim(), warnings.as_str()), ("2.080000", ""));
}
