//! Plain HTTP before any upgrade, as a hostile client uses it.

use serde_json::Value;

use crate::support::Hub;
use crate::support::http::Response;

// Bodies of refused callers, and refusals to a client that still sends.
mod bodies;
// The bound on plain connections, and the share of each.
mod capacity;
// Heads and bodies that arrive slowly or never.
mod deadlines;
// Requests that are not valid HTTP.
mod malformed;
// Pipelined requests of a client that reads no responses.
mod pipelining;
// Offers to upgrade to another protocol.
mod upgrades;

const HEALTH: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: hub\r\n\r\n";

/// The number of HTTP requests that the hub has answered.
fn answered(hub: &Hub) -> u64 {
    let metrics = hub.get("/metrics").body;
    let lines = metrics.lines().filter(|line| line.starts_with("http_requests_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

/// The error code in the raw API's error body.
fn code(response: &Response) -> Value {
    response.json()["error"]["code"].clone()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers.get(name).map_or("", |value| value.to_str().unwrap())
}
