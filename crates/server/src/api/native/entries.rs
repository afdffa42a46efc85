//! Ways in without an account: a channel's QR code, and the trial.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use device::ChannelNo;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Done, NativeFailure, Operator};
use crate::address::Reached;
use crate::api::App;

/// Pixels of one module of a code: a phone reads it from across a table.
const MODULE: usize = 8;
/// Modules of white around a code (ISO/IEC 18004 §9.1).
const QUIET: usize = 4;

/// How a code is drawn.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Drawn {
    /// Lines, for print.
    #[default]
    Svg,
    /// Pixels, for chats.
    Png,
    /// No picture: the address itself, and when it ends.
    Json,
}

/// How the caller wants a code.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    format: Drawn,
}

/// `GET devices/{serial}/channels/{no}/qr?format=svg|png|json`: the code that opens the channel in any
/// phone's browser, the same for as long as it lives.
pub async fn qr(
    State(app): State<Arc<App>>,
    operator: Operator,
    reached: Reached,
    Path((serial, no)): Path<(String, u16)>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, NativeFailure> {
    let Query(wanted) = wanted.map_err(|e| NativeFailure::Malformed(e.to_string()))?;
    let entry = app.cloud.entry(&operator.0, &serial.to_uppercase(), ChannelNo(no)).await?;
    let page = format!("{}/m/#/pages/live/live?scene={}", app.addresses.http(&reached), entry.id);
    let code = || {
        let code = QrCode::with_error_correction_level(&page, EcLevel::M);
        code.map_err(|e| NativeFailure::Malformed(format!("the address of this server is too long for a QR code: {e}")))
    };
    let (kind, picture) = match wanted.format {
        Drawn::Json => {
            let said = json!({ "url": page, "scene": entry.id, "expires_at": entry.expires_at.0 });
            return Ok(Done(StatusCode::OK, said).into_response());
        }
        Drawn::Svg => {
            let picture = code()?.render::<svg::Color>().module_dimensions(MODULE as u32, MODULE as u32).build();
            ("image/svg+xml", picture.into_bytes())
        }
        Drawn::Png => ("image/png", png(&code()?)),
    };
    let headers =
        [(CONTENT_TYPE, HeaderValue::from_static(kind)), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, picture).into_response())
}

/// `DELETE devices/{serial}/channels/{no}/qr`: no code of the channel opens it any more, nor do the
/// visits that came of one go on.
pub async fn revoke(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path((serial, no)): Path<(String, u16)>,
) -> Result<Done<Value>, NativeFailure> {
    let gone = app.cloud.revoke_entries(&operator.0, &serial.to_uppercase(), ChannelNo(no)).await?;
    Ok(Done(StatusCode::OK, json!({ "revoked": gone })))
}

/// `GET trial`: what anybody may try, where the operator lets them.
pub async fn trial(State(app): State<Arc<App>>) -> Result<Done<Value>, NativeFailure> {
    let token = app.cloud.try_out().ok_or(NativeFailure::NotFound)?;
    let caller = app.cloud.caller(&token.access_token).await?;
    // A trial has a few cameras; more than a page of them nobody would look through.
    let listed = app.cloud.camera_list(&caller, 0, 50).await?;
    let devices: Vec<Value> = listed
        .rows
        .iter()
        .map(|(device, channel)| {
            let name = if device.channels.len() == 1 { &device.name } else { &channel.name };
            json!({ "deviceSerial": device.serial, "channelNo": channel.no.0, "deviceName": name })
        })
        .collect();
    let body = json!({
        "accessToken": token.access_token,
        "expireTime": token.expires_at.0,
        "devices": devices,
    });
    Ok(Done(StatusCode::OK, body))
}

/// A code as a PNG of one bit a pixel.
fn png(code: &QrCode) -> Vec<u8> {
    let (modules, colors) = (code.width(), code.to_colors());
    let side = (modules + 2 * QUIET) * MODULE;
    let dark = |x: usize, y: usize| {
        let (x, y) = ((x / MODULE).wrapping_sub(QUIET), (y / MODULE).wrapping_sub(QUIET));
        x < modules && y < modules && colors[y * modules + x] == qrcode::Color::Dark
    };
    let mut pixels = vec![0; side.div_ceil(8) * side];
    for (y, row) in pixels.chunks_mut(side.div_ceil(8)).enumerate() {
        for x in (0..side).filter(|x| !dark(*x, y)) {
            row[x / 8] |= 0x80 >> (x % 8);
        }
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, side as u32, side as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    written.expect("the pixels are as many as announced, and a vector takes them all");
    out
}
