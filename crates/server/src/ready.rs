//! What a started server says of itself: the ready file for programs, the greeting for people.

use std::fmt::Write as _;
use std::path::Path;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde::Serialize;

use crate::config::Language;
use crate::tls::write_private;

/// Addresses and secrets of a started server.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// Base of the API, `http://host:port`, or `https://…` where nothing else is served.
    pub http: String,
    /// Base of play and publish addresses, `rtmp://host:port`.
    pub rtmp: String,
    /// The first page to look at.
    pub page: String,
    /// The operator token; only at the first start of a data folder, since later nobody knows it.
    pub admin_token: Option<String>,
    /// What a trial made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

/// What a trial made: an application with a token, and devices bound to its account.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// The application.
    pub app_key: String,
    /// Its secret.
    pub app_secret: String,
    /// A token of it.
    pub access_token: String,
    /// The cameras.
    pub devices: Vec<TrialDevice>,
    /// Play addresses of the first camera, for the greeting.
    #[serde(skip)]
    pub live: Vec<String>,
}

/// A camera of a trial.
#[derive(Clone, Debug, Serialize)]
pub struct TrialDevice {
    /// Serial.
    pub serial: String,
    /// Verification code.
    pub validate_code: String,
    /// Name.
    pub name: String,
    /// Channel numbers.
    pub channels: Vec<u16>,
    /// How it is attached.
    pub driver: &'static str,
}

impl Ready {
    /// Writes the file, readable by its owner alone, whole or not at all.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut json = serde_json::to_vec_pretty(self).expect("strings and numbers");
        json.push(b'\n');
        write_private(path, &json)
    }

    /// The greeting; for a `terminal` in colours that a phone can read whatever the terminal's own are.
    pub fn greeting(&self, language: Language, terminal: bool) -> String {
        let word = |zh: &'static str, en: &'static str| if language == Language::Zh { zh } else { en };
        let mut out = String::new();
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(out, "  {label:<16} {value}"); // writing to a String cannot fail
        };
        line("API", &self.http);
        line("RTMP", &self.rtmp);
        line(word("页面", "page"), &self.page);
        if let Some(trial) = &self.trial {
            for address in &trial.live {
                line(word("直播地址", "live"), address);
            }
            line("appKey", &trial.app_key);
            line("appSecret", &trial.app_secret);
            for device in &trial.devices {
                line(
                    word("摄像机", "camera"),
                    &format!("{}  {}  {}", device.serial, device.validate_code, device.name),
                );
            }
        }
        if let Some(token) = &self.admin_token {
            line(word("管理令牌", "operator token"), token);
            line("", word("只显示这一次，请保存", "shown only this once; keep it"));
        }
        if self.trial.is_some() {
            // A page address with a token fits; one of a very long host name might not, and then goes without.
            if let Ok(code) = QrCode::with_error_correction_level(&self.page, qrcode::EcLevel::L) {
                out.push('\n');
                out += &picture(&code, terminal);
            }
        }
        out
    }
}

/// The code, two modules a character.
fn picture(code: &QrCode, terminal: bool) -> String {
    if !terminal {
        // Most likely a log or a pipe, shown light on dark.
        return code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build() + "\n";
    }
    let plain = code.render::<Dense1x2>().build();
    plain.lines().map(|line| format!("\x1b[30;107m{line}\x1b[0m\n")).collect()
}
