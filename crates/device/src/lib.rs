//! Devices: the `Driver` trait, one driver for each way of attaching a camera, and the actor around it.
