//! `token/get`: an access token for an application.

use serde::Serialize;

use crate::api::reply::{Answer, Reply};
use crate::api::{App, Ask};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Token<'a> {
    access_token: &'a str,
    /// Epoch milliseconds.
    expire_time: i64,
    /// Where clients of other regions then go.
    #[serde(skip_serializing_if = "Option::is_none")]
    area_domain: Option<&'a str>,
}

/// `POST token/get`
pub async fn get(app: &App, ask: &Ask) -> Reply {
    let (key, secret) = (ask.text("appKey")?, ask.text("appSecret")?);
    let token = app.cloud.token_get(key.trim(), secret.trim()).await?;
    Ok(Answer::data(&Token {
        access_token: &token.access_token,
        expire_time: token.expires_at.0,
        area_domain: app.config.node.public_base_url.as_deref(),
    }))
}
