//! Hub.

pub mod config;
