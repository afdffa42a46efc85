//! The media core: one path from whoever has frames to whoever wants them.
