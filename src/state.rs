//! The shared state of the edge: the hub, the current policies, and the caches and counters around them. There is one for
//! the process, shared by all workers. Everything in it that changes has its own lock and a bound.

pub mod idempotency;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hubbub_actors::hub::{Hub, Readiness};
use hubbub_actors::idempotency::Idempotency;
use hubbub_actors::limits::traffic::TrafficLimit;
use hubbub_actors::model::fault::Fault;

use crate::accounts::Accounts;
use crate::auth::jwt::{self, Keys, Verifier};
use crate::auth::key_source::KeySource;
use crate::auth::opaque;
use crate::auth::public_key;
use crate::auth::signature::Signatures;
use crate::auth::tokens::Tokens;
use crate::config;
use crate::http_stream::{ClientTimeouts, Connections};
use crate::notices::Notices;
use crate::policies::{Policies, Reloads};
use crate::telemetry::{Readings, Telemetry};
use crate::upstream::application::{UpstreamApplication, UpstreamSettings};
use crate::upstream::http_client::secret_header;

/// Plain HTTP connections in addition to one for each polling session.
const EXTRA_CONNECTIONS: usize = 1_024;

/// The shared state of the edge.
pub struct SharedState {
    /// The hub.
    pub hub: Arc<Hub>,
    /// The policies. A reload replaces them as a whole.
    current: Arc<ArcSwap<Policies>>,
    /// Checks the signatures of requests.
    pub signatures: Signatures,
    /// The responses to requests with an `Idempotency-Key`.
    pub idempotency: Idempotency,
    /// The accounts that can sign in.
    pub accounts: Accounts,
    /// The plain HTTP connections.
    pub connections: Arc<Connections>,
    /// Log lines that any client can cause, at most one a minute.
    pub notices: Arc<Notices>,
    /// The traffic limit of one connection.
    pub traffic: TrafficLimit,
    /// The counts of reloads.
    pub reloads: Reloads,
    /// The metrics of this hub.
    pub telemetry: Telemetry,
    /// When the hub started, ms since the epoch.
    pub started_at: i64,
}

impl SharedState {
    /// The state around `hub`, with the `current` policies, which the hub shares.
    pub fn new(hub: Arc<Hub>, current: Arc<ArcSwap<Policies>>, accounts: Accounts) -> Self {
        let started_at = hub.clock().now_ms();
        let policies = current.load();
        let config = &policies.config;
        Self {
            signatures: Signatures::new(),
            idempotency: idempotency::new_cache(config.api.keys.len(), hub.clock().clone()),
            accounts,
            traffic: TrafficLimit::new(config.limits.traffic()),
            reloads: Reloads::default(),
            connections: Connections::timed(
                client_timeouts(&config.server),
                config.server.max_connections.saturating_add(EXTRA_CONNECTIONS),
                config.limits.http.connections_per_address,
            ),
            notices: Notices::new(hub.clock().clone()),
            telemetry: Telemetry::default(),
            started_at,
            hub,
            current,
        }
    }

    /// The current policies. A request takes them once, so that it never sees two configurations.
    pub fn policies(&self) -> Arc<Policies> {
        self.current.load_full()
    }

    /// Replaces the policies. Nonces, stored responses and the windows of limits stay.
    pub fn replace_policies(&self, policies: Policies) {
        let config = policies.config.clone();
        self.accounts.reconfigure(&config.auth);
        self.idempotency.set_bounds(idempotency::bounds(config.api.keys.len()));
        self.connections.set_max_per_address(config.limits.http.connections_per_address);
        self.connections.set_times(client_timeouts(&config.server));
        self.traffic.set(config.limits.traffic());
        self.current.store(Arc::new(policies));
    }

    /// Loads the idempotent requests and publishes and the nonces of the previous run from the store.
    ///
    /// # Errors
    /// As [`Hub::open_once`].
    pub async fn open_once(&self) -> Result<(), Fault> {
        let nonces = self.hub.open_once(&self.idempotency).await?;
        self.signatures.restore(nonces, self.now_ms());
        Ok(())
    }

    /// Stores the idempotent requests and publishes and the nonces for the next run. Must be called after the last request:
    /// later ones are refused.
    pub async fn store_once(&self) {
        if let Some(nonces) = self.signatures.take() {
            self.hub.store_once(&self.idempotency, nonces).await;
        }
    }

    /// Now, ms since the epoch, by the hub's clock.
    pub fn now_ms(&self) -> i64 {
        self.hub.clock().now_ms()
    }

    /// Whole seconds since the start.
    pub fn uptime_secs(&self) -> u64 {
        u64::try_from(self.now_ms().saturating_sub(self.started_at) / 1000).unwrap_or(0)
    }

    /// Why the hub is not ready: the hub itself, a service that checks tokens, or the application.
    pub fn not_ready(&self) -> Option<String> {
        let policies = self.policies();
        let problem = || {
            let is_open = policies.backend.as_ref().is_some_and(|backend| backend.status().open);
            let unanswered = is_open.then_some("backend.url does not answer");
            policies.tokens.status(self.now_ms()).problem().or(unanswered).map(str::to_owned)
        };
        not_ready(&self.hub.readiness()).or_else(problem)
    }

    /// The metrics in Prometheus' text format.
    pub fn metrics(&self) -> String {
        let mut mailboxes = self.hub.mailbox_depths();
        mailboxes.push(("passwords".into(), self.accounts.passwords().depth()));
        let policies = self.policies();
        let backend = policies.backend.as_ref().map(|backend| (backend.status(), backend.counts()));
        mailboxes.extend(backend.map(|(status, _)| ("backend".into(), status.waiting)));
        self.telemetry.render(
            self.hub.stats(),
            &Readings {
                max_connections: self.hub.max_connections(),
                mailboxes,
                lag_bytes: self.hub.lag_bytes(),
                idempotency: self.idempotency.fill(),
                client_ids: self.hub.client_ids().fill(),
                store: self.hub.store().counts(),
                tokens: policies.tokens.status(self.now_ms()),
                reloads: Some(&self.reloads),
                backend,
                connections: Some(&self.connections),
                ready: self.not_ready().is_none(),
                uptime_secs: self.uptime_secs(),
                started_at: self.started_at,
            },
        )
    }
}

/// Why the hub itself is not ready.
pub fn not_ready(readiness: &Readiness) -> Option<String> {
    match readiness {
        Readiness::Ready => None,
        Readiness::Draining => Some("Draining".into()),
        Readiness::WithoutStore(why) => Some(format!("Store: {why}")),
        Readiness::Broken(why) => Some(format!("Broken: {why}")),
    }
}

/// The time limits of a plain request.
pub fn client_timeouts(server: &config::Server) -> ClientTimeouts {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    ClientTimeouts { head: seconds(server.head_secs), body: seconds(server.body_secs) }
}

/// The token verifier that the configuration describes. Reads its key files, but sends no requests yet.
///
/// # Errors
/// One line that names the invalid configuration key.
pub fn tokens(auth: &config::Auth) -> Result<Tokens, String> {
    tokens_after(auth, None)
}

/// As [`tokens`], as a replacement for the verifier of a previous configuration. Keeps the loaded key set and the cached
/// responses if their configuration is unchanged.
///
/// # Errors
/// As [`tokens`].
pub fn tokens_after(auth: &config::Auth, before: Option<(&config::Auth, &Tokens)>) -> Result<Tokens, String> {
    let same_set = before.filter(|(old, _)| old.jwks == auth.jwks && old.algorithm == auth.algorithm);
    let same_backend = before.filter(|(old, _)| old.backend == auth.backend && old.leeway_secs == auth.leeway_secs);
    let algorithm = auth.algorithm.to_jwt();
    let known_set = same_set.and_then(|(_, tokens)| tokens.key_source().cloned());
    let keys = match (&auth.public_key_file, auth.jwks.as_deref(), known_set) {
        (Some(path), ..) => {
            let failed = |why: String| format!("auth.public_key_file: {}: {why}", path.display());
            let text = read_key(path).map_err(|why| failed(format!("cannot be read: {why}")))?;
            Keys::Public(public_key::from_pem(&text, algorithm).map_err(failed)?)
        }
        (None, Some(_), Some(known)) => Keys::Set(known),
        (None, Some(jwks), None) => {
            let source = match jwks.contains("://") {
                true => KeySource::url(jwks, algorithm),
                false => KeySource::file(jwks.as_ref(), algorithm),
            };
            Keys::Set(Arc::new(source.map_err(|why| format!("auth.jwks: {why}"))?))
        }
        (None, None, _) => {
            let secret = auth.jwt_secret.as_ref();
            Keys::Secret(secret.map(|secret| secret.expose().as_bytes().to_vec()).unwrap_or_default())
        }
    };
    let settings = jwt::VerifierSettings {
        algorithm,
        require_exp: auth.require_exp,
        leeway_secs: auth.leeway_secs.into(),
        issuers: auth.issuer.clone(),
        audiences: auth.audience.clone(),
    };
    let known = same_backend.and_then(|(_, tokens)| tokens.backend().cloned());
    let backend = auth.backend.url.as_ref().map(|url| match known {
        Some(backend) => Ok(backend),
        None => opaque::Backend::new(&opaque::BackendSettings {
            url: url.clone(),
            cache_secs: auth.backend.cache_secs,
            leeway_secs: auth.leeway_secs,
        })
        .map_err(|why| format!("auth.backend.url: {why}")),
    });
    Ok(Tokens::new(Verifier::new(keys, settings), backend.transpose()?))
}

/// The client of the application that the configuration names. Sends no requests yet.
///
/// # Errors
/// One line that names the invalid configuration key.
pub fn backend(config: &config::Backend) -> Result<Option<Arc<UpstreamApplication>>, String> {
    let Some(url) = config.url.clone() else { return Ok(None) };
    let timeout = Duration::from_millis(config.timeout_ms.into());
    let api_key = config
        .api_key
        .as_ref()
        .map(|key| secret_header(key.expose()).ok_or("backend.api_key: it cannot be sent in an HTTP header"));
    let settings = UpstreamSettings { url, api_key: api_key.transpose()?, timeout };
    UpstreamApplication::new(&settings)
        .map(|backend| Some(Arc::new(backend)))
        .map_err(|why| format!("backend.url: {why}"))
}

/// The text of a key file, at most 64 KiB.
fn read_key(path: &Path) -> io::Result<String> {
    const MOST: u64 = 64 * 1024;

    let mut text = String::new();
    File::open(path)?.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}
