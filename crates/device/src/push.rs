//! Devices that publish to us (RTMP push). There is nothing to dial: the device is there while it publishes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use media::{Hub, StreamWriter};

use crate::driver::{ChannelFacts, ChannelNo, DeviceFacts, Driver, DriverError, Quality, StreamFacts, stream_id};

/// A device known by what it publishes.
pub(crate) struct PushDriver {
    hub: Hub,
    serial: String,
}

impl PushDriver {
    pub(crate) fn new(hub: Hub, serial: &str) -> PushDriver {
        PushDriver { hub, serial: serial.to_owned() }
    }
}

#[async_trait]
impl Driver for PushDriver {
    async fn probe(&self) -> Result<DeviceFacts, DriverError> {
        self.ping().await?;
        let channel = ChannelFacts { no: ChannelNo(1), name: "1".into(), main: StreamFacts::default(), sub: None };
        Ok(DeviceFacts {
            model: Some("RTMP push".into()),
            channels: vec![channel],
            capabilities: BTreeMap::new(),
            ..DeviceFacts::default()
        })
    }

    async fn ping(&self) -> Result<(), DriverError> {
        if self.hub.is_live(&stream_id(&self.serial, ChannelNo(1), Quality::Main)) {
            return Ok(());
        }
        Err(DriverError::Unreachable { step: "publish", cause: "the device is not publishing".into() })
    }

    async fn live(&self, _: ChannelNo, _: Quality, _: &mut StreamWriter) -> Result<(), DriverError> {
        // A stream that is published is in the hub already; being asked means that it is not.
        Err(DriverError::Unreachable { step: "publish", cause: "the device is not publishing".into() })
    }
}
