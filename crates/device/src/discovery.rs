//! Finding cameras in the local network by WS-Discovery.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use proto::onvif::discovery::{GROUP_V4, Message, NETWORK_VIDEO_TRANSMITTER, PORT, Packet, Probe, Target};
use reqwest::Url;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// Most cameras told of one search: a large site's network segment. With so many the search ends.
const CAMERAS_MAX: usize = 512;
/// Most datagrams looked at in one search; a flood ends it.
const DATAGRAMS_MAX: usize = 8192;
/// A probe is repeated, since multicast is lost on wireless networks (WS-Discovery §2.4 has two).
const REPEAT: Duration = Duration::from_millis(400);
/// How often it is sent.
const PROBES: u32 = 3;

/// A camera that answered, as it describes itself. All of it is a stranger's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCamera {
    /// Address of its device service, on the host that answered.
    pub address: String,
    /// Stable name of the endpoint, `urn:uuid:…`.
    pub endpoint: String,
    /// Name its owner gave it.
    pub name: Option<String>,
    /// Hardware, usually the model.
    pub hardware: Option<String>,
    /// All scope URIs.
    pub scopes: Vec<String>,
}

/// Asks the network behind `interface` (the system's choice if `None`) which cameras it has, and
/// listens for `patience`. Answers are sorted by address.
///
/// # Errors
/// If the socket cannot be made or the probe not sent.
pub async fn discover(interface: Option<Ipv4Addr>, patience: Duration) -> io::Result<Vec<FoundCamera>> {
    let local = interface.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if interface.is_some() {
        socket.set_multicast_if_v4(&local)?;
    }
    // The segment, and no further.
    socket.set_multicast_ttl_v4(1)?;
    socket.bind(&SocketAddr::from((local, 0)).into())?;
    search(UdpSocket::from_std(socket.into())?, (GROUP_V4, PORT).into(), patience, CAMERAS_MAX).await
}

/// Ends at `enough` cameras or when `patience` does.
async fn search(
    socket: UdpSocket,
    group: SocketAddr,
    patience: Duration,
    enough: usize,
) -> io::Result<Vec<FoundCamera>> {
    let deadline = Instant::now() + patience;
    let message_id = urn_uuid(rand::random());
    let probe = Probe { types: vec![NETWORK_VIDEO_TRANSMITTER.to_owned()], scopes: Vec::new() };
    let probe = Packet { message_id: message_id.clone(), relates_to: None, message: Message::Probe(probe) }.write();
    let mut repeat = interval(REPEAT);
    repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    let mut found = BTreeMap::new();
    let mut datagram = vec![0; 64 << 10];
    'listening: for _ in 0..DATAGRAMS_MAX {
        let next = async {
            loop {
                tokio::select! {
                    biased;
                    received = socket.recv_from(&mut datagram) => match received {
                        // An answer to an earlier probe, such as "port unreachable", is no answer to this search.
                        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                        received => return received,
                    },
                    _ = repeat.tick(), if sent < PROBES => {
                        socket.send_to(probe.as_bytes(), group).await?;
                        sent += 1;
                    }
                }
            }
        };
        let Ok(received) = timeout_at(deadline, next).await else { break 'listening };
        let (length, sender) = received?;
        for camera in cameras(&datagram[..length], &message_id, sender.ip()) {
            found.insert(camera.endpoint.clone(), camera);
            if found.len() >= enough {
                break 'listening;
            }
        }
    }
    let mut cameras: Vec<_> = found.into_values().collect();
    cameras.sort_by(|a, b| a.address.cmp(&b.address));
    Ok(cameras)
}

/// What a datagram tells of cameras, if it answers our probe.
fn cameras(datagram: &[u8], message_id: &str, sender: IpAddr) -> Vec<FoundCamera> {
    let bare = |id: &str| id.trim().trim_start_matches("urn:").trim_start_matches("uuid:").to_ascii_lowercase();
    match Packet::parse(datagram) {
        // Some cameras take the `urn:` off, or write it in capitals.
        Ok(Packet { relates_to: Some(to), message: Message::ProbeMatches(matches), .. })
            if bare(&to) == bare(message_id) =>
        {
            matches.iter().filter_map(|target| found(target, sender)).collect()
        }
        _ => Vec::new(),
    }
}

/// A camera is where its answer came from. It lists all its addresses, of which the one on that host is
/// taken; if there is none, it does not know its own, and the path of the first is tried there.
fn found(target: &Target, sender: IpAddr) -> Option<FoundCamera> {
    let urls: Vec<Url> = target.xaddrs.iter().filter_map(|address| Url::parse(address).ok()).collect();
    let usable = |url: &&Url| matches!(url.scheme(), "http" | "https") && url.host().is_some();
    let here = |url: &&Url| match url.host() {
        Some(url::Host::Ipv4(v4)) => IpAddr::V4(v4) == sender,
        Some(url::Host::Ipv6(v6)) => IpAddr::V6(v6) == sender,
        _ => false,
    };
    let mut url = urls.iter().filter(usable).find(here).or_else(|| urls.iter().find(usable))?.clone();
    url.set_ip_host(sender).ok()?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    // A device without a name of its own is known by its address.
    let endpoint = if target.endpoint.is_empty() { url.to_string() } else { target.endpoint.clone() };
    Some(FoundCamera {
        address: url.into(),
        endpoint,
        name: target.scope("name"),
        hardware: target.scope("hardware"),
        scopes: target.scopes.clone(),
    })
}

/// A random UUID (RFC 9562 §5.4) of these bits.
fn urn_uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn target(n: usize, xaddrs: &[&str]) -> Target {
        Target {
            endpoint: format!("urn:uuid:{n}"),
            types: vec![NETWORK_VIDEO_TRANSMITTER.to_owned()],
            scopes: vec!["onvif://www.onvif.org/name/Front%20door".into(), "onvif://www.onvif.org/hardware/X1".into()],
            xaddrs: xaddrs.iter().map(|&address| address.to_owned()).collect(),
            metadata_version: 1,
        }
    }

    fn answer(relates_to: &str, targets: Vec<Target>) -> String {
        let message = Message::ProbeMatches(targets);
        Packet { message_id: "urn:uuid:0".into(), relates_to: Some(relates_to.to_owned()), message }.write()
    }

    /// Searches on loopback, where each probe is answered by what `answers` makes of its message id,
    /// until `enough` cameras are found.
    async fn searched(enough: usize, answers: impl Fn(&str) -> Vec<Vec<u8>> + Send + 'static) -> Vec<FoundCamera> {
        let camera = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let group = camera.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut datagram = [0; 4096];
            loop {
                let (length, asker) = camera.recv_from(&mut datagram).await.unwrap();
                let packet = Packet::parse(&datagram[..length]).unwrap();
                let Message::Probe(probe) = packet.message else { panic!("no probe") };
                assert!(target(0, &[]).matches(&probe));
                for answer in answers(&packet.message_id) {
                    camera.send_to(&answer, asker).await.unwrap();
                }
            }
        });
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let found = search(socket, group, Duration::from_secs(30), enough).await.unwrap();
        task.abort();
        found
    }

    #[tokio::test]
    async fn a_camera_is_found_once_with_the_address_it_answers_from() {
        let found = searched(2, |id| {
            let xaddrs = ["http://192.168.1.64/onvif/device_service", "http://127.0.0.1:8000/onvif/device_service"];
            let one = answer(id, vec![target(1, &xaddrs)]);
            vec![one.clone().into(), one.into(), answer(id, vec![target(2, &["http://127.0.0.1:9000/"])]).into()]
        })
        .await;
        let [camera, other] = &found[..] else { panic!("{found:?}") };
        assert_eq!(camera.address, "http://127.0.0.1:8000/onvif/device_service");
        assert_eq!((camera.name.as_deref(), camera.hardware.as_deref()), (Some("Front door"), Some("X1")));
        assert_eq!(other.address, "http://127.0.0.1:9000/");
    }

    #[tokio::test]
    async fn t26_an_address_on_another_host_becomes_one_on_the_host_that_answered() {
        let found = searched(2, |id| {
            let capitals = id.to_uppercase().replace("URN:UUID", "uuid");
            let no_http = target(3, &["file:///etc/passwd", "nonsense"]);
            let odd = target(2, &["ftp://127.0.0.1/x", "https://u:p@10.0.0.1:444/y"]);
            vec![
                answer(&capitals, vec![target(1, &["http://169.254.169.254/latest"])]).into(),
                answer(id, vec![no_http, odd]).into(),
            ]
        })
        .await;
        let addresses: Vec<_> = found.iter().map(|camera| camera.address.as_str()).collect();
        assert_eq!(addresses, ["http://127.0.0.1/latest", "https://127.0.0.1:444/y"]);
    }

    #[tokio::test]
    async fn noise_and_answers_to_others_are_no_cameras() {
        let found = searched(1, |id| {
            let hello = Message::Hello(target(1, &["http://127.0.0.1/"]));
            let hello = Packet { message_id: "urn:uuid:0".into(), relates_to: Some(id.to_owned()), message: hello };
            vec![
                b"noise".to_vec(),
                vec![0xff; 60_000],
                answer("urn:uuid:another", vec![target(2, &["http://127.0.0.1/"])]).into(),
                hello.write().into(),
                // What ends the search comes last.
                answer(id, vec![target(3, &["http://127.0.0.1/"])]).into(),
            ]
        })
        .await;
        assert_eq!(found.iter().map(|camera| camera.endpoint.as_str()).collect::<Vec<_>>(), ["urn:uuid:3"]);
    }

    #[tokio::test]
    async fn a_crowd_ends_the_search() {
        let crowd = |id: &str| vec![answer(id, (0..40).map(|n| target(n, &["http://127.0.0.1/"])).collect()).into()];
        assert_eq!(searched(7, crowd).await.len(), 7);
    }

    #[test]
    fn message_ids_are_random_uuids() {
        assert_eq!(urn_uuid(u128::MAX), "urn:uuid:ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(urn_uuid(0), "urn:uuid:00000000-0000-4000-8000-000000000000");
    }
}
