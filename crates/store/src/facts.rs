//! What devices say of themselves, kept as JSON text.
//!
//! Unknown members are ignored and absent ones are empty, so that a newer release's rows can be read.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A device, as it was last probed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceFacts {
    /// Maker.
    pub manufacturer: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Firmware version.
    pub firmware: Option<String>,
    /// The maker's serial number.
    pub serial: Option<String>,
    /// Capability name to value.
    pub capabilities: BTreeMap<String, String>,
}

/// A channel, as it was last probed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelFacts {
    /// Main stream.
    pub main: StreamFacts,
    /// Sub stream, where there is one.
    pub sub: Option<StreamFacts>,
}

/// An encoded stream, as it was last probed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamFacts {
    /// Codec as the device names it.
    pub video_codec: Option<String>,
    /// Width and height in pixels.
    pub size: Option<(u32, u32)>,
    /// Whether sound comes with it.
    pub audio: Option<bool>,
}

pub(crate) fn to_text(facts: &impl Serialize) -> String {
    serde_json::to_string(facts).expect("structs of strings and numbers are JSON")
}

pub(crate) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| Error::corrupt(format!("facts: {e}")))
}
