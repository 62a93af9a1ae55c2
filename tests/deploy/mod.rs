//! The files in `deploy/` work: each is checked or run as it is.

// What a service manager is notified of.
mod service_manager;
