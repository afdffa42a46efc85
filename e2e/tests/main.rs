//! Everything through real sockets, real players and real cameras.

mod tidy;
