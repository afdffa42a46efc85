//! The simple handshake, §5.2: versions, then 1,536 bytes each way, echoed.
//!
//! The peer's echo is not looked at: some cameras send it wrong, and it proves nothing.

use super::Fault;

/// Length of C1, S1, C2 and S2 in bytes.
pub const PACKET: usize = 1536;
const VERSION: u8 = 3;

/// Our end of the handshake, either side.
#[derive(Debug)]
pub struct Handshake {
    side: Side,
    state: State,
    /// The packet being received.
    packet: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Version,
    /// Receiving C1 or S1, which we echo.
    Challenge,
    /// Receiving C2 or S2, the echo of ours.
    Echo,
    Done,
}

impl Handshake {
    /// The server's end. It speaks when C0 and C1 are there, and then all at once.
    pub fn server() -> Handshake {
        Handshake { side: Side::Server, state: State::Version, packet: Vec::new() }
    }

    /// The client's end; appends C0 and C1 to `out`.
    pub fn client(out: &mut Vec<u8>) -> Handshake {
        write_challenge(out);
        Handshake { side: Side::Client, state: State::Version, packet: Vec::new() }
    }

    /// Whether messages may follow.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes from the front of `input` what belongs to the handshake; appends answers to `out`.
    ///
    /// # Errors
    /// [`Fault::Version`] when the peer speaks something else.
    pub fn read(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        while self.state != State::Done {
            let Some((&first, rest)) = input.split_first() else { break };
            if self.state == State::Version {
                if first != VERSION {
                    return Err(Fault::Version(first));
                }
                *input = rest;
                self.state = State::Challenge;
                continue;
            }
            let (packet, rest) = input.split_at((PACKET - self.packet.len()).min(input.len()));
            self.packet.extend_from_slice(packet);
            *input = rest;
            if self.packet.len() < PACKET {
                break;
            }
            if self.state == State::Challenge {
                if self.side == Side::Server {
                    write_challenge(out);
                }
                out.extend_from_slice(&self.packet);
                self.packet.clear();
                self.state = State::Echo;
            } else {
                self.packet = Vec::new();
                self.state = State::Done;
            }
        }
        Ok(())
    }
}

/// Version, time 0, and four zero bytes that tell clients not to look for a digest; then random bytes.
fn write_challenge(out: &mut Vec<u8>) {
    let mut packet = [0; PACKET];
    rand::fill(&mut packet[8..]);
    out.push(VERSION);
    out.extend_from_slice(&packet);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn both_ends_agree_byte_by_byte() {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        let mut client = Handshake::client(&mut to_server);
        let mut server = Handshake::server();
        let challenge = to_server.clone();
        while !(client.is_done() && server.is_done()) {
            for byte in std::mem::take(&mut to_server) {
                server.read(&mut [byte].as_slice(), &mut to_client).unwrap();
            }
            assert_eq!(
                to_client.len() % PACKET,
                to_client.len() / PACKET / 2,
                "S0, S1 and S2 come together or not at all"
            );
            if !to_client.is_empty() {
                assert_eq!(to_client[1 + PACKET..], challenge[1..], "S2 echoes C1");
            }
            let answer = std::mem::take(&mut to_client);
            client.read(&mut answer.as_slice(), &mut to_server).unwrap();
        }
    }

    #[test]
    fn leaves_what_follows() {
        let mut input = vec![VERSION];
        input.resize(1 + 2 * PACKET, 7);
        input.extend_from_slice(b"rest");
        let mut input = input.as_slice();
        let mut server = Handshake::server();
        server.read(&mut input, &mut Vec::new()).unwrap();
        assert!(server.is_done());
        assert_eq!(input, b"rest");
    }

    #[test]
    fn other_protocols_are_named() {
        let mut input = b"GET / HTTP/1.1".as_slice();
        assert_eq!(Handshake::server().read(&mut input, &mut Vec::new()), Err(Fault::Version(b'G')));
    }
}
