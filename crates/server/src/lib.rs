//! The server: configuration, the HTTP API, the media gateway and their wiring.

pub mod address;
pub mod api;
pub mod check;
pub mod cli;
pub mod client;
pub mod config;
pub mod files;
pub mod gateway;
pub mod http;
pub mod listener;
pub mod logging;
pub mod pages;
pub mod ready;
pub mod run;
pub mod tls;
mod trial;
