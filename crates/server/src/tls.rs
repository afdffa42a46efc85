//! TLS for every listener, with certificates that are read again when their files change.
//!
//! rustls with the aws-lc-rs provider, TLS 1.2 and 1.3. Renewing a certificate is replacing two files;
//! a pair that does not fit is reported once and the old one stays in force.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(2);

/// Installs the process-wide cryptography. Needed once before any TLS; calling it again does no harm.
pub fn install_provider() {
    // Fails only when one is installed already, which is the wish.
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A certificate and its key on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// PEM file with the certificate chain, the server's first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// The certificate in force.
#[derive(Debug)]
pub struct Certificate {
    pair: Pair,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the pair.
    ///
    /// # Errors
    /// Names the file that is missing, unreadable or not PEM, or says that key and certificate differ.
    pub fn load(pair: Pair) -> anyhow::Result<Arc<Certificate>> {
        let current = RwLock::new(Arc::new(read(&pair)?));
        Ok(Arc::new(Certificate { pair, current }))
    }

    /// A server configuration that always presents the certificate in force.
    ///
    /// # Errors
    /// When the provider lacks a protocol version; a fault of the build.
    pub fn server_config(self: &Arc<Certificate>, alpn: &[&[u8]]) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = CryptoProvider::get_default().context("no cryptography provider installed")?.clone();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Looks at the files until shutdown and takes over what they become.
    pub async fn watch(self: Arc<Certificate>, shutdown: CancellationToken) {
        let mut seen = self.stamp();
        loop {
            tokio::select! { biased;
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
            let stamp = self.stamp();
            if stamp == seen {
                continue;
            }
            seen = stamp;
            match read(&self.pair) {
                Ok(key) => {
                    *self.current.write().expect("nobody panics holding it") = Arc::new(key);
                    info!(file = %self.pair.certificate.display(), "certificate read again");
                }
                // Half-written files come here too; their next change is another chance.
                Err(error) => warn!(error = format!("{error:#}"), "new certificate refused, the old one stays"),
            }
        }
    }

    /// Times of change; what cannot be looked at counts as unchanged until it can.
    fn stamp(&self) -> [Option<SystemTime>; 2] {
        [&self.pair.certificate, &self.pair.key].map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().expect("nobody panics holding it").clone())
    }
}

fn read(pair: &Pair) -> anyhow::Result<CertifiedKey> {
    let at = |path: &Path| format!("cannot read {}", path.display());
    let chain = CertificateDer::pem_file_iter(&pair.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| at(&pair.certificate))?;
    anyhow::ensure!(!chain.is_empty(), "{} has no certificate", pair.certificate.display());
    let key = PrivateKeyDer::from_pem_file(&pair.key).with_context(|| at(&pair.key))?;
    let provider = CryptoProvider::get_default().context("no cryptography provider installed")?;
    let key = CertifiedKey::from_der(chain, key, provider)
        .with_context(|| format!("{} and {} do not fit", pair.certificate.display(), pair.key.display()))?;
    Ok(key)
}

/// A certificate of our own for names nobody vouches for: this host's addresses in the local network.
/// Made once and kept in `folder`; made anew when the addresses asked for are not those it was made for.
///
/// # Errors
/// When the folder cannot be written.
pub fn self_signed(folder: &Path, names: &[IpAddr]) -> anyhow::Result<Pair> {
    let pair = Pair { certificate: folder.join("self-signed.crt"), key: folder.join("self-signed.key") };
    let mut names: Vec<String> = names.iter().map(IpAddr::to_string).chain(["localhost".into()]).collect();
    names.sort();
    names.dedup();
    let made_for = folder.join("self-signed.names");
    let wanted = names.join("\n");
    if std::fs::read_to_string(&made_for).is_ok_and(|have| have == wanted) && read(&pair).is_ok() {
        return Ok(pair);
    }
    let made = rcgen::generate_simple_self_signed(names)?;
    std::fs::write(&pair.certificate, made.cert.pem())?;
    write_private(&pair.key, made.signing_key.serialize_pem().as_bytes())?;
    std::fs::write(made_for, wanted)?;
    Ok(pair)
}

/// Writes a file that only its owner may read, replacing an older one in one step.
///
/// # Errors
/// Those of the file system.
pub fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let new = path.with_added_extension("new");
    // A leftover of a crash might be readable by others; a new file never is.
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
