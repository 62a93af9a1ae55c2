//! The files in `deploy/` work: each is checked or run as it is.

// Files for systemd, containers, Kubernetes and pm2.
mod files;

// The health checks of containers, and `hubbub health` while the configuration changes.
mod health;

// Alert rules and the dashboard.
mod metrics;

// The configurations of nginx and HAProxy.
mod proxies;

// What a service manager is notified of.
mod service_manager;
