//! `fluorite`: the camera cloud in one binary.

fn main() {}
