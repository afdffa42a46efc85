//! The `Transport` and `RTP-Info` headers, RFC 2326 §12.39, §12.33.

use std::fmt;

/// How the packets of one medium travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// On the RTSP connection, marked by channel (§10.12).
    Interleaved {
        /// Channel of RTP.
        rtp: u8,
        /// Channel of RTCP.
        rtcp: u8,
    },
    /// UDP, unicast, to the address the RTSP connection comes from and no other.
    Udp {
        /// The client's ports for RTP and RTCP.
        client: (u16, u16),
        /// The server's, once it has answered.
        server: Option<(u16, u16)>,
    },
}

/// A `Transport` header of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportAnswer {
    /// What was agreed.
    pub transport: Transport,
    /// Synchronisation source of the server's packets, where it says.
    pub ssrc: Option<u32>,
}

/// One alternative of a header, taken apart.
#[derive(Default)]
struct Specification {
    interleaved: Option<(u8, u8)>,
    client: Option<(u16, u16)>,
    server: Option<(u16, u16)>,
    ssrc: Option<u32>,
    over_tcp: bool,
    multicast: bool,
}

fn pair<T: std::str::FromStr + Copy>(text: &str, next: impl Fn(T) -> Option<T>) -> Option<(T, T)> {
    match text.split_once('-') {
        Some((a, b)) => Some((a.trim().parse().ok()?, b.trim().parse().ok()?)),
        None => {
            let a: T = text.trim().parse().ok()?;
            Some((a, next(a)?))
        }
    }
}

fn specification(text: &str) -> Option<Specification> {
    let mut parts = text.split(';').map(str::trim);
    let protocol = parts.next()?.to_ascii_uppercase();
    let over_tcp = match protocol.as_str() {
        "RTP/AVP" | "RTP/AVP/UDP" | "RTP/AVPF" | "RTP/AVPF/UDP" => false,
        "RTP/AVP/TCP" | "RTP/AVPF/TCP" => true,
        _ => return None,
    };
    let mut spec = Specification { over_tcp, ..Specification::default() };
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "multicast" => spec.multicast = true,
            "interleaved" => spec.interleaved = pair(value, |a: u8| a.checked_add(1)),
            "client_port" => spec.client = pair(value, |a: u16| a.checked_add(1)),
            "server_port" => spec.server = pair(value, |a: u16| a.checked_add(1)),
            // Hexadecimal; one firmware writes it with blanks in front.
            "ssrc" => spec.ssrc = u32::from_str_radix(value.trim(), 16).ok(),
            _ => {}
        }
    }
    Some(spec)
}

impl Transport {
    /// The first alternative of a request that can be served; a client that leaves the choice of
    /// channels to the server gets `free`. `destination` is ignored: packets go to the peer only.
    pub fn choose(header: &str, free: (u8, u8)) -> Option<Transport> {
        header.split(',').filter_map(specification).filter(|s| !s.multicast).find_map(|s| match s {
            Specification { over_tcp: true, interleaved, .. } => {
                let (rtp, rtcp) = interleaved.unwrap_or(free);
                (rtp != rtcp).then_some(Transport::Interleaved { rtp, rtcp })
            }
            Specification { client: Some((rtp, rtcp)), .. } if rtp != 0 && rtcp != 0 => {
                Some(Transport::Udp { client: (rtp, rtcp), server: None })
            }
            _ => None,
        })
    }

    /// What the server made of `self`, which was asked. Servers may leave out what they accept unchanged.
    pub fn answered(&self, header: &str) -> Option<TransportAnswer> {
        let spec = specification(header.split(',').next()?)?;
        let transport = match *self {
            Transport::Interleaved { rtp, rtcp } => {
                // Some write plain RTP/AVP and mean TCP: the channels tell.
                if !spec.over_tcp && spec.interleaved.is_none() {
                    return None;
                }
                let (rtp, rtcp) = spec.interleaved.unwrap_or((rtp, rtcp));
                Transport::Interleaved { rtp, rtcp }
            }
            Transport::Udp { client, .. } => {
                if spec.over_tcp || spec.multicast {
                    return None;
                }
                Transport::Udp { client, server: spec.server }
            }
        };
        Some(TransportAnswer { transport, ssrc: spec.ssrc })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transport::Interleaved { rtp, rtcp } => write!(f, "RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}"),
            Transport::Udp { client: (rtp, rtcp), server } => {
                write!(f, "RTP/AVP;unicast;client_port={rtp}-{rtcp}")?;
                server.iter().try_for_each(|(rtp, rtcp)| write!(f, ";server_port={rtp}-{rtcp}"))
            }
        }
    }
}

/// Where a medium's RTP begins in answer to PLAY; ties its clock to the range played.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtpInfo {
    /// Control URL of the medium, as the server writes it.
    pub url: String,
    /// Sequence number of the first packet.
    pub sequence: Option<u16>,
    /// Timestamp that belongs to the start of the range.
    pub timestamp: Option<u32>,
}

impl RtpInfo {
    /// Reads an `RTP-Info` header; entries without a URL are skipped.
    pub fn parse(header: &str) -> Vec<RtpInfo> {
        // A comma may stand in a URL; a new entry begins with `url=`.
        let entries = header.split(',').fold(Vec::<String>::new(), |mut entries, part| {
            match entries.last_mut() {
                Some(last) if !part.trim_start().to_ascii_lowercase().starts_with("url=") => {
                    last.push(',');
                    last.push_str(part);
                }
                _ => entries.push(part.to_owned()),
            }
            entries
        });
        entries.iter().filter_map(|entry| RtpInfo::parse_entry(entry)).collect()
    }

    fn parse_entry(entry: &str) -> Option<RtpInfo> {
        let mut info = RtpInfo::default();
        for part in entry.split(';') {
            let Some((name, value)) = part.trim().split_once('=') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "url" => info.url = value.trim_matches('"').to_owned(),
                "seq" => info.sequence = value.trim().parse().ok(),
                "rtptime" => info.timestamp = value.trim().parse().ok(),
                // An absolute URL with parameters of its own.
                _ => {}
            }
        }
        (!info.url.is_empty()).then_some(info)
    }
}

impl fmt::Display for RtpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "url={}", self.url)?;
        self.sequence.iter().try_for_each(|seq| write!(f, ";seq={seq}"))?;
        self.timestamp.iter().try_for_each(|time| write!(f, ";rtptime={time}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const UDP: Transport = Transport::Udp { client: (5000, 5001), server: None };
    const TCP: Transport = Transport::Interleaved { rtp: 4, rtcp: 5 };

    #[test]
    fn the_first_usable_alternative_is_chosen() {
        for (header, expected) in [
            ("RTP/AVP;unicast;client_port=5000-5001", Some(UDP)),
            ("RTP/AVP/UDP;client_port=5000", Some(UDP)),
            ("RTP/AVP/TCP;unicast;interleaved=4-5", Some(TCP)),
            ("RTP/AVP/TCP", Some(Transport::Interleaved { rtp: 2, rtcp: 3 })),
            ("RTP/AVP;multicast;client_port=1-2, rtp/avp/tcp;interleaved=4-5", Some(TCP)),
            ("RTP/SAVP;client_port=1-2", None),
            ("RTP/AVP;unicast", None),
            ("RTP/AVP;client_port=0-1", None),
            ("RTP/AVP/TCP;interleaved=7-7", None),
            ("", None),
        ] {
            assert_eq!(Transport::choose(header, (2, 3)), expected, "{header}");
        }
    }

    #[test]
    fn destinations_are_not_followed() {
        let header = "RTP/AVP;unicast;destination=203.0.113.9;client_port=5000-5001";
        assert_eq!(Transport::choose(header, (0, 1)), Some(UDP));
    }

    #[test]
    fn answers_of_servers() {
        let answer = TCP.answered("RTP/AVP/TCP;unicast;interleaved=0-1;ssrc= 0A0b0C0d;mode=\"play\"").unwrap();
        assert_eq!(answer.transport, Transport::Interleaved { rtp: 0, rtcp: 1 });
        assert_eq!(answer.ssrc, Some(0x0a0b_0c0d));
        assert_eq!(TCP.answered("RTP/AVP/TCP").unwrap().transport, TCP);
        let answer = UDP.answered("RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001").unwrap();
        assert_eq!(answer.transport, Transport::Udp { client: (5000, 5001), server: Some((6000, 6001)) });
        assert_eq!(UDP.answered("RTP/AVP/TCP;interleaved=0-1"), None);
        assert_eq!(TCP.answered("RTP/AVP;server_port=1-2"), None);
    }

    #[test]
    fn rtp_info_of_two_tracks() {
        let header = "url=rtsp://h/a,b?x=1/trackID=0;seq=7;rtptime=90000, url=trackID=1;rtptime=8000;seq=x";
        let infos = RtpInfo::parse(header);
        assert_eq!(infos.len(), 2);
        assert_eq!(infos[0].url, "rtsp://h/a,b?x=1/trackID=0");
        assert_eq!((infos[0].sequence, infos[0].timestamp), (Some(7), Some(90_000)));
        assert_eq!((infos[1].sequence, infos[1].timestamp), (None, Some(8000)));
        assert_eq!(RtpInfo::parse(&infos[0].to_string()), infos[..1]);
    }
}
