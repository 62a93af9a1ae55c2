//! The files in `deploy/` work: each is checked or run as it is.

// The configurations of nginx and HAProxy.
mod proxies;

// What a service manager is notified of.
mod service_manager;
