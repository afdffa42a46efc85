//! Configuration: what is read, what is refused and how, and the sample.

use std::path::PathBuf;

use server::config::{Auto, Config, Loaded, sample};

fn read(toml: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fluorite.toml");
    std::fs::write(&file, toml).unwrap();
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    match Loaded::read(Some(&file), environment) {
        Ok(loaded) => Ok(loaded.config),
        Err(error) => Err(error.to_string().replace(folder.path().to_str().unwrap(), "")),
    }
}

#[track_caller]
fn refused(toml: &str, environment: &[(&str, &str)], message: &str) {
    assert_eq!(read(toml, environment).unwrap_err(), message);
}

#[test]
fn empty_file_gives_the_defaults() {
    assert_eq!(read("", &[]).unwrap(), Config::default());
}

#[test]
fn file_is_overridden_by_the_environment() {
    let toml = "[http]\nlisten = \"127.0.0.1:1\"\nlapp_get = true\n[media]\nmerge_ms = 40\n[device]\nallow = [\"127.0.0.1\", \"[::1]:80\"]\n";
    let config =
        read(toml, &[("FLUORITE_HTTP__LISTEN", "127.0.0.1:2"), ("FLUORITE_DATA", "/x"), ("FLUORITE_TOKEN", "no key")])
            .unwrap();
    assert_eq!(config.http.listen.unwrap().port(), 2);
    assert!(config.http.lapp_get);
    assert_eq!(config.media.merge_ms, Auto::Fixed(40));
    assert_eq!(config.store.data, PathBuf::from("/x"));
    assert_eq!(config.device.allow.len(), 2);
    assert_eq!(config.device.allow[1].0.port, Some(80));
    assert_eq!(read(toml, &[("FLUORITE_DEVICE__ALLOW", "10.0.0.1,10.0.0.2:554")]).unwrap().device.allow.len(), 2);
    assert_eq!(read("[rtmp]\nlisten = \"\"", &[]).unwrap().rtmp.listen, None);
}

#[test]
fn unknown_keys_name_line_and_nearest() {
    refused(
        "[http]\n\nlistn = \"x\"\n",
        &[],
        "/fluorite.toml:3: unknown key \"listn\" in [http]; the nearest is \"listen\"",
    );
    refused("[htpp]\n", &[], "/fluorite.toml:1: unknown section [htpp]; the nearest is [http]");
    refused("[http]\nmerge_ms = 1\n", &[], "/fluorite.toml:2: unknown key \"merge_ms\" in [http]; [media] has it");
    refused("http = 5\n", &[], "/fluorite.toml:1: \"http\" is a section: [http]");
    let variable = [("FLUORITE_HTTP__LISTN", "x")];
    refused(
        "",
        &variable,
        "environment variable FLUORITE_HTTP__LISTN: unknown key \"listn\" in [http]; the nearest is \"listen\"",
    );
}

#[test]
fn bad_values_name_line_and_form() {
    let address = "http.listen must be an IP address with a port, like \"0.0.0.0:8080\", not \"8080\"";
    refused("[http]\nlisten = 8080\n", &[], &format!("/fluorite.toml:2: {address}"));
    refused(
        "[media]\nmerge_ms = \"soon\"\n",
        &[],
        "/fluorite.toml:2: media.merge_ms must be \"auto\" or a whole number, not \"soon\"",
    );
    refused("[media]\nmerge_ms = 5000\n", &[], "/fluorite.toml:2: media.merge_ms must be 0 to 1000");
    refused(
        "[media]\nmerge_ms = -1\n",
        &[],
        "/fluorite.toml:2: media.merge_ms must be \"auto\" or a whole number, not \"-1\"",
    );
    refused("[log]\nformat = \"xml\"\n", &[], "/fluorite.toml:2: log.format must be \"text\" or \"json\", not \"xml\"");
    refused(
        "[node]\nutc_offset = \"8\"\n",
        &[],
        "/fluorite.toml:2: node.utc_offset must be an offset like \"+08:00\", not \"8\"",
    );
    refused("[http.listen]\na = 1\n", &[], "/fluorite.toml:1: http.listen must be a single value or a list");
    refused("[http]\ntls_cert = \"a.pem\"\n", &[], "/fluorite.toml:2: http.tls_cert needs http.tls_key beside it");
    refused(
        "",
        &[("FLUORITE_NODE__PUBLIC_BASE_URL", "https://a.example/")],
        "environment variable FLUORITE_NODE__PUBLIC_BASE_URL: node.public_base_url must be http:// or https:// with a host and nothing after it",
    );
}

#[test]
fn broken_toml_names_the_line() {
    let error = read("[http]\nlisten = \n", &[]).unwrap_err();
    assert!(error.starts_with("/fluorite.toml:2: "), "{error}");
    let missing = Loaded::read(Some(&PathBuf::from("/nowhere.toml")), std::iter::empty()).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere.toml: cannot be read"), "{missing}");
}

/// What is printed can be read again, and says where a value is from.
#[test]
fn printed_configuration_reads_back() {
    let environment = [("FLUORITE_MEDIA__LINGER_S".to_owned(), "3".to_owned())];
    let loaded = Loaded::read(None, environment.into_iter()).unwrap();
    let printed = loaded.print();
    assert!(printed.contains("linger_s = 3  # environment variable FLUORITE_MEDIA__LINGER_S\n"), "{printed}");
    assert_eq!(read(&printed, &[]).unwrap(), loaded.config);
}

#[test]
fn committed_sample_is_the_generated_one() {
    crate::expect_file("../../docs/fluorite.sample.toml", &sample());
}

/// A user who removes every `#` before a key changes nothing.
#[test]
fn sample_with_every_key_on_is_the_default() {
    let on: String = sample()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(read(&on, &[]).unwrap(), Config::default());
}
