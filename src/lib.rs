//! Hub.

pub mod auth;
pub mod config;
pub mod error;
pub mod http;
pub mod peer;
pub mod state;
pub mod telemetry;
