//! Containers: how frames are packed into tags, boxes and packets.

pub mod amf0;
pub mod flv;
pub mod fmp4;
pub mod ts;
pub mod wav;
