//! What the compiler cannot check: the direction of dependencies (`docs/architecture.md` §2), links
//! between pages, and nothing left behind in the files under version control.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Edges inside the workspace; a crate absent here has none. `bench`, `e2e` and `fuzz` are free.
const EDGES: [(&str, &[&str]); 8] = [
    ("fluorite-av", &[]),
    ("fluorite-proto", &["fluorite-av"]),
    ("fluorite-media", &["fluorite-av"]),
    ("fluorite-device", &["fluorite-av", "fluorite-proto", "fluorite-media"]),
    ("fluorite-store", &[]),
    ("fluorite-cloud", &["fluorite-av", "fluorite-device", "fluorite-media", "fluorite-store"]),
    ("fluorite-camera", &["fluorite-av", "fluorite-proto"]),
    (
        "fluorite",
        &[
            "fluorite-av",
            "fluorite-proto",
            "fluorite-media",
            "fluorite-device",
            "fluorite-store",
            "fluorite-cloud",
            "fluorite-camera",
        ],
    ),
];
const FREE: [&str; 2] = ["fluorite-bench", "fluorite-e2e"];

/// Crates from outside that would bring in what the table says a crate must not know.
const FORBIDDEN: [(&str, &[&str]); 8] = [
    // Time, I/O, async.
    ("fluorite-av", &["tokio", "tokio-util", "futures", "tracing", "rand", "serde_json", "sqlx", "http", "axum"]),
    // Sockets, tasks, the product.
    (
        "fluorite-proto",
        &["tokio", "tokio-util", "futures", "async-trait", "socket2", "hyper", "axum", "reqwest", "sqlx"],
    ),
    // Wire protocols, the database.
    ("fluorite-media", &["sqlx", "axum", "hyper", "http", "reqwest", "serde_json"]),
    // The HTTP API, the database.
    ("fluorite-device", &["sqlx", "axum"]),
    // Protocols.
    ("fluorite-store", &["axum", "hyper", "http", "reqwest"]),
    // HTTP, JSON, wire protocols; and the database only through the store.
    ("fluorite-cloud", &["sqlx", "axum", "hyper", "http", "reqwest", "serde_json"]),
    // Everything of the platform.
    ("fluorite-camera", &["sqlx"]),
    // Only the store names a database.
    ("fluorite", &["sqlx"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e is a folder of the workspace").to_owned()
}

fn output(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Files under version control, relative to the root.
fn tracked() -> Vec<String> {
    let list = output(Command::new("git").args(["ls-files", "-z"]));
    list.split('\0').filter(|path| !path.is_empty() && root().join(path).is_file()).map(str::to_owned).collect()
}

/// The text of those tracked files that are text.
fn texts() -> impl Iterator<Item = (String, String)> {
    tracked().into_iter().filter_map(|path| {
        let text = String::from_utf8(std::fs::read(root().join(&path)).ok()?).ok()?;
        (!text.contains('\0')).then_some((path, text))
    })
}

fn none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Dependencies of each crate of the workspace outside tests: normal and for builds.
fn manifests() -> BTreeMap<String, BTreeSet<String>> {
    let metadata =
        output(Command::new(env!("CARGO")).args(["metadata", "--no-deps", "--format-version", "1", "--offline"]));
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let list = |value: &Value| value.as_array().expect("an array").clone();
    let mut crates = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let name = text(&package["name"]);
        let all = list(&package["dependencies"]);
        // Inside the workspace tests bind as tightly as code; outside they are free.
        let counts = |dependency: &Value| dependency["kind"] != "dev" || !dependency["path"].is_null();
        let names = all.iter().filter(|dependency| counts(dependency)).map(|dependency| text(&dependency["name"]));
        crates.insert(name.clone(), names.filter(|dependency| *dependency != name).collect());
    }
    crates
}

#[test]
fn dependencies_point_down() {
    let crates = manifests();
    let known: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).chain(FREE).collect();
    let mut wrong: Vec<String> =
        crates.keys().filter(|name| !known.contains(name.as_str())).map(|name| format!("{name} is new")).collect();
    for (name, allowed) in EDGES {
        let dependencies = crates.get(name).unwrap_or_else(|| panic!("{name} is gone"));
        let inner = dependencies.iter().filter(|dependency| known.contains(dependency.as_str()));
        wrong.extend(
            inner.filter(|edge| !allowed.contains(&edge.as_str())).map(|edge| format!("{name} depends on {edge}")),
        );
    }
    for (name, forbidden) in FORBIDDEN {
        let known = forbidden.iter().filter(|outer| crates[name].contains(**outer));
        wrong.extend(known.map(|outer| format!("{name} must not know {outer}")));
    }
    none("docs/architecture.md §2 forbids", wrong);
}

#[test]
fn the_server_names_the_camera_only_for_the_trial() {
    let mut wrong = Vec::new();
    for (path, text) in texts().filter(|(path, _)| path.starts_with("crates/server/src/")) {
        let trial = ["crates/server/src/trial.rs", "crates/server/src/run.rs"].contains(&path.as_str());
        // A module of ours may be called camera too; a type of the crate is named right behind it.
        let names_crate = |line: &str| {
            line.trim_start().starts_with("use camera::")
                || line.match_indices("camera::").any(|(at, found)| {
                    !line[..at].ends_with([':', '_']) && line[at + found.len()..].starts_with(char::is_uppercase)
                })
        };
        if !trial && text.lines().any(names_crate) {
            wrong.push(path);
        }
    }
    none("outside the trial, the server names the virtual camera in", wrong);
}

#[test]
fn nothing_is_left_behind() {
    // In two parts each, so that this file passes.
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("dbg", "!("), concat!("todo", "!(")];
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let word = |byte: Option<char>| byte.is_some_and(|byte| byte.is_alphanumeric() || byte == '_');
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            let marked = markers.iter().any(|marker| {
                line.match_indices(marker).any(|(at, _)| {
                    let behind = line[at + marker.len()..].chars().next();
                    !word(line[..at].chars().next_back()) && (marker.ends_with('(') || !word(behind))
                })
            });
            // Within a longer path or an address such a folder is nobody's machine.
            let elsewhere = |before: Option<char>| word(before) || before.is_some_and(|c| "./-}~*".contains(c));
            let machine = folders
                .iter()
                .any(|folder| line.match_indices(folder).any(|(at, _)| !elsewhere(line[..at].chars().next_back())));
            if marked || machine {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("left-over markers or paths of one machine", found);
}

/// Targets of links and pictures in Markdown, outside code.
fn links(markdown: &str) -> Vec<String> {
    let mut links = Vec::new();
    for (index, part) in markdown.split("```").enumerate() {
        if index % 2 == 1 {
            continue;
        }
        for opener in ["](", "src=\"", "href=\""] {
            let closer = if opener == "](" { ')' } else { '"' };
            links.extend(part.split(opener).skip(1).filter_map(|rest| rest.split(closer).next()).map(str::to_owned));
        }
    }
    links
}

#[test]
fn links_in_pages_resolve() {
    let mut broken = Vec::new();
    let is_page = |path: &str| path.ends_with(".md") && (path.starts_with("docs/") || !path.contains('/'));
    let pages: Vec<_> = texts().filter(|(path, _)| is_page(path)).collect();
    assert!(!pages.is_empty(), "no pages under version control");
    for (path, text) in pages {
        let folder = root().join(&path).parent().expect("a file has a folder").to_owned();
        for link in links(&text) {
            // A title may follow the target, a fragment end it.
            let target = link.split([' ', '#']).next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !target.is_empty() && !folder.join(target).exists() {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    none("broken links", broken);
}

#[test]
fn links_are_found_in_markdown() {
    let page = "[a](b.md#c) ![d](e.png \"f\")\n```sh\n[g](h)\n```\n<img src=\"i.png\"> [j](https://k/)";
    assert_eq!(links(page), ["b.md#c", "e.png \"f\"", "https://k/", "i.png"]);
}
