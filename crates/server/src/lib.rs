//! The server: configuration, the HTTP API, the media gateway and their wiring.
