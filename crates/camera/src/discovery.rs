//! WS-Discovery: answers those who look for cameras. Off unless asked for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use proto::onvif::discovery::{DEVICE, GROUP_V4, Message, NETWORK_VIDEO_TRANSMITTER, PORT, Packet, Target};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{Config, Error, onvif};

/// Answers a second; a flood of probes must not make the camera a weapon against their pretended sender.
const ANSWERS_PER_SECOND: u32 = 20;
/// Longest probe taken: datagrams of discovery are below one Ethernet frame but for long scope lists.
const PROBE_MAX: usize = 8192;

/// The multicast socket, shared with other programs of this machine that answer too.
///
/// # Errors
/// If it cannot be opened, or the address is not IPv4.
pub fn listen(listen: IpAddr) -> Result<UdpSocket, Error> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let open = || {
        let IpAddr::V4(interface) = listen else { return Err(std::io::ErrorKind::Unsupported.into()) };
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.join_multicast_v4(&GROUP_V4, &interface)?;
        socket.set_multicast_if_v4(&interface)?;
        UdpSocket::from_std(socket.into())
    };
    open().map_err(|source| Error::Listen { address, source })
}

/// The camera as it describes itself at `host`, its HTTP address as the one who asks reaches it.
fn target(config: &Config, host: &str) -> Target {
    Target {
        endpoint: endpoint(&config.serial),
        types: vec![NETWORK_VIDEO_TRANSMITTER.into(), DEVICE.into()],
        scopes: onvif::scopes(config),
        xaddrs: vec![onvif::xaddr(host, "device")],
        metadata_version: 1,
    }
}

/// A stable UUID (RFC 9562 version 8) made of the serial's nine characters.
fn endpoint(serial: &str) -> String {
    let hex: String = serial.bytes().take(9).map(|byte| format!("{byte:02x}")).collect();
    format!("urn:uuid:{}-{}-8{}-8{}-666c756f7269", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18])
}

/// A fresh message identifier (RFC 9562 version 4).
fn message_id() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Answers probes until cancelled; says hello before and bye after.
pub async fn serve(socket: UdpSocket, config: &Config, http: SocketAddr, cancel: CancellationToken) {
    let group = SocketAddr::from((GROUP_V4, PORT));
    let announce = |message: fn(Target) -> Message| {
        let socket = &socket;
        async move {
            let host = host_for(config.listen, group, http.port()).await;
            let packet = Packet { message_id: message_id(), relates_to: None, message: message(target(config, &host)) };
            if let Err(error) = socket.send_to(packet.write().as_bytes(), group).await {
                debug!(%error, "announcement not sent");
            }
        }
    };
    announce(Message::Hello).await;
    tokio::select! { biased;
        () = cancel.cancelled() => {}
        () = answer_probes(&socket, config, http.port()) => {}
    }
    announce(Message::Bye).await;
}

async fn answer_probes(socket: &UdpSocket, config: &Config, http_port: u16) {
    let mut datagram = vec![0; PROBE_MAX];
    let (mut second, mut answers) = (Instant::now(), 0);
    loop {
        let (length, from) = match socket.recv_from(&mut datagram).await {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "discovery socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(Packet { message_id: asked, message: Message::Probe(probe), .. }) = Packet::parse(&datagram[..length])
        else {
            continue;
        };
        if second.elapsed() >= Duration::from_secs(1) {
            (second, answers) = (Instant::now(), 0);
        }
        let target = target(config, &host_for(config.listen, from, http_port).await);
        if !target.matches(&probe) || answers >= ANSWERS_PER_SECOND {
            continue;
        }
        answers += 1;
        let message = Message::ProbeMatches(vec![target]);
        let packet = Packet { message_id: message_id(), relates_to: Some(asked), message };
        if let Err(error) = socket.send_to(packet.write().as_bytes(), from).await {
            debug!(%from, %error, "probe not answered");
        }
    }
}

/// Host and port by which `peer` reaches us.
async fn host_for(listen: IpAddr, peer: SocketAddr, http_port: u16) -> String {
    let ip = if listen.is_unspecified() { route_to(peer).await.unwrap_or(listen) } else { listen };
    SocketAddr::new(ip, http_port).to_string()
}

/// Our address on the way to `peer`: connecting a UDP socket sends nothing.
async fn route_to(peer: SocketAddr) -> Option<IpAddr> {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    probe.connect(peer).await.ok()?;
    Some(probe.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proto::onvif::discovery::Probe;

    use super::*;

    #[tokio::test]
    async fn a_probe_is_answered_if_it_fits() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let config = Config { name: "大门 1".into(), ..Config::default() };
        let answering = answer_probes(&socket, &config, 8000);
        let asking = async {
            let mut buffer = [0; 4096];
            for (types, id) in [(vec!["{urn:other}Printer".to_owned()], "urn:uuid:a"), (vec![], "urn:uuid:b")] {
                let message = Message::Probe(Probe { types, scopes: vec![] });
                let probe = Packet { message_id: id.into(), relates_to: None, message };
                asker.send_to(probe.write().as_bytes(), address).await.unwrap();
            }
            asker.send_to(b"<not xml", address).await.unwrap();
            let (length, _) = asker.recv_from(&mut buffer).await.unwrap();
            Packet::parse(&buffer[..length]).unwrap()
        };
        let answer = tokio::select! {
            () = answering => unreachable!("it answers for ever"),
            answer = tokio::time::timeout(Duration::from_secs(10), asking) => answer.unwrap(),
        };
        assert_eq!(answer.relates_to.as_deref(), Some("urn:uuid:b"), "the first probe was for a printer");
        let Message::ProbeMatches(matches) = answer.message else { panic!("{answer:?}") };
        assert_eq!(matches[0].xaddrs, ["http://127.0.0.1:8000/onvif/device_service"]);
        assert_eq!(matches[0].scope("name").as_deref(), Some("大门 1"));
        assert_eq!(matches[0].endpoint, "urn:uuid:43414d30-3030-8303-8031-666c756f7269");
    }
}
