//! TLS: served when configured, and with the certificate that is in the files now.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client};
use serde_json::Value;
use server::run::{Options, Server};
use server::tls::install_provider;

use crate::http::DEADLINE;
use crate::world::config;

/// A certificate authority of a test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Writes a certificate for `open.ys7.com` and its key, as a renewal would.
    fn issue(&self, folder: &Path) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["open.ys7.com".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    }

    /// A client that trusts this authority alone, and finds `open.ys7.com` at `address`: what an
    /// unmodified client with a private CA and a hosts entry does.
    fn client(&self, address: SocketAddr) -> Client {
        let root = Certificate::from_pem(self.pem.as_bytes()).unwrap();
        Client::builder()
            .tls_certs_only([root])
            .no_proxy()
            .resolve("open.ys7.com", address)
            .timeout(DEADLINE)
            .build()
            .unwrap()
    }
}

async fn answers(client: &Client, port: u16) -> Result<Value, reqwest::Error> {
    let url = format!("https://open.ys7.com:{port}/api/lapp/token/get");
    let answer = client
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("appKey=1&appSecret=2")
        .send()
        .await?;
    answer.json().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_is_read_again_when_it_changes() {
    install_provider();
    let data = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new(), Authority::new());
    first.issue(data.path());
    let mut config = config(&data);
    config.http.tls_cert = Some(data.path().join("cert.pem"));
    config.http.tls_key = Some(data.path().join("key.pem"));
    let server = Server::start(config, Options::default()).await.unwrap();
    let port = server.app.addresses.https.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(server.app.addresses.rtmps.is_some());

    assert_eq!(answers(&first.client(address), port).await.unwrap()["code"], "10017");
    assert!(answers(&second.client(address), port).await.is_err(), "a foreign authority is not trusted");

    second.issue(data.path());
    let renewed = async {
        while answers(&second.client(address), port).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(DEADLINE, renewed).await.expect("the new certificate in time");

    // A broken renewal changes nothing: the pair that fits stays.
    std::fs::write(data.path().join("cert.pem"), "not a certificate").unwrap();
    let stays = tokio::time::timeout(Duration::from_secs(3), async {
        while answers(&second.client(address), port).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(stays.await.is_err(), "the certificate in force was lost");
    server.stop().await;
}

/// The message names both files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_key_refuses_to_start() {
    install_provider();
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue(data.path());
    let mut config = config(&data);
    config.http.tls_cert = Some(data.path().join("cert.pem"));
    config.http.tls_key = Some(data.path().join("other.pem"));
    std::fs::write(data.path().join("other.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = format!("{:#}", Server::start(config, Options::default()).await.err().unwrap());
    assert!(error.contains("cert.pem") && error.contains("other.pem") && error.contains("do not fit"), "{error}");
}
