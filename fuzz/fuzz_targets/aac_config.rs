//! AudioSpecificConfig and ADTS: what is accepted can be written and says the same again.
#![no_main]

use av::codec::aac::{self, AdtsHeader, AudioSpecificConfig};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(config) = AudioSpecificConfig::parse(data) {
        let written = aac::config(config.object_type, config.sample_rate, config.channels).expect("parsed is in range");
        let again = AudioSpecificConfig::parse(&written).expect("our config parses");
        assert_eq!(
            (again.object_type, again.sample_rate, again.channels),
            (config.object_type, config.sample_rate, config.channels)
        );
        assert!(config.channels > 0 && config.sample_rate > 0);
    }
    let mut stream = Bytes::copy_from_slice(data);
    while let Ok((header, raw)) = aac::split_adts(&mut stream) {
        assert_eq!(raw.len(), header.frame_len - header.header_len);
        let parameters = header.parameters();
        // The CRC goes, so the frame can only shrink and fits.
        let written = aac::adts_header(&parameters, raw.len()).expect("a parsed frame can be written");
        let again = AdtsHeader::parse(&written).expect("our header parses");
        assert_eq!((again.parameters(), again.frame_len), (parameters, raw.len() + aac::ADTS_HEADER));
    }
});
