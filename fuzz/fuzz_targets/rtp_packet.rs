//! RTP and RTCP packets: what was read is written and read again the same.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use proto::rtp::{Packet, ReplayExtension};
use proto::rtp::rtcp::{self, Rtcp};

fuzz_target!(|data: &[u8]| {
    if let Ok(packet) = Packet::parse(&Bytes::copy_from_slice(data)) {
        let mut wire = Vec::new();
        packet.write(&mut wire);
        let again = Packet::parse(&wire.into());
        if let Some(replay) = packet.extension.as_ref().and_then(ReplayExtension::parse) {
            assert_eq!(ReplayExtension::parse(&replay.to_extension()), Some(replay));
            let _ = replay.recorded.to_unix_micros();
        }
        assert_eq!(again, Ok(packet));
    }
    if let Ok(packets) = rtcp::parse(data) {
        // A name that was not UTF-8 may have grown past what can be written.
        let fits = |p: &Rtcp| !matches!(p, Rtcp::SourceDescription { cname, .. } if cname.len() > 255);
        let packets: Vec<_> = packets.into_iter().filter(fits).collect();
        let mut wire = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut wire));
        assert_eq!(rtcp::parse(&wire), Ok(packets));
    }
});
