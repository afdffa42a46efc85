//! Voice files that people upload or browsers record, to [`Pcm`].
//!
//! | File | With | By |
//! |---|---|---|
//! | MP3 | | `symphonia` |
//! | WAV | PCM, A-law, µ-law | `symphonia` |
//! | AAC in ADTS, LATM or MP4 (whole or in fragments, as Safari records) | LC, HE | `syom` |
//! | Ogg, WebM, MP4 (as Firefox and Chrome record) | Opus | `symphonia`, `opus-decoder` |
//!
//! The format is told by the bytes, never by a name.

use std::fmt::Display;
use std::io::{Cursor, ErrorKind};
use std::time::Duration;

use opus_decoder::OpusDecoder;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::packet::Packet;
use symphonia::default::formats::{IsoMp4Reader, MkvReader, MpaReader, OggReader, WavReader};

use crate::Pcm;
use crate::pcm::to_i16;

/// How much is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file.
    pub bytes: usize,
    /// How long it may sound.
    pub duration: Duration,
}

impl Default for Limits {
    /// What the platform documents: 5 MB and 60 s.
    fn default() -> Self {
        Limits { bytes: 5_000_000, duration: Duration::from_secs(60) }
    }
}

/// Why a file is not a voice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file, or the sound in it, has no length.
    #[error("there is no sound in it")]
    Empty,
    /// More bytes than the limit.
    #[error("larger than {0} bytes")]
    TooLarge(usize),
    /// It sounds longer than the limit.
    #[error("longer than {0:?}")]
    TooLong(Duration),
    /// It is none of the formats taken.
    #[error("neither MP3, WAV, AAC, M4A, Ogg nor WebM")]
    UnknownFormat,
    /// The format is taken, what is in it is not.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// It cannot be read.
    #[error("damaged: {0}")]
    Damaged(String),
}

/// Rates that sound has; a header that says another is damaged.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;
/// Rates that [`Pcm`] has.
const PCM_RATES: (u32, u32) = (8_000, 48_000);
/// What Opus is decoded at, whatever it was made from (RFC 7845 §5.1).
const OPUS_RATE: u32 = 48_000;
/// Samples of the longest Opus packet, 120 ms (RFC 6716 §3.1).
const OPUS_PACKET_MAX: usize = 5_760;

/// Decodes a file and mixes its channels to one. Takes some milliseconds a second of sound: not for a
/// thread that others wait for.
///
/// Frames that are damaged are left out, as players do, if any sound remains.
///
/// # Errors
/// [`Error`].
pub fn decode(file: &[u8], limits: Limits) -> Result<Pcm, Error> {
    if file.len() > limits.bytes {
        return Err(Error::TooLarge(limits.bytes));
    }
    // The decoders are others', some of them young: where one panics, the file is damaged and we go on.
    std::panic::catch_unwind(|| sniff(file, limits)).unwrap_or_else(|_| Err(damaged("its decoder gave up")))
}

fn sniff(file: &[u8], limits: Limits) -> Result<Pcm, Error> {
    let file = behind_id3(file);
    let pcm = match file {
        [] => return Err(Error::Empty),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => packets(file, limits, WavReader::try_new)?,
        [b'O', b'g', b'g', b'S', ..] => packets(file, limits, OggReader::try_new)?,
        [0x1A, 0x45, 0xDF, 0xA3, ..] => packets(file, limits, MkvReader::try_new)?,
        // A frame header of layer III; layer 0 would be ADTS.
        [0xFF, second, ..] if second & 0xE6 == 0xE2 => packets(file, limits, MpaReader::try_new)?,
        _ if syom::sniff_aac(file) => match aac(file, limits) {
            // Chrome puts Opus into MP4.
            Err(Error::Unsupported(_)) if is_mp4(file) => packets(file, limits, IsoMp4Reader::try_new)?,
            sound => sound?,
        },
        _ => return Err(Error::UnknownFormat),
    };
    if pcm.samples.is_empty() {
        return Err(Error::Empty);
    }
    Ok(pcm.resampled(pcm.sample_rate.clamp(PCM_RATES.0, PCM_RATES.1)))
}

/// Skips an ID3v2 tag (ID3v2.4.0 §3.1), which MP3 and ADTS files carry in front, and the zeros that
/// some writers put behind it.
fn behind_id3(file: &[u8]) -> &[u8] {
    let [b'I', b'D', b'3', _, _, _, a, b, c, d, ..] = *file else { return file };
    let size = [a, b, c, d].into_iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7F));
    let file = file.get(10 + size..).unwrap_or_default();
    let zeros = file.iter().take_while(|byte| **byte == 0).count();
    &file[zeros..]
}

/// Whether the file begins with the box that MP4 begins with (ISO/IEC 14496-12 §4.3).
fn is_mp4(file: &[u8]) -> bool {
    file.get(4..8) == Some(b"ftyp")
}

fn damaged(error: impl Display) -> Error {
    Error::Damaged(error.to_string())
}

fn aac(file: &[u8], limits: Limits) -> Result<Pcm, Error> {
    let options = syom::DecodeOptions::speech()
        .with_max_duration_secs(limits.duration.as_secs_f64())
        .with_max_sample_rate(*RATES.end());
    let sound = syom::decode_with(file, &options).map_err(|error| match error {
        syom::AacError::TooLong { .. } | syom::AacError::Limit { .. } => Error::TooLong(limits.duration),
        // `Format` is what an MP4 of another codec gives.
        syom::AacError::Unsupported(_)
        | syom::AacError::UnsupportedSampleRate { .. }
        | syom::AacError::NotAac
        | syom::AacError::Format(_) => Error::Unsupported(error.to_string()),
        other => damaged(other),
    })?;
    let samples: Vec<i16> = sound.channels.first().into_iter().flatten().map(|&sample| to_i16(sample)).collect();
    within(samples.len(), sound.sample_rate, limits)?;
    Ok(Pcm { sample_rate: sound.sample_rate, samples })
}

/// Checks the rate, and the length so far.
fn within(samples: usize, sample_rate: u32, limits: Limits) -> Result<(), Error> {
    if !RATES.contains(&sample_rate) {
        return Err(Error::Damaged(format!("{sample_rate} samples a second")));
    }
    if samples as u128 * 1_000_000_000 > limits.duration.as_nanos() * u128::from(sample_rate) {
        return Err(Error::TooLong(limits.duration));
    }
    Ok(())
}

/// Reads a file that `symphonia` takes apart.
fn packets<'f, R: FormatReader + 'f>(
    file: &'f [u8],
    limits: Limits,
    open: impl FnOnce(MediaSourceStream<'f>, FormatOptions) -> Result<R, SymphoniaError>,
) -> Result<Pcm, Error> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(file)), Default::default());
    let mut reader = open(stream, FormatOptions::default()).map_err(|error| match error {
        SymphoniaError::Unsupported(what) => Error::Unsupported(what.to_owned()),
        other => damaged(other),
    })?;
    let track = reader.default_track(TrackType::Audio).ok_or(Error::Empty)?;
    let (id, parameters) = (track.id, track.codec_params.as_ref().and_then(|parameters| parameters.audio()));
    let mut decoder = Decoder::new(parameters.ok_or(Error::Empty)?)?;
    let mut pcm = Pcm { sample_rate: 0, samples: Vec::new() };
    let mut fault = None;
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // Cut off, as recordings are; or another chained stream begins, which we leave out.
            Err(SymphoniaError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(SymphoniaError::ResetRequired) => break,
            Err(error) => {
                fault = Some(damaged(error));
                break;
            }
        };
        if packet.track_id != id {
            continue;
        }
        match decoder.decode(&packet, &mut pcm.samples) {
            // A rate that changes on the way would change the pitch.
            Ok(rate) if pcm.sample_rate != 0 && rate != pcm.sample_rate => {
                return Err(Error::Unsupported("another sample rate on the way".into()));
            }
            Ok(rate) => pcm.sample_rate = rate,
            Err(error) => fault = Some(error),
        }
        if pcm.sample_rate != 0 {
            within(pcm.samples.len(), pcm.sample_rate, limits)?;
        }
    }
    match fault {
        Some(fault) if pcm.samples.is_empty() => Err(fault),
        _ => Ok(pcm),
    }
}

/// Whoever makes samples of packets.
enum Decoder {
    Symphonia(Box<dyn AudioDecoder>, Vec<f32>),
    /// With the samples still to be skipped (pre-skip, RFC 7845 §4.2).
    Opus(Box<OpusDecoder>, usize),
}

impl Decoder {
    fn new(parameters: &AudioCodecParameters) -> Result<Decoder, Error> {
        if parameters.codec == CODEC_ID_OPUS {
            // Decoding to one channel mixes two.
            let decoder = OpusDecoder::new(OPUS_RATE, 1).map_err(damaged)?;
            // WebM carries the identification header of Ogg (RFC 7845 §5.1) as its private data.
            let skip = match parameters.extra_data.as_deref() {
                Some([b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', _, _, low, high, ..]) => {
                    u16::from_le_bytes([*low, *high]).into()
                }
                _ => 0,
            };
            return Ok(Decoder::Opus(Box::new(decoder), skip));
        }
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|_| Error::Unsupported(format!("codec {}", parameters.codec)))?;
        Ok(Decoder::Symphonia(decoder, Vec::new()))
    }

    /// Appends a packet's samples, mixed to one channel, and tells their rate.
    fn decode(&mut self, packet: &Packet, samples: &mut Vec<i16>) -> Result<u32, Error> {
        match self {
            Decoder::Symphonia(decoder, interleaved) => {
                let sound = decoder.decode(packet).map_err(damaged)?;
                let (rate, channels) = (sound.spec().rate(), sound.spec().channels().count().max(1));
                sound.copy_to_vec_interleaved(interleaved);
                let mix = |frame: &[f32]| to_i16(frame.iter().sum::<f32>() / frame.len() as f32);
                samples.extend(interleaved.chunks_exact(channels).map(mix));
                Ok(rate)
            }
            Decoder::Opus(decoder, skip) => {
                let start = samples.len();
                samples.resize(start + OPUS_PACKET_MAX, 0);
                let made = decoder.decode(&packet.data, &mut samples[start..], false);
                samples.truncate(start + made.as_ref().copied().unwrap_or(0));
                let skipped = (*skip).min(samples.len() - start);
                samples.drain(start..start + skipped);
                *skip -= skipped;
                made.map(|_| OPUS_RATE).map_err(damaged)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    macro_rules! file {
        ($name:literal) => {
            ($name, include_bytes!(concat!("testdata/voice/", $name)).as_slice())
        };
    }

    /// Half a second (Chrome's: a little more) of 1 kHz, by ffmpeg and by Chrome's MediaRecorder.
    const TONES: [(&str, &[u8]); 9] = [
        file!("tone_44100_stereo.mp3"),
        file!("tone_11025_stereo.wav"),
        file!("tone_8000_alaw.wav"),
        file!("tone_44100_stereo.aac"),
        file!("tone_44100_stereo.m4a"),
        file!("tone_48000_fragments.mp4"),
        file!("tone_opus_stereo.ogg"),
        file!("chrome_opus.webm"),
        file!("chrome_opus.mp4"),
    ];

    /// How much of the sound's power lies at one frequency, 0 to 1 (Goertzel, under a Hann window).
    fn share(samples: &[i16], hz: f64, rate: u32) -> f64 {
        let turn = std::f64::consts::TAU;
        let window = |i: usize| 0.5 - 0.5 * (turn * i as f64 / samples.len() as f64).cos();
        let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
        for (i, &sample) in samples.iter().enumerate() {
            let (sin, cos) = (turn * hz * i as f64 / f64::from(rate)).sin_cos();
            let sample = f64::from(sample) * window(i);
            (re, im, power) = (re + sample * cos, im + sample * sin, power + sample * sample);
        }
        // A tone of amplitude 1 sums to n/4 here, and its power to 3n/16.
        (re * re + im * im) * 3.0 / (power * samples.len() as f64)
    }

    #[test]
    fn each_format_sounds_as_it_was_made() {
        for (name, file) in TONES {
            let pcm = decode(file, Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
            let seconds = pcm.duration().as_secs_f64();
            assert!((0.48..0.85).contains(&seconds), "{name}: {seconds} s");
            let named: Option<u32> = name.split('_').nth(1).and_then(|rate| rate.parse().ok());
            assert_eq!(pcm.sample_rate, named.unwrap_or(OPUS_RATE), "{name}");
            let middle = &pcm.samples[pcm.samples.len() / 4..pcm.samples.len() * 3 / 4];
            let share = share(middle, 1_000.0, pcm.sample_rate);
            assert!(share > 0.98, "{name}: {share:.3} of its power is the tone");
            let loudest = middle.iter().map(|sample| sample.unsigned_abs()).max();
            assert!(loudest > Some(2_500), "{name}: {loudest:?}");
        }
    }

    #[test]
    fn beyond_the_limits_is_refused() {
        for (name, file) in TONES {
            let limits = Limits { bytes: file.len() - 1, ..Limits::default() };
            assert_eq!(decode(file, limits), Err(Error::TooLarge(file.len() - 1)), "{name}");
            let limits = Limits { duration: Duration::from_millis(400), ..Limits::default() };
            assert_eq!(decode(file, limits), Err(Error::TooLong(limits.duration)), "{name}");
        }
    }

    #[test]
    fn what_is_no_voice_is_told_apart() {
        let refused = |file: &[u8]| decode(file, Limits::default()).unwrap_err();
        assert_eq!(refused(b""), Error::Empty);
        assert_eq!(refused(b"<html>not found</html>"), Error::UnknownFormat);
        assert_eq!(refused(b"ID3\x04\0\0\x7f\x7f\x7f\x7f"), Error::Empty);
        assert!(matches!(refused(file!("tone_vorbis.ogg").1), Error::Unsupported(_)));
        assert!(matches!(refused(b"RIFF\x04\0\0\0WAVE"), Error::Damaged(_) | Error::Unsupported(_)));
        // A header that promises sound, and no sound.
        assert_eq!(refused(&file!("tone_11025_stereo.wav").1[..44]), Error::Empty);
    }

    #[test]
    fn a_file_cut_anywhere_is_decoded_as_far_as_it_goes_or_refused() {
        for (name, file) in TONES {
            let whole = decode(file, Limits::default()).unwrap().samples.len();
            let mut decoded = 0;
            for cut in (0..file.len()).step_by(97) {
                if let Ok(pcm) = decode(&file[..cut], Limits::default()) {
                    decoded += 1;
                    // Opus and AAC may conceal, and an edit list no longer cut the end.
                    assert!(pcm.samples.len() <= whole + 5_000, "{name} cut at {cut}");
                }
            }
            // The others hold half a second in one piece, which is lost with its end.
            let small_pieces = [".mp3", ".wav", ".aac", ".webm"].iter().any(|ending| name.ends_with(ending));
            assert!(decoded > 3 || !small_pieces, "{name}: {decoded} times only");
        }
    }

    #[test]
    fn a_decoder_that_gives_up_is_a_damaged_file() {
        // Its Opus decoder shifts by more bits than there are, which panics where that is checked.
        let (_, file) = file!("opus_shift.webm");
        let decoded = decode(file, Limits::default());
        assert!(matches!(decoded, Ok(_) | Err(Error::Damaged(_))), "{decoded:?}");
    }
}
