//! RIFF WAVE files (IBM and Microsoft, Multimedia Programming Interface 1.0, 1991, §3), written: one
//! channel of 16-bit samples.

use crate::Pcm;

/// Bytes of [`header`].
pub const HEADER_BYTES: usize = 44;

/// The header of a file of `data` bytes of samples. The sizes that tell of them, less what precedes each,
/// stand in its bytes 4 to 8 and in its last four, for files that grow.
pub fn header(sample_rate: u32, data: u32) -> [u8; HEADER_BYTES] {
    /// Format, channels, bytes of a sample, bits of a sample.
    const PCM: [u16; 4] = [1, 1, 2, 16];
    let mut header = [0; HEADER_BYTES];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&data.saturating_add(HEADER_BYTES as u32 - 8).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16_u32.to_le_bytes());
    PCM[..2].iter().for_each(|field| put(&field.to_le_bytes()));
    [sample_rate, 2 * sample_rate].iter().for_each(|field| put(&field.to_le_bytes()));
    PCM[2..].iter().for_each(|field| put(&field.to_le_bytes()));
    put(b"data");
    put(&data.to_le_bytes());
    header
}

/// The bytes of samples.
pub fn samples(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// A sound as a file.
pub fn file(sound: &Pcm) -> Vec<u8> {
    let data = samples(&sound.samples);
    [&header(sound.sample_rate, data.len() as u32)[..], &data].concat()
}
