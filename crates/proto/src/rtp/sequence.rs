//! Sequence numbers: putting packets in order, noticing gaps, and what RTCP wants to know.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::packet::Packet;
use super::rtcp::{NtpTime, ReportBlock};

/// Packets held back while one is missing: 64 × 1,400 bytes are 70 ms at 10 Mbit/s. When full, the
/// missing one is given up.
const HELD_MAX: usize = 64;
/// How long a missing packet is waited for; a local network reorders within a few milliseconds.
const WAIT_MAX: Duration = Duration::from_millis(60);
/// A number this far off is another sequence, not disorder (RFC 3550 A.1, MAX_DROPOUT).
const JUMP_MAX: i64 = 3000;

/// Extends 16-bit sequence numbers to 64 bits, near the last one seen.
fn extend(sequence: u16, near: i64) -> i64 {
    near + i64::from(sequence.wrapping_sub(near as u16) as i16)
}

/// Puts the packets of one source in order, as UDP may not.
#[derive(Debug, Default)]
pub struct Reorder {
    /// The number to be given out next.
    next: Option<i64>,
    held: BTreeMap<i64, (Instant, Packet)>,
}

impl Reorder {
    /// Takes a packet; duplicates and packets given up before are dropped.
    pub fn push(&mut self, now: Instant, packet: Packet) {
        let next = *self.next.get_or_insert(i64::from(packet.sequence));
        let number = extend(packet.sequence, next);
        if (number - next).abs() > JUMP_MAX {
            // The sender began anew; what is held belongs to the past.
            self.held.clear();
            self.next = Some(number);
        }
        if number >= next || self.next == Some(number) {
            self.held.entry(number).or_insert((now, packet));
        }
    }

    /// The next packet in order; a missing one is waited for up to 60 ms or 64 packets.
    pub fn pull(&mut self, now: Instant) -> Option<Packet> {
        let next = self.next?;
        let (&number, (_, _)) = self.held.first_key_value()?;
        let oldest = || self.held.values().map(|(at, _)| *at).min();
        let overdue = || oldest().is_some_and(|at| now.saturating_duration_since(at) >= WAIT_MAX);
        if number != next && self.held.len() < HELD_MAX && !overdue() {
            return None;
        }
        self.next = Some(number + 1);
        self.held.pop_first().map(|(_, (_, packet))| packet)
    }
}

/// What one sequence of packets has been like (RFC 3550 A.1, A.3, A.8).
#[derive(Clone, Debug)]
pub struct Reception {
    ssrc: u32,
    clock_rate: u32,
    first: i64,
    highest: i64,
    received: i64,
    /// `highest - first + 1` and `received` at the last report.
    reported: (i64, i64),
    /// Jitter in 1/16 ticks, as A.8 keeps it.
    jitter_16: i64,
    /// Arrival and timestamp of the last packet, for jitter.
    last: (Instant, u32),
    sender_report: Option<(NtpTime, Instant)>,
}

impl Reception {
    /// Begins with its first packet.
    pub fn new(now: Instant, clock_rate: u32, packet: &Packet) -> Reception {
        let number = i64::from(packet.sequence);
        Reception {
            ssrc: packet.ssrc,
            clock_rate,
            first: number,
            highest: number,
            received: 1,
            reported: (0, 0),
            jitter_16: 0,
            last: (now, packet.timestamp),
            sender_report: None,
        }
    }

    /// The source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Takes the next packet, in order. Answers how many are missing before it, or `None` if it is
    /// not news: a duplicate, or too late.
    pub fn push(&mut self, now: Instant, packet: &Packet) -> Option<u64> {
        let number = extend(packet.sequence, self.highest);
        let ahead = number - self.highest;
        if ahead.abs() > JUMP_MAX {
            let report = self.sender_report;
            *self = Reception { sender_report: report, ..Reception::new(now, self.clock_rate, packet) };
            return Some(1);
        }
        if ahead <= 0 {
            return None;
        }
        self.highest = number;
        self.received += 1;
        let (at, timestamp) = self.last;
        let arrived = now.saturating_duration_since(at).as_micros() as i64 * i64::from(self.clock_rate) / 1_000_000;
        let difference = arrived - i64::from(packet.timestamp.wrapping_sub(timestamp) as i32);
        self.jitter_16 += difference.abs().min(i64::from(u32::MAX)) - ((self.jitter_16 + 8) >> 4);
        self.last = (now, packet.timestamp);
        Some(ahead as u64 - 1)
    }

    /// Notes a sender report, which the next report quotes.
    pub fn sender_report(&mut self, now: Instant, ntp: NtpTime) {
        self.sender_report = Some((ntp, now));
    }

    /// Packets lost so far.
    pub fn lost(&self) -> i64 {
        self.highest - self.first + 1 - self.received
    }

    /// What to say about the source; losses count from the last call.
    pub fn report(&mut self, now: Instant) -> ReportBlock {
        let expected = self.highest - self.first + 1;
        let (expected_before, received_before) = std::mem::replace(&mut self.reported, (expected, self.received));
        let interval = expected - expected_before;
        let lost = (interval - (self.received - received_before)).max(0);
        let since = |at: Instant| now.saturating_duration_since(at).as_micros() * 65_536 / 1_000_000;
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: if interval > 0 { ((lost << 8) / interval).min(255) as u8 } else { 0 },
            lost: self.lost().clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: self.highest as u32,
            jitter: (self.jitter_16 >> 4) as u32,
            last_sr: self.sender_report.map_or(0, |(ntp, _)| ntp.compact()),
            delay_since_last_sr: self.sender_report.map_or(0, |(_, at)| since(at).min(u32::MAX.into()) as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;

    fn packet(sequence: u16, timestamp: u32) -> Packet {
        let payload = Bytes::new();
        Packet { marker: false, payload_type: 96, sequence, timestamp, ssrc: 5, extension: None, payload }
    }

    fn ms(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    fn reordered(pushes: &[(u64, u16)], until: u64) -> Vec<u16> {
        let start = Instant::now();
        let (mut reorder, mut out) = (Reorder::default(), Vec::new());
        for &(at, sequence) in pushes {
            reorder.push(ms(start, at), packet(sequence, 0));
            out.extend(std::iter::from_fn(|| reorder.pull(ms(start, at))).map(|p| p.sequence));
        }
        out.extend(std::iter::from_fn(|| reorder.pull(ms(start, until))).map(|p| p.sequence));
        out
    }

    #[test]
    fn disorder_across_the_wrap_is_undone() {
        assert_eq!(reordered(&[(0, 65534), (1, 0), (1, 65535), (2, 2), (2, 1), (2, 1)], 2), [65534, 65535, 0, 1, 2]);
    }

    #[test]
    fn a_lost_packet_holds_the_rest_for_a_moment_only() {
        assert_eq!(reordered(&[(0, 1), (1, 3), (2, 4)], 60), [1]);
        assert_eq!(reordered(&[(0, 1), (1, 3), (2, 4)], 61), [1, 3, 4]);
        // Too late is too late.
        assert_eq!(reordered(&[(0, 1), (1, 3), (61, 4), (62, 2), (63, 5)], 63), [1, 3, 4, 5]);
    }

    #[test]
    fn a_full_buffer_gives_up() {
        let burst: Vec<_> = std::iter::once((0, 1)).chain((3..=66).map(|s| (0, s))).collect();
        assert_eq!(reordered(&burst, 0).len(), 65);
    }

    #[test]
    fn a_new_sequence_is_followed_at_once() {
        assert_eq!(reordered(&[(0, 1), (0, 3), (1, 30_000), (1, 30_001)], 1), [1, 30_000, 30_001]);
        assert_eq!(reordered(&[(0, 30_000), (1, 7), (1, 8)], 1), [30_000, 7, 8]);
    }

    #[test]
    fn losses_are_counted_and_reported() {
        let start = Instant::now();
        let mut reception = Reception::new(start, 90_000, &packet(65_533, 0));
        let gaps: Vec<_> = [65_534, 65_535, 0, 3, 3, 2, 4, 5]
            .iter()
            .enumerate()
            .map(|(i, s)| reception.push(ms(start, 40 * (i as u64 + 1)), &packet(*s, 3600 * (i as u32 + 1))))
            .collect();
        assert_eq!(gaps, [Some(0), Some(0), Some(0), Some(2), None, None, Some(0), Some(0)]);
        reception.sender_report(ms(start, 400), NtpTime(0x1234_5678_9abc_def0));
        let report = reception.report(ms(start, 900));
        assert_eq!((report.lost, report.highest_sequence, report.ssrc), (2, 0x1_0005, 5));
        assert_eq!(report.fraction_lost, (2 * 256 / 9) as u8);
        assert_eq!((report.last_sr, report.delay_since_last_sr), (0x5678_9abc, 32_768));
        assert_eq!(reception.report(ms(start, 900)).fraction_lost, 0, "nothing since the last report");
    }

    #[test]
    fn steady_packets_have_no_jitter_and_uneven_ones_do() {
        let start = Instant::now();
        let run = |late: u64| {
            let mut reception = Reception::new(start, 90_000, &packet(0, 0));
            for i in 1..100u16 {
                let at = ms(start, u64::from(i) * 40 + if i % 2 == 0 { late } else { 0 });
                reception.push(at, &packet(i, u32::from(i) * 3600));
            }
            reception.report(start).jitter
        };
        assert_eq!(run(0), 0);
        // Each distance is 10 ms, 900 ticks, off.
        assert!((850..=900).contains(&run(10)), "{}", run(10));
    }

    #[test]
    fn a_jump_begins_anew() {
        let start = Instant::now();
        let mut reception = Reception::new(start, 90_000, &packet(10, 0));
        assert_eq!(reception.push(start, &packet(20_000, 0)), Some(1));
        assert_eq!(reception.lost(), 0);
    }
}
