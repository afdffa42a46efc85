//! XML that is read can be written, and is the same when read again; nothing in an envelope panics.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use proto::onvif::security::CLOCK_SKEW_MAX;
use proto::onvif::{DIALECT, Envelope, Fault, device};
use proto::xml::{DEPTH_MAX, Element, Error};

fn depth(element: &Element) -> usize {
    1 + element.children.iter().map(depth).max().unwrap_or(0)
}

fuzz_target!(|data: &[u8]| {
    if let Ok(root) = DIALECT.parse(data) {
        assert!(depth(&root) <= DEPTH_MAX);
        let written = DIALECT.write(&root);
        match DIALECT.parse(written.as_bytes()) {
            Ok(again) => assert_eq!(DIALECT.write(&again), written),
            // Escapes make it longer, and all namespaces are declared on the root.
            Err(error) => assert!(matches!(error, Error::Limit(_)), "{error}: {written}"),
        }
        let fault = Fault::parse(&root);
        assert_eq!(Fault::parse(&fault.to_element()).subcodes.len(), fault.subcodes.len());
    }
    if let Ok(envelope) = Envelope::parse(data) {
        if let Ok(Some(token)) = envelope.username_token() {
            assert!(token.verify("not the password", Duration::from_secs(1_700_000_000), CLOCK_SKEW_MAX).is_err());
        }
        let _ = envelope.response::<device::GetSystemDateAndTimeResponse>();
    }
});
