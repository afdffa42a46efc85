//! The outbound policy: which addresses we connect to on somebody's word.
//!
//! Addresses of devices come from operators, from discovery and from the devices themselves, and a
//! camera is not to be trusted (T26). A name is resolved once, the answer is checked, and that answer
//! is connected to, so that a name cannot change its mind in between.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::driver::DriverError;

/// A camera in reach answers a SYN in milliseconds; this leaves room for one retransmission.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Decides what may be dialled, and dials it. Cheap to clone.
///
/// Refused unless allow-listed: loopback, unspecified, link-local (with it the metadata services of
/// hosting companies), multicast, broadcast, and IPv6 forms that wrap such an IPv4 address. Private
/// networks are where cameras live and are allowed.
#[derive(Clone, Debug, Default)]
pub struct Dialer {
    allow: Arc<[AllowedHost]>,
}

/// An exception from the policy: one address, on one port or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    /// The address.
    pub ip: IpAddr,
    /// The port; `None` for all.
    pub port: Option<u16>,
}

impl Dialer {
    /// A dialer with exceptions.
    pub fn new(allow: impl Into<Arc<[AllowedHost]>>) -> Dialer {
        Dialer { allow: allow.into() }
    }

    /// Whether `address` may be connected to.
    pub fn permits(&self, address: SocketAddr) -> bool {
        let ip = plain(address.ip());
        self.allow.iter().any(|a| plain(a.ip) == ip && a.port.is_none_or(|p| p == address.port())) || is_ordinary(ip)
    }

    /// Resolves `host` once and gives the first permitted address.
    ///
    /// # Errors
    /// `AddressRefused` when the name has only forbidden addresses, `Unreachable` when it has none.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<SocketAddr, DriverError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let unknown = |cause: String| DriverError::Unreachable { step: "resolve", cause };
        let found = timeout(CONNECT_TIMEOUT, lookup_host((host, port)))
            .await
            .map_err(|_| DriverError::Timeout { step: "resolve" })?
            .map_err(|e| unknown(e.to_string()))?;
        let mut refused = None;
        for address in found {
            if self.permits(address) {
                return Ok(address);
            }
            refused = Some(address);
        }
        Err(match refused {
            Some(address) => DriverError::AddressRefused(format!(
                "{} is a loopback, link-local or other special address; allow it by [device] allow in the configuration",
                address.ip()
            )),
            None => unknown(format!("{host} has no address")),
        })
    }

    /// Resolves and connects, with TCP_NODELAY.
    ///
    /// # Errors
    /// As [`Dialer::resolve`], or `Unreachable` / `Timeout` of step `dial`.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, DriverError> {
        let address = self.resolve(host, port).await?;
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
            .await
            .map_err(|_| DriverError::Timeout { step: "dial" })?
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|e| DriverError::Unreachable { step: "dial", cause: format!("{address}: {e}") })?;
        Ok(stream)
    }
}

/// The IPv4 address inside an IPv6 wrapping of it, else the address.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => embedded_v4(v6).unwrap_or(ip),
        IpAddr::V4(_) => ip,
    }
}

/// IPv4-mapped (`::ffff:0:0/96`), IPv4-compatible (`::/96`), NAT64 (`64:ff9b::/96`) and 6to4 (`2002::/16`).
fn embedded_v4(v6: Ipv6Addr) -> Option<IpAddr> {
    let s = v6.segments();
    let v4 = |hi: u16, lo: u16| Some(IpAddr::from([(hi >> 8) as u8, hi as u8, (lo >> 8) as u8, lo as u8]));
    match s {
        [0, 0, 0, 0, 0, 0xffff, hi, lo] => v4(hi, lo),
        [0, 0, 0, 0, 0, 0, hi, lo] if hi != 0 || lo > 1 => v4(hi, lo),
        [0x64, 0xff9b, 0, 0, 0, 0, hi, lo] => v4(hi, lo),
        [0x2002, hi, lo, ..] => v4(hi, lo),
        _ => None,
    }
}

fn is_ordinary(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, ..] = v4.octets();
            !(v4.is_loopback()
                || v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || a == 0
                // A hosting company's metadata service outside the link-local range.
                || v4.octets() == [100, 100, 100, 200]
                || a >= 240)
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn t26_special_addresses_are_refused_in_every_disguise() {
        let dialer = Dialer::default();
        for special in [
            "127.0.0.1:80",
            "127.8.9.1:80",
            "0.0.0.0:80",
            "0.1.2.3:80",
            "169.254.169.254:80",
            "100.100.100.200:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[::1]:80",
            "[::]:80",
            "[::ffff:127.0.0.1]:80",
            "[::7f00:1]:80",
            "[64:ff9b::7f00:1]:80",
            "[2002:7f00:1::]:80",
            "[::ffff:169.254.169.254]:80",
            "[fe80::1]:80",
            "[ff02::1]:80",
        ] {
            assert!(!dialer.permits(special.parse().unwrap()), "{special}");
        }
        for ordinary in ["192.168.1.20:80", "10.0.0.5:554", "203.0.113.7:80", "[fd00::5]:80", "[2001:db8::1]:80"] {
            assert!(dialer.permits(ordinary.parse().unwrap()), "{ordinary}");
        }
    }

    #[tokio::test]
    async fn t26_decimal_and_named_loopback_are_refused() {
        for host in ["localhost", "2130706433", "0x7f000001", "127.1"] {
            let answer = Dialer::default().resolve(host, 80).await;
            assert!(
                matches!(answer, Err(DriverError::AddressRefused(_) | DriverError::Unreachable { .. })),
                "{host}: {answer:?}"
            );
        }
    }

    #[tokio::test]
    async fn an_exception_holds_for_its_port_alone() {
        let ip = "127.0.0.1".parse().unwrap();
        let dialer = Dialer::new([AllowedHost { ip, port: Some(8554) }]);
        assert!(dialer.resolve("127.0.0.1", 8554).await.is_ok());
        assert!(dialer.resolve("127.0.0.1", 8555).await.is_err());
    }
}
