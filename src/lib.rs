//! Hub.

pub mod auth;
pub mod peer;
