//! Phrases and sounds for devices to speak.

use cloud::{Phrase, Phrases};
use serde::Serialize;
use serde_json::json;

use super::Target;
use crate::api::reply::{Answer, Page, Reply};
use crate::api::{App, Ask};

/// `POST voice/query`
pub async fn query(app: &App, ask: &Ask) -> Reply {
    let page = ask.page(app)?;
    let whose = match ask.flag("default")? {
        Some(true) => Phrases::Platform,
        Some(false) => Phrases::Own,
        None => Phrases::All,
    };
    let caller = app.caller(ask).await?;
    let phrases = app.cloud.voices(&caller, whose, ask.optional("voiceName")).await?;
    let from = page.page as usize * page.size as usize;
    let rows: Vec<Row<'_>> =
        phrases.iter().skip(from).take(page.size as usize).map(|phrase| Row::of(app, ask, phrase)).collect();
    Ok(Answer::rows(&rows, Page { total: phrases.len() as u64, ..page }))
}

/// `POST voice/send`
pub async fn send(app: &App, ask: &Ask) -> Reply {
    let (target, url) = (Target::read(ask)?, ask.text("fileUrl")?);
    let (caller, channel) = target.find(app, ask).await?;
    app.cloud.voice_send(&caller, &channel, url).await?;
    Ok(Answer::done())
}

/// `POST voice/sendonce`
pub async fn send_once(app: &App, ask: &Ask) -> Reply {
    let target = Target::read(ask)?;
    let (file, _) = ask.file("voiceFile")?;
    let (caller, channel) = target.find(app, ask).await?;
    app.cloud.voice_send_once(&caller, &channel, file).await?;
    Ok(Answer::done())
}

/// `POST voice/upload`
pub async fn upload(app: &App, ask: &Ask) -> Reply {
    let (file, file_name) = ask.file("voiceFile")?;
    let force = ask.flag("force")?.unwrap_or(false);
    let caller = app.caller(ask).await?;
    let phrase = app.cloud.voice_upload(&caller, file, ask.optional("voiceName"), file_name, force).await?;
    // A list of one: what the documented sample shows, and what a client insists on.
    Ok(Answer::data(&[json!({ "name": phrase.name, "url": app.file_url(ask, &phrase.address) })]))
}

/// `POST voice/delete`
pub async fn delete(app: &App, ask: &Ask) -> Reply {
    let name = ask.text("voiceName")?;
    let caller = app.caller(ask).await?;
    app.cloud.voice_delete(&caller, name).await?;
    Ok(Answer::done())
}

/// `POST voice/rename`
pub async fn rename(app: &App, ask: &Ask) -> Reply {
    let (name, new_name) = (ask.text("voiceName")?, ask.text("newVoiceName")?);
    let caller = app.caller(ask).await?;
    app.cloud.voice_rename(&caller, name, new_name).await?;
    Ok(Answer::done())
}

/// A row of `voice/query`; `duration` in seconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    voice_name: &'a str,
    file_url: String,
    duration: u32,
}

impl Row<'_> {
    fn of<'a>(app: &App, ask: &Ask, phrase: &'a Phrase) -> Row<'a> {
        Row { voice_name: &phrase.name, file_url: app.file_url(ask, &phrase.address), duration: phrase.duration_s }
    }
}
