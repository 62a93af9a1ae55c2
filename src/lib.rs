//! Hub.

pub mod auth;
pub mod cli;
pub mod config;
pub mod error;
pub mod http;
pub mod peer;
pub mod state;
pub mod telemetry;
