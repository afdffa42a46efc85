//! Elementary streams: parameter sets and what a frame's bytes say.
