//! What comes out of an address, read with our formats and decoded with a decoder made by others.

use std::sync::Arc;
use std::time::Duration;

use av::container::flv;
use av::{CodecParameters, Frame, Track, UnixMicros};
use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;
use tokio::time::{Instant, timeout_at};

/// Frames of an HTTP-FLV address, as they come.
pub struct FlvViewer {
    response: reqwest::Response,
    demuxer: flv::Demuxer,
    reader: flv::FrameReader,
}

impl FlvViewer {
    /// Opens the address, which must be accepted.
    pub async fn open(client: &reqwest::Client, address: &str) -> FlvViewer {
        let response = client.get(address).timeout(Duration::from_secs(600)).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{address}");
        FlvViewer { response, demuxer: flv::Demuxer::new(), reader: flv::FrameReader::new() }
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
