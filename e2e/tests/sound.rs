//! A known sound in the files that people send, and whether it is what was heard.

use std::path::Path;

use tokio::process::Command;

use crate::harness::{run, succeed};

/// Samples a second of what is compared.
pub const RATE: u32 = 8000;
/// Samples by which a sound may come later than it was sent: coders begin with silence.
const LATE_MAX: usize = 3000;

/// One second of a tone that rises through the telephone's band: nothing else sounds like it, and every
/// coder keeps it.
pub const CHIRP: &str = "0.5*sin(2*PI*(300*t+1350*t*t))";
/// The same, falling.
pub const FALLING: &str = "0.5*sin(2*PI*(3000*t-1350*t*t))";

/// Writes a sound of one second as ffmpeg makes it; `coder` is what stands between source and file.
pub async fn write(sound: &str, coder: &[&str], file: &Path) -> Vec<u8> {
    let source = format!("aevalsrc={sound}:d=1:s=16000");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-ac", "1"]).args(coder).arg(file);
    succeed(&mut ffmpeg).await;
    std::fs::read(file).expect("ffmpeg has written it")
}

/// What a file sounds like, one channel at [`RATE`], by ffmpeg.
pub async fn read(file: &Path) -> Vec<i16> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(file).args(["-ac", "1", "-ar", &RATE.to_string(), "-f", "s16le", "-"]);
    let output = run(&mut ffmpeg).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// How alike `heard` is to `sent`, 0 to 1: their normalised cross-correlation over the whole of `sent`, at
/// the delay where it is greatest.
pub fn likeness(sent: &[i16], heard: &[i16]) -> f64 {
    let sent: Vec<f32> = sent.iter().map(|&sample| f32::from(sample)).collect();
    // What was not heard was silence.
    let mut heard: Vec<f32> = heard.iter().map(|&sample| f32::from(sample)).collect();
    heard.resize(heard.len().max(sent.len()) + LATE_MAX, 0.0);
    let power = |samples: &[f32]| samples.iter().map(|sample| sample * sample).sum::<f32>();
    let at = |delay: usize| {
        let window = &heard[delay..delay + sent.len()];
        let product: f32 = sent.iter().zip(window).map(|(a, b)| a * b).sum();
        f64::from(product / (power(&sent) * power(window)).sqrt().max(f32::MIN_POSITIVE))
    };
    (0..LATE_MAX).map(at).fold(0.0, f64::max)
}

#[tokio::test]
async fn only_the_same_sound_is_alike() {
    let folder = tempfile::TempDir::new().expect("temporary folder");
    let (rising, falling) = (folder.path().join("rising.wav"), folder.path().join("falling.wav"));
    write(CHIRP, &[], &rising).await;
    write(FALLING, &[], &falling).await;
    let (rising, falling) = (read(&rising).await, read(&falling).await);
    let late = [&[0; 1234], &rising[..]].concat();
    assert!(likeness(&rising, &late) > 0.99);
    assert!(likeness(&rising, &falling) < 0.3);
    assert!(likeness(&rising, &rising[..rising.len() / 2]) < 0.8, "half of it");
    assert!(likeness(&rising, &[]) == 0.0);
}
