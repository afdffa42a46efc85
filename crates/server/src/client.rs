//! The commands that talk to a running server, over its native API.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{
    AppCommand, Attach, CardsCommand, Command, DriverName, KeysCommand, PlanCommand, Remote, SessionsCommand,
};

/// Attaching tries the camera, which may take its time to refuse.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a command and prints its result.
///
/// # Errors
/// What the server said, or why it was not reached.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(_) | Command::Check(_) => bail!("this is not a client command"),
        Command::Attach(attach) => attach_device(attach).await,
        Command::Detach { serial, server } => {
            call(&server, Method::DELETE, &format!("devices/{serial}"), None).await?;
            println!("{serial} is detached");
            Ok(())
        }
        Command::Devices { server } => {
            let devices = call(&server, Method::GET, "devices", None).await?;
            table(&devices["devices"], &["serial", "name", "state", "driver", "model", "bound", "address"]);
            Ok(())
        }
        Command::Discover { seconds, server } => {
            let found = call(&server, Method::POST, "discover", Some(json!({ "timeout_ms": seconds * 1000 }))).await?;
            table(&found["cameras"], &["address", "name", "hardware"]);
            Ok(())
        }
        Command::App(AppCommand::New { server }) => {
            let app = call(&server, Method::POST, "apps", Some(json!({}))).await?;
            println!("appKey     {}\nappSecret  {}", cell(&app["app_key"]), cell(&app["app_secret"]));
            Ok(())
        }
        Command::Sessions(SessionsCommand::List { server }) => {
            let sessions = call(&server, Method::GET, "sessions", None).await?;
            table(&sessions["sessions"], &["id", "protocol", "stream", "peer", "seconds"]);
            Ok(())
        }
        Command::Sessions(SessionsCommand::End { id, server }) => {
            call(&server, Method::DELETE, &format!("sessions/{id}"), None).await?;
            println!("session {id} is ended");
            Ok(())
        }
        Command::Keys(KeysCommand::Rotate { server }) => {
            let key = call(&server, Method::POST, "keys/rotate", Some(json!({}))).await?;
            println!("addresses are signed with key version {} from now on", cell(&key["version"]));
            Ok(())
        }
        Command::Cards(CardsCommand::New { count, days, retention_days, batch, serial, server }) => {
            let ask = json!({
                "count": count, "days": days, "retention_days": retention_days, "batch": batch, "serial": serial,
            });
            let made = call(&server, Method::POST, "cards", Some(ask)).await?;
            for key in made["keys"].as_array().into_iter().flatten() {
                println!("{}", cell(key));
            }
            Ok(())
        }
        Command::Cards(CardsCommand::List { batch, server }) => {
            let query = batch.map_or_else(String::new, |batch| format!("?batch={batch}"));
            let listed = call(&server, Method::GET, &format!("cards{query}"), None).await?;
            table(&listed["cards"], &["id", "batch", "state", "days", "retention_days", "serial"]);
            Ok(())
        }
        Command::Plan(PlanCommand::Set { serial, channel, retention_days, days, server }) => {
            let ask = json!({ "retention_days": retention_days, "days": days });
            let path = format!("devices/{serial}/channels/{channel}/plan");
            let plans = call(&server, Method::PUT, &path, Some(ask)).await?;
            table(&plans["plans"], &["id", "state", "retention_days"]);
            Ok(())
        }
        Command::Plan(PlanCommand::End { serial, channel, server }) => {
            call(&server, Method::DELETE, &format!("devices/{serial}/channels/{channel}/plan"), None).await?;
            println!("channel {channel} of {serial} is recorded no more");
            Ok(())
        }
    }
}

async fn attach_device(attach: Attach) -> anyhow::Result<()> {
    let driver = match attach.driver {
        DriverName::Onvif => "onvif",
        DriverName::Isapi => "isapi",
        DriverName::Rtsp => "rtsp",
        DriverName::Push => "push",
    };
    let login = match &attach.user {
        None => Value::Null,
        Some(user) => json!({ "user": user, "password": password(attach.password.as_deref())? }),
    };
    let body = json!({
        "driver": driver, "address": attach.address, "login": login, "serial": attach.serial,
        "validate_code": attach.validate_code, "name": attach.name, "keep_live": attach.keep_live,
    });
    let device = call(&attach.server, Method::POST, "devices", Some(body)).await?;
    let field = |name: &str| cell(&device[name]);
    println!(
        "serial         {}\nvalidate code  {}\nname           {}",
        field("serial"),
        field("validate_code"),
        field("name")
    );
    if let Value::Array(urls) = &device["push_urls"] {
        for url in urls {
            println!("publish to     {}", cell(url));
        }
    }
    println!("\nAn account adds it with these two:");
    println!(
        "  POST /api/lapp/device/add  accessToken=…&deviceSerial={}&validateCode={}",
        field("serial"),
        field("validate_code")
    );
    Ok(())
}

/// The password as given, from a file, or asked for.
fn password(given: Option<&str>) -> anyhow::Result<String> {
    match given {
        Some(text) => match text.strip_prefix("file:") {
            None => Ok(text.to_owned()),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        },
        None => {
            if std::io::stdin().is_terminal() {
                eprint!("Password of the camera: ");
                std::io::stderr().flush()?;
            }
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            Ok(line.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}

async fn call(remote: &Remote, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    crate::tls::install_provider();
    let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
    let url = format!("{}/api/v1/{path}", remote.server.trim_end_matches('/'));
    let mut request = client.request(method, &url).bearer_auth(&remote.token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request
        .send()
        .await
        .with_context(|| format!("no server at {}; is `fluorite serve` running?", remote.server))?;
    let status = response.status();
    let text = response.text().await?;
    let answer: Value =
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).context("the answer is not JSON")? };
    if !status.is_success() {
        bail!("{} ({}, HTTP {})", cell(&answer["message"]), cell(&answer["error"]), status.as_u16());
    }
    Ok(answer)
}

/// A JSON value as a table shows it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.into(),
        other => other.to_string(),
    }
}

fn table(rows: &Value, columns: &[&str]) {
    let rows: Vec<Vec<String>> = rows
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| columns.iter().map(|name| cell(&row[*name])).collect())
        .collect();
    if rows.is_empty() {
        println!("none");
        return;
    }
    let heads: Vec<String> = columns.iter().map(|name| name.to_uppercase()).collect();
    let width = |column: usize| rows.iter().chain([&heads]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in [&heads].into_iter().chain(&rows) {
        let line: Vec<String> = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}")).collect();
        println!("{}", line.join("  ").trim_end());
    }
}
