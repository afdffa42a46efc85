//! What comes out of an address, read with our formats and decoded with a decoder made by others.

use std::sync::Arc;
use std::time::Duration;

use av::container::flv;
use av::{CodecParameters, Frame, Ticks, Track, TrackId, UnixMicros};
use camera::marker::read_counter;
use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;
use tokio::time::{Instant, timeout_at};

/// Frames of an HTTP-FLV address, as they come.
pub struct FlvViewer {
    response: reqwest::Response,
    demuxer: flv::Demuxer,
    reader: flv::FrameReader,
    /// Of the last picture.
    last: Ticks,
}

impl FlvViewer {
    /// Opens the address, which must be accepted.
    pub async fn open(client: &reqwest::Client, address: &str) -> FlvViewer {
        let response = client.get(address).timeout(Duration::from_secs(600)).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{address}");
        FlvViewer { response, demuxer: flv::Demuxer::new(), reader: flv::FrameReader::new(), last: Ticks(0) }
    }

    /// What the next tag brings; `None` at the end or the deadline.
    pub async fn next(&mut self, deadline: Instant) -> Option<flv::Output> {
        loop {
            if let Some(tag) = self.demuxer.pull().expect("valid FLV") {
                let output = self.reader.push(tag.kind, tag.timestamp_ms, tag.body, UnixMicros(0));
                return Some(output.expect("valid tag body"));
            }
            let chunk = timeout_at(deadline, self.response.chunk()).await.ok()?.ok()??;
            self.demuxer.push(&chunk);
        }
    }

    /// The tracks told so far.
    pub fn tracks(&self) -> Arc<[Track]> {
        self.reader.tracks()
    }

    /// The counter in the next tag's picture, if it brings one; `None` at the end or the deadline.
    pub async fn counter(&mut self, pictures: &mut Pictures, deadline: Instant) -> Option<Option<u32>> {
        let output = self.next(deadline).await?;
        output.tracks.iter().for_each(|tracks| pictures.set_tracks(tracks));
        let Some(frame) = output.frame.filter(|frame| frame.track == TrackId::VIDEO) else { return Some(None) };
        assert!(frame.dts >= self.last, "time never runs back");
        self.last = frame.dts;
        let counter = pictures.decode_with(&frame, |picture| {
            let (width, height) = picture.dimensions();
            read_counter(picture.y(), width, height, picture.strides().0)
        });
        Some(Some(counter.flatten().expect("a picture with a readable counter")))
    }
}

/// Decodes the H.264 track of a stream to pictures.
pub struct Pictures {
    decoder: Decoder,
    parameters: Vec<u8>,
}

/// One decoded picture's luma plane.
pub struct Luma {
    /// Samples, `stride` a row.
    pub samples: Vec<u8>,
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Samples from one row to the next.
    pub stride: usize,
}

impl Pictures {
    /// A decoder that has seen nothing.
    pub fn new() -> Pictures {
        Pictures { decoder: Decoder::new().expect("decoder"), parameters: Vec::new() }
    }

    /// Takes the parameter sets of the video track.
    pub fn set_tracks(&mut self, tracks: &[Track]) {
        for track in tracks {
            if let CodecParameters::H264(parameters) = &track.codec {
                self.parameters.clear();
                for set in [&parameters.sps, &parameters.pps] {
                    self.parameters.extend_from_slice(&[0, 0, 0, 1]);
                    self.parameters.extend_from_slice(set);
                }
            }
        }
    }

    /// Decodes a video frame.
    pub fn decode(&mut self, frame: &Frame) -> Option<Luma> {
        self.decode_with(frame, |picture| Luma {
            samples: picture.y().to_vec(),
            size: picture.dimensions(),
            stride: picture.strides().0,
        })
    }

    /// Decodes a video frame and reads something from the whole picture.
    pub fn decode_with<T>(&mut self, frame: &Frame, read: impl FnOnce(&DecodedYUV<'_>) -> T) -> Option<T> {
        let mut annex_b = if frame.key { self.parameters.clone() } else { Vec::new() };
        av::codec::nal::write_annex_b(&frame.data, &mut annex_b).expect("whole NAL units");
        self.decoder.decode(&annex_b).expect("decodable").map(|picture| read(&picture))
    }
}

/// Plays an FLV address to its end; gives the counters of all pictures, in order.
pub async fn counters(client: &reqwest::Client, address: &str, patience: Duration) -> Vec<u32> {
    let mut viewer = FlvViewer::open(client, address).await;
    let (mut pictures, mut counters) = (Pictures::new(), Vec::new());
    let deadline = Instant::now() + patience;
    while let Some(counter) = viewer.counter(&mut pictures, deadline).await {
        counters.extend(counter);
    }
    assert!(Instant::now() < deadline, "{address} has no end");
    counters
}
