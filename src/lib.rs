//! Hub.

pub mod auth;
pub mod cli;
pub mod config;
pub mod error;
pub mod http;
pub mod peer;
pub mod pipe;
pub mod server;
pub mod state;
pub mod telemetry;
pub mod wire;
pub mod ws;
