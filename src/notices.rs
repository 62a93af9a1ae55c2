//! Log lines that any client can cause. Each is counted and logged at most once a minute.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_http::header::HeaderMap;
use hubbub_actors::runtime::clock::Clock;
use log::kv::Value;

use crate::logging::periodic::{Periodic, Summary};
use crate::peer::TrustedProxies;

/// How often due lines are checked without an event, so that the last count of a flood is logged too.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The counts of one hub, shared by its workers.
#[derive(Debug)]
pub struct Notices {
    clock: Clock,
    not_http: Periodic,
    forwarding: Periodic,
}

impl Notices {
    /// Starts with no counts.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, not_http: Periodic::default(), forwarding: Periodic::default() })
    }

    /// Counts a connection of `address` that does not speak HTTP.
    pub fn not_http(&self, address: Option<IpAddr>) {
        let address = address.map(|address| address.to_canonical());
        log_not_http(self.not_http.count(address, self.clock.elapsed_ms()));
    }

    /// Counts a request of `peer` with a forwarding header that is ignored. Its proxy is probably missing in
    /// `server.trusted_proxies`, so that all clients of the proxy share the limits of one address.
    pub fn forwarding(&self, proxies: &TrustedProxies, peer: Option<IpAddr>, headers: &HeaderMap) {
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return };
        if proxies.is_ignored(peer, headers) {
            log_forwarding(self.forwarding.count(Some(peer), self.clock.elapsed_ms()));
        }
    }

    /// Logs due lines for as long as the hub runs.
    pub async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let now = self.clock.elapsed_ms();
            log_not_http(self.not_http.due(now));
            log_forwarding(self.forwarding.due(now));
        }
    }

    /// Logs all remaining counts when the hub ends.
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
