//! RTP and RTCP over UDP: a pair of ports a track.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use proto::rtp::Packet;
use proto::rtp::rtcp::Rtcp;
use proto::rtsp::Transport;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// Receive buffer asked of the system for RTP: a 4K key frame sent in one burst. What does not fit
/// is lost, counted and recovered at the next key frame.
const RECEIVE_BUFFER: usize = 2 << 20;
/// Attempts to find an even port with a free one behind it.
const ATTEMPTS: usize = 32;
/// Largest datagram.
const DATAGRAM_MAX: usize = 65_536;

struct Pair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// The camera's RTCP port, once known.
    server_rtcp: Option<SocketAddr>,
}

/// The ports of all tracks. Only datagrams from the camera's own address are taken.
pub(super) struct UdpTracks {
    peer: IpAddr,
    pairs: Vec<Pair>,
    buffer: Vec<u8>,
}

impl UdpTracks {
    /// Binds ports for `tracks` tracks on `local`, the address the camera sees us at.
    pub(super) async fn bind(local: IpAddr, peer: IpAddr, tracks: usize) -> io::Result<UdpTracks> {
        let mut pairs = Vec::new();
        for _ in 0..tracks {
            let (rtp, rtcp) = bind_pair(local).await?;
            pairs.push(Pair { rtp, rtcp, server_rtcp: None });
        }
        Ok(UdpTracks { peer, pairs, buffer: vec![0; DATAGRAM_MAX] })
    }

    /// What to ask for in SETUP.
    pub(super) fn transport(&self, track: usize) -> io::Result<Transport> {
        let Pair { rtp, rtcp, .. } = &self.pairs[track];
        Ok(Transport::Udp { client: (rtp.local_addr()?.port(), rtcp.local_addr()?.port()), server: None })
    }

    /// The camera told its ports. A packet to each opens the way through firewalls in between.
    pub(super) fn set_up(&mut self, track: usize, server: Option<(u16, u16)>) {
        let (Some(pair), Some((rtp, rtcp))) = (self.pairs.get_mut(track), server) else { return };
        let server_rtcp = SocketAddr::new(self.peer, rtcp);
        pair.server_rtcp = Some(server_rtcp);
        let (payload, ssrc) = (Bytes::new(), rand::random());
        let empty =
            Packet { marker: false, payload_type: 0, sequence: 0, timestamp: 0, ssrc, extension: None, payload };
        let (mut opener, mut report) = (BytesMut::new(), BytesMut::new());
        empty.write(&mut opener);
        Rtcp::ReceiverReport { ssrc, blocks: Vec::new() }.write(&mut report);
        // Without firewalls nobody misses them.
        let _ = pair.rtp.try_send_to(&opener, SocketAddr::new(self.peer, rtp));
        let _ = pair.rtcp.try_send_to(&report, server_rtcp);
    }

    /// Sends an RTCP packet of ours.
    pub(super) fn send_rtcp(&self, track: usize, data: &[u8]) {
        if let Some(Pair { rtcp, server_rtcp: Some(to), .. }) = self.pairs.get(track) {
            // A lost report is followed by another.
            let _ = rtcp.try_send_to(data, *to);
        }
    }

    /// The next datagram: its track, whether it is RTCP, and its bytes. Cancel safe.
    pub(super) async fn receive(&mut self) -> (usize, bool, Bytes) {
        let UdpTracks { peer, pairs, buffer } = self;
        poll_fn(|cx| {
            for (track, pair) in pairs.iter().enumerate() {
                for (rtcp, socket) in [(false, &pair.rtp), (true, &pair.rtcp)] {
                    loop {
                        let mut datagram = ReadBuf::new(buffer);
                        match socket.poll_recv_from(cx, &mut datagram) {
                            Poll::Pending => break,
                            Poll::Ready(Ok(from)) if from.ip() == *peer => {
                                return Poll::Ready((track, rtcp, Bytes::copy_from_slice(datagram.filled())));
                            }
                            // Somebody else's, or an ICMP error about an earlier report.
                            Poll::Ready(Ok(_) | Err(_)) => {}
                        }
                    }
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// RTP on an even port, RTCP on the next (RFC 3550 §11); cameras rely on it.
async fn bind_pair(local: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..ATTEMPTS {
        let first = UdpSocket::bind(SocketAddr::new(local, 0)).await?;
        let port = first.local_addr()?.port();
        let (even, odd) = (port & !1, port | 1);
        let other = if port == even { odd } else { even };
        match UdpSocket::bind(SocketAddr::new(local, other)).await {
            Ok(second) => {
                let (rtp, rtcp) = if port == even { (first, second) } else { (second, first) };
                socket2::SockRef::from(&rtp).set_recv_buffer_size(RECEIVE_BUFFER)?;
                return Ok((rtp, rtcp));
            }
            Err(error) => result = Err(error),
        }
    }
    result
}
