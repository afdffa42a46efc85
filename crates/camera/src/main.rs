//! `fluorite-camera`: the virtual camera as a program of its own.

fn main() {}
