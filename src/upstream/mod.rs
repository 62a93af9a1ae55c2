//! The services that the hub calls: the HTTP client, its circuit breaker, and the application.

pub mod application;
pub mod circuit_breaker;
pub mod http_client;
