//! The developers' guide says what is true: every sample in it is run as it stands, by a real shell, and
//! answers as shown.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Server, eventually, root, run};
use crate::sound;

/// A block of code on a page: its language and its text.
type Block = (String, String);

/// Values of the answers so far, by the names that samples have for them.
type Variables = BTreeMap<String, String>;

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_of_the_developers_guide_answers_as_shown() {
    let page = blocks("developers.md");
    assert_eq!(page, blocks("developers.zh-CN.md"), "both languages have the same samples");
    let samples: Vec<_> = page.iter().enumerate().filter(|(_, (language, _))| language == "sh").collect();
    let shown = page.iter().filter(|(language, _)| language == "json").count();
    assert!(samples.len() > 30 && shown == samples.len(), "{} samples and {shown} answers", samples.len());

    let server = Server::start(&["--trial"]).await;
    let folder = TempDir::new().unwrap();
    sound::write(sound::CHIRP, &[], &folder.path().join("hello.wav")).await;
    let ready = |key: &str| server.ready.pointer(key).and_then(Value::as_str).expect("in the ready-file").to_owned();
    let mut variables = Variables::from([
        ("FLUORITE".into(), server.http().to_owned()),
        ("APP_KEY".into(), ready("/trial/app_key")),
        ("APP_SECRET".into(), ready("/trial/app_secret")),
        ("FLUORITE_TOKEN".into(), ready("/admin_token")),
    ]);
    for (at, (_, command)) in samples {
        let shown = match page.get(at + 1) {
            Some((language, text)) if language == "json" => serde_json::from_str(text).expect(text),
            _ => panic!("no answer is shown beside\n{command}"),
        };
        // A camera that still speaks, a recording that has just begun: the guide says to ask again.
        let answer = eventually(command, || async {
            let answer = ask(command, &variables, folder.path()).await;
            match difference(&shown, &answer, "answer") {
                None => Some(answer),
                Some(difference) => {
                    eprintln!("{command}\n{difference}");
                    None
                }
            }
        })
        .await;
        learn(&answer, &mut variables);
    }
}

/// The blocks of code of a page of the guide.
fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(root().join("docs/guide").join(page)).expect(page);
    // Between fences text and code take turns.
    let code = text.split("\n```").skip(1).step_by(2);
    let block = |block: &str| block.split_once('\n').map(|(language, text)| (language.to_owned(), text.to_owned()));
    code.map(|code| block(code).unwrap_or_else(|| panic!("{page}: not a block: {code}"))).collect()
}

/// What a sample prints, which is JSON.
async fn ask(command: &str, variables: &Variables, folder: &Path) -> Value {
    let output = run(Command::new("sh").args(["-euc", command]).envs(variables).current_dir(folder)).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{printed}{told}");
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{command}\n{error}: {printed}"))
}

/// Where an answer is not what is shown, by the rule that the guide tells its readers.
fn difference(shown: &Value, answer: &Value, at: &str) -> Option<String> {
    let differs = || Some(format!("{at}: {answer}, shown is {shown}"));
    match (shown, answer) {
        (Value::Object(shown_fields), Value::Object(fields)) => {
            if shown_fields.len() != fields.len() || !shown_fields.keys().all(|name| fields.contains_key(name)) {
                return differs();
            }
            shown_fields.iter().find_map(|(name, shown)| {
                let at = format!("{at}.{name}");
                if name == "code" && *shown != fields[name] {
                    return Some(format!("{at}: {}, shown is {shown}", fields[name]));
                }
                difference(shown, &fields[name], &at)
            })
        }
        (Value::Array(shown_rows), Value::Array(rows)) => match shown_rows.first() {
            Some(shown) if !rows.is_empty() => rows.iter().find_map(|row| difference(shown, row, &format!("{at}[]"))),
            None if rows.is_empty() => None,
            _ => differs(),
        },
        (Value::String(shown), Value::String(text)) if kind(shown) != kind(text) => differs(),
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => None,
        // The HTTP status that curl tells is a code too.
        (Value::Number(shown), Value::Number(number)) if at == "answer.status" && shown != number => differs(),
        (Value::Number(_), Value::Number(_)) => None,
        _ => differs(),
    }
}

/// Scheme and file type of a text that is an address.
fn kind(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let file = path.rsplit_once('/').map_or("", |(_, file)| file);
    Some((scheme, file.rsplit_once('.').map_or("", |(_, kind)| kind)))
}

/// Keeps each value under its name, of a list the first.
fn learn(answer: &Value, variables: &mut Variables) {
    for (name, value) in answer.as_object().into_iter().flatten() {
        let value = value.as_array().map_or(Some(value), |rows| rows.first());
        match value {
            Some(Value::String(text)) => drop(variables.insert(variable(name), text.clone())),
            Some(Value::Number(number)) => drop(variables.insert(variable(name), number.to_string())),
            Some(value) => learn(value, variables),
            None => {}
        }
    }
}

/// `accessToken` as shells write it: `ACCESS_TOKEN`.
fn variable(name: &str) -> String {
    let mut variable = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            variable.push('_');
        }
        variable.push(letter.to_ascii_uppercase());
    }
    variable
}
