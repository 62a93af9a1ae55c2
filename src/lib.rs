//! Hub.

pub mod auth;
