//! A discovery datagram that is understood can be sent on and means the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::onvif::Error;
use proto::onvif::discovery::{Message, Packet, Probe};
use proto::xml;

fuzz_target!(|data: &[u8]| {
    let Ok(packet) = Packet::parse(data) else { return };
    if let Message::ProbeMatches(targets) = &packet.message {
        for target in targets {
            assert!(target.matches(&Probe::default()));
            assert!(target.matches(&Probe { types: target.types.clone(), scopes: target.scopes.clone() }));
            let _ = target.scope("name");
        }
    }
    let written = packet.write();
    match Packet::parse(written.as_bytes()) {
        Ok(again) => assert_eq!(again.write(), written),
        Err(error) => assert!(matches!(error, Error::Xml(xml::Error::Limit(_))), "{error}: {written}"),
    }
});
