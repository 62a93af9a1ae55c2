//! The policies of the edge. A reload replaces them as one value, so that a request sees one configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use crate::auth::api_key::{ApiKeys, KeySpec};
use crate::auth::tokens::Tokens;
use crate::config::{self, Config};
use crate::peer::{AllowedHosts, AllowedOrigins, BadEntry, BasePath, TrustedProxies};
use crate::upstream::application::UpstreamApplication;

/// The rules for callers.
#[derive(Debug)]
pub struct Policies {
    /// The configuration in force: the file, with the values of the start for keys that need a restart.
    pub config: Arc<Config>,
    /// The keys of the push API.
    pub keys: ApiKeys,
    /// The trusted proxies.
    pub proxies: TrustedProxies,
    /// The allowed origins.
    pub origins: AllowedOrigins,
    /// The allowed host names.
    pub hosts: AllowedHosts,
    /// The prefix of all routes.
    pub base: BasePath,
    /// Verifies tokens.
    pub tokens: Arc<Tokens>,
    /// The application behind the hub, if there is one.
    pub backend: Option<Arc<UpstreamApplication>>,
}

impl Policies {
    /// The policies that `config` describes, with its token verifier and its application.
    ///
    /// # Errors
    /// The invalid entry of `server.allowed_origins`, `server.hosts` or `server.base_path`. A checked configuration has none.
    pub fn new(
        config: Arc<Config>,
        tokens: Arc<Tokens>,
        backend: Option<Arc<UpstreamApplication>>,
    ) -> Result<Self, BadEntry> {
        let base = BasePath::parse(&config.server.base_path);
        let base = base.map_err(|reason| BadEntry { index: 0, entry: config.server.base_path.clone(), reason })?;
        Ok(Self {
            hosts: AllowedHosts::parse(&config.server.hosts)?,
            base,
            keys: ApiKeys::new(config.api.keys.iter().map(key_spec).collect()),
            proxies: TrustedProxies::new(config.server.trusted_proxies.iter().copied()),
            origins: AllowedOrigins::parse(&config.server.allowed_origins)?
                .with_credentials(config.server.allow_credentials),
            tokens,
            backend,
            config,
        })
    }
}

/// Counts of reloads, for metrics.
#[derive(Debug, Default)]
pub struct Reloads {
    /// Reloads that took effect.
    pub ok: AtomicU64,
    /// Failed reloads, which changed nothing.
    pub failed: AtomicU64,
    /// Time of the last successful reload, ms since the epoch; 0 for none.
    pub last_at: AtomicI64,
    /// Whether the last reload failed.
    pub has_failed: AtomicBool,
}

fn key_spec(key: &config::ApiKeyEntry) -> KeySpec {
    KeySpec {
        name: key.name.clone(),
        sha256: key.digest(),
        require_signature: key.require_signature,
        per_minute: key.per_minute,
        scopes: key.scopes.clone(),
        expires: key.expires.map(|expires| expires.0),
    }
}
