//! Lines of the log that strangers can cause at will, each counted and told once a minute.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_http::header::HeaderMap;
use hubbub_actors::runtime::clock::Clock;
use log::kv::Value;

use crate::logging::periodic::{Periodic, Summary};
use crate::peer::TrustedProxies;

/// How often it is looked whether a line is due that no event brings: the one that ends a flood.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The counts of one hub, shared by its workers.
#[derive(Debug)]
pub struct Notices {
    clock: Clock,
    not_http: Periodic,
    forwarding: Periodic,
}

impl Notices {
    /// Nothing has happened yet.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, not_http: Periodic::default(), forwarding: Periodic::default() })
    }

    /// What came from `address` is no HTTP.
    pub fn not_http(&self, address: Option<IpAddr>) {
        let address = address.map(|address| address.to_canonical());
        log_not_http(self.not_http.count(address, self.clock.elapsed_ms()));
    }

    /// A request came from `peer`. One that says for whom it was forwarded, and is not believed, points to a proxy that
    /// `server.trusted_proxies` lacks: all of the proxy's clients share the limits of one address then.
    pub fn forwarding(&self, proxies: &TrustedProxies, peer: Option<IpAddr>, headers: &HeaderMap) {
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return };
        if proxies.is_ignored(peer, headers) {
            log_forwarding(self.forwarding.count(Some(peer), self.clock.elapsed_ms()));
        }
    }

    /// Tells of what happened since the last lines, for as long as the hub runs.
    pub async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let now = self.clock.elapsed_ms();
            log_not_http(self.not_http.due(now));
            log_forwarding(self.forwarding.due(now));
        }
    }

    /// Tells of all that was not told yet: the hub ends.
    pub fn finish(&self) {
        log_not_http(self.not_http.take_rest());
        log_forwarding(self.forwarding.take_rest());
    }
}

fn log_not_http(due: Option<Summary>) {
    let Some(Summary { count, address }) = due else { return };
    let address = address.as_ref().map(Value::from_display);
    log::info!(target: "hubbub::refused", address, count; "requests that are not HTTP");
}

fn log_forwarding(due: Option<Summary>) {
    let Some(Summary { count, address }) = due else { return };
    let address = address.as_ref().map(Value::from_display);
    log::warn!(address, count; "X-Forwarded-For is ignored: its sender is not in server.trusted_proxies");
}
