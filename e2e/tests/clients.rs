//! Clients nobody here wrote: those of the platform, with nothing changed but the host (T38), and those of
//! cameras, to whom ours is a camera like any other.

use av::UnixMicros;
use camera::{Camera, CardConfig, Config, Flip, VideoConfig};
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{PATIENCE, Server, program, python, root, succeed};

/// `ezviz-openapi-utils` finds its host in two constants; the script sets them and calls on.
#[tokio::test(flavor = "multi_thread")]
async fn t38_ezviz_openapi_utils_runs_unchanged_but_for_the_host() {
    let server = Server::trial().await;
    let trial = &server.ready["trial"];
    let said = succeed(
        Command::new(python())
            .arg(root().join("e2e/counterparts/drive_ezviz_openapi_utils.py"))
            .env("BASE", server.http())
            .env("APP_KEY", trial["app_key"].as_str().unwrap())
            .env("APP_SECRET", trial["app_secret"].as_str().unwrap())
            .env("SERIAL", server.serial(0))
            .env("OTHER", server.serial(1))
            .env("OTHER_CODE", trial["devices"][1]["validate_code"].as_str().unwrap()),
    )
    .await;
    assert!(said.trim_end().ends_with("all calls answered"), "{said}");
}

/// The same client, not changed at all: its compiled-in host name leads to us by a hosts file, over
/// TLS with a certificate of a private authority, in a network namespace of the test's own.
#[tokio::test(flavor = "multi_thread")]
async fn t38_an_unmodified_client_comes_over_tls_by_a_hosts_entry() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    authority.distinguished_name.push(rcgen::DnType::CommonName, "private authority of a test");
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertifiedIssuer::self_signed(authority, authority_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["open.ys7.com".to_owned()];
    let mut certificate = rcgen::CertificateParams::new(names).unwrap();
    certificate.distinguished_name = rcgen::DistinguishedName::new();
    certificate.distinguished_name.push(rcgen::DnType::CommonName, "open.ys7.com");
    certificate.use_authority_key_identifier_extension = true;
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    std::fs::write(folder.path().join("authority.pem"), authority.pem()).unwrap();
    std::fs::write(folder.path().join("certificate.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    let said = succeed(
        Command::new("unshare")
            .args(["--map-root-user", "--net", "--mount", "bash"])
            .arg(root().join("e2e/counterparts/by_hosts_entry.sh"))
            .env("FOLDER", folder.path())
            .env("FLUORITE", program("fluorite"))
            .env("PYTHON", python())
            .env("CLIENT", root().join("e2e/counterparts/drive_ezviz_openapi_utils.py")),
    )
    .await;
    assert!(said.trim_end().ends_with("all calls answered"), "{said}");
}

/// A camera with a card, and what a client by this name says of it once it has been driven in every way.
async fn driven(client: &str, channels: u16) -> Camera {
    let password = "a long secret";
    let folder = tempfile::TempDir::new().unwrap();
    let card = CardConfig { record: false, samples: channels == 1, ..CardConfig::new(folder.path()) };
    let config =
        Config { password: password.into(), channels, main: VideoConfig::SUB, card: Some(card), ..Config::default() };
    let camera = Camera::start(config).await.unwrap();
    let card = camera.card().unwrap();
    timeout(PATIENCE, card.ready()).await.expect("a new card is filled");
    let clips = card.clips(1, UnixMicros(0), UnixMicros(i64::MAX)).len();
    let said = succeed(
        Command::new(python())
            .arg(root().join("e2e/counterparts").join(client))
            .env("ADDRESS", camera.http_address().to_string())
            .env("LOGIN", format!("admin:{password}"))
            .env("SERIAL", &camera.config().serial)
            .env("CHANNELS", channels.to_string())
            .env("CLIPS", clips.to_string()),
    )
    .await;
    assert!(said.trim_end().ends_with("all calls answered"), "{said}");
    assert_eq!(camera.stats().malformed, 0, "nothing it said was not understood");
    camera
}

/// It takes nothing but what stands in the WSDLs of ONVIF.
#[tokio::test(flavor = "multi_thread")]
async fn onvif_zeep_async_drives_our_camera() {
    let camera = driven("drive_onvif_zeep_async.py", 1).await;
    let channel = camera.channel(1).unwrap();
    assert_eq!((channel.flip(), channel.lens().brightness), (Flip::CENTRE, 60.0));
    let presets: Vec<_> = channel.presets().into_iter().map(|preset| (preset.name, preset.position[0])).collect();
    assert_eq!(presets, [("Gate".to_owned(), 0.5)]);
    assert_eq!(channel.ptz_status().pan, 0.5);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hikvisionapi_drives_our_camera_and_our_recorder() {
    for channels in [1, 4] {
        let camera = driven("drive_hikvisionapi.py", channels).await;
        for number in 1..=channels {
            let channel = camera.channel(number).unwrap();
            assert_eq!(channel.flip(), Flip { horizontal: true, vertical: false });
            assert_eq!(channel.mask(), number % 2 == 0);
            assert_eq!(channel.presets().iter().map(|preset| preset.name.as_str()).collect::<Vec<_>>(), ["Gate"]);
            assert!(channel.ptz_status().pan > 0.0 && !channel.ptz_status().pan_tilt_moving);
        }
        camera.stop().await;
    }
}
