//! Benchmarks beside a floor and a peer.

fn main() {}
