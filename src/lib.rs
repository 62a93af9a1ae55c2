//! Hub.

pub mod auth;
pub mod config;
pub mod peer;
