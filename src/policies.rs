//! The policies of the edge that a reload replaces: one value, so that a request that takes it once sees one configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use crate::auth::api_key::{ApiKeys, KeySpec};
use crate::auth::tokens::Tokens;
use crate::config::{self, Config};
use crate::peer::{AllowedHosts, AllowedOrigins, BadEntry, BasePath, TrustedProxies};
use crate::upstream::application::Upstream;

/// What stands between the hub and a caller.
#[derive(Debug)]
pub struct Policies {
    /// The configuration that holds: that of the file, with what needs a restart as it was at the start.
    pub config: Arc<Config>,
    /// The keys of the push API.
    pub keys: ApiKeys,
    /// The proxies that are believed.
    pub proxies: TrustedProxies,
    /// The pages that are let in.
    pub origins: AllowedOrigins,
    /// The names that the hub is asked by.
    pub hosts: AllowedHosts,
    /// The path that all routes are under.
    pub base: BasePath,
    /// Judges tokens.
    pub tokens: Arc<Tokens>,
    /// The application behind the hub, where there is one.
    pub backend: Option<Arc<Upstream>>,
}

impl Policies {
    /// The policies that `config` describes, with the judge of tokens and the application that belong to it.
    ///
    /// # Errors
    /// The entry of `server.allowed_origins`, `server.hosts` or `server.base_path` that cannot be read. A configuration that was checked has none.
    pub fn new(config: Arc<Config>, tokens: Arc<Tokens>, backend: Option<Arc<Upstream>>) -> Result<Self, BadEntry> {
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

/// How reloads went, for metrics.
#[derive(Debug, Default)]
pub struct Reloads {
    /// Reloads that took effect.
    pub ok: AtomicU64,
    /// Reloads that changed nothing, because something was wrong.
    pub failed: AtomicU64,
    /// When the last one took effect, ms since the epoch; 0 for never.
    pub last_at: AtomicI64,
}

fn key_spec(key: &config::ApiKey) -> KeySpec {
    KeySpec {
        name: key.name.clone(),
        sha256: key.digest(),
        require_signature: key.require_signature,
        per_minute: key.per_minute,
    }
}
