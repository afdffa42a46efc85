//! Containers: how frames are packed into tags, boxes and packets.
