//! What we are called from outside: the hosts and ports in addresses that are handed out.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use crate::config::Node;

/// How a client reached us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The host it used, without port; `None` when it did not say or said nonsense.
    pub host: Option<String>,
    /// Whether by TLS.
    pub secure: bool,
}

impl Reached {
    /// Reads the `Host` header or the request's authority.
    pub fn by(host: Option<&str>, secure: bool) -> Reached {
        let host = host.and_then(|host| {
            let authority: http::uri::Authority = host.parse().ok()?;
            // What is echoed in an address must be a host and nothing else.
            url::Host::parse(authority.host()).ok().map(|host| host.to_string())
        });
        Reached { host, secure }
    }
}

/// Our listeners and names.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Port of plain HTTP.
    pub http: Option<u16>,
    /// Port of HTTPS.
    pub https: Option<u16>,
    /// Port of RTMP.
    pub rtmp: Option<u16>,
    /// Port of RTMPS.
    pub rtmps: Option<u16>,
    /// Host to name instead of the one the client used.
    pub public_host: Option<String>,
    /// Scheme, host and port of HTTP as seen from outside, behind a proxy.
    pub public_base_url: Option<String>,
}

impl Addresses {
    /// Names from the configuration; ports come when the listeners are open.
    pub fn named(node: &Node) -> Addresses {
        Addresses {
            public_host: node.public_host.fixed().cloned(),
            public_base_url: node.public_base_url.clone(),
            ..Addresses::default()
        }
    }

    /// `http://host:port` or `https://host:port` for whoever reached us so, without a slash at the end.
    pub fn http(&self, reached: &Reached) -> String {
        if let Some(base) = &self.public_base_url {
            return base.clone();
        }
        let host = self.host(reached);
        // A page that came by TLS may not load streams without.
        match (self.http, self.https) {
            (Some(port), https) if !reached.secure || https.is_none() => url("http", &host, port, 80),
            (_, Some(port)) => url("https", &host, port, 443),
            (Some(port), None) => url("http", &host, port, 80),
            (None, None) => url("http", &host, 80, 80),
        }
    }

    /// `rtmp://host:port`, or `rtmps://host:port` where nothing else is served.
    pub fn rtmp(&self, reached: &Reached) -> String {
        let host = self.host(reached);
        match (self.rtmp, self.rtmps) {
            // Always with its port: that is how the platform imitated writes it.
            (Some(port), _) => format!("rtmp://{host}:{port}"),
            (None, Some(port)) => format!("rtmps://{host}:{port}"),
            (None, None) => format!("rtmp://{host}:1935"),
        }
    }

    fn host(&self, reached: &Reached) -> String {
        let from_base = || {
            let base = url::Url::parse(self.public_base_url.as_deref()?).ok()?;
            base.host().map(|host| host.to_string())
        };
        self.public_host
            .clone()
            .or_else(from_base)
            .or_else(|| reached.host.clone())
            .unwrap_or_else(|| "localhost".into())
    }
}

fn url(scheme: &str, host: &str, port: u16, usual: u16) -> String {
    if port == usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
}

/// The address by which others in the local network can reach this machine: the source address the
/// system would use towards the outside. Connecting a datagram socket sends nothing.
pub fn local_network_ip() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // A documentation address (RFC 5737); only the routing table is asked.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(address) if !address.ip().is_unspecified() => Some(*address.ip()),
        _ => None,
    }
}
