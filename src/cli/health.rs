//! `hubbub health`: asks a running hub whether it is ready, for the health check of a container without other programs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;
use serde_json::Value;

use super::CommandError;
use super::settings::ServerFlags;
use crate::config::{Config, Server};
use crate::upstream::http_client::{HttpClient, Redirects};

/// Longest response that is read, in bytes.
const ANSWER_MAX: usize = 16 * 1_024;

/// The options of the question.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    settings: ServerFlags,
    /// The URL to ask instead of /health/ready at the configured address; it must answer 200
    url: Option<String>,
}

/// Runs the command. Returns the text for standard output.
pub(super) fn run(before: ServerFlags, HealthArgs { settings, url }: HealthArgs) -> Result<String, CommandError> {
    let url = match url {
        Some(url) => url,
        None => own_url(&Config::load(&settings.over(before).sources())?.server)?,
    };
    let failed = |why: &str| CommandError::of(format!("{url}: {why}"));
    let client = HttpClient::new(&url, Redirects::Refused).map_err(|why| failed(&why))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::of)?;
    let answer = runtime.block_on(client.get(None, ANSWER_MAX)).map_err(|failure| failed(&failure.to_string()))?;
    let body: Value = answer.body().ok().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    let text = |field: &str| body[field].as_str();
    match (answer.status, text("reason")) {
        (200, _) => Ok(text("status").unwrap_or("ok").to_owned() + "\n"),
        (status, None) => Err(failed(&format!("status {status}"))),
        (status, Some(reason)) => Err(failed(&format!("status {status}: {reason}"))),
    }
}

/// The URL of `/health/ready` at the configured address. A hub on all addresses or on `localhost` is asked on loopback.
fn own_url(server: &Server) -> Result<String, CommandError> {
    if server.port == 0 {
        return Err(CommandError::of("server.port is 0, so the system chose the port: name the URL"));
    }
    let host = server.host.trim_start_matches('[').trim_end_matches(']');
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Ipv6Addr::LOCALHOST.to_string(),
        // With server.hosts, a health check may use any address, but no other name.
        _ if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.to_string(),
        _ => host.to_owned(),
    };
    let server = Server { host, ..server.clone() };
    Ok(format!("http://{}{}/health/ready", server.authority(), server.base_path.as_str().trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_asked_at_its_configured_address_or_on_loopback() {
        let url = |host: &str, port| own_url(&Server { host: host.into(), port, ..Server::default() }).ok();
        for (host, authority) in [
            ("0.0.0.0", "127.0.0.1:8081"),
            ("::", "[::1]:8081"),
            ("[::]", "[::1]:8081"),
            ("fd00::1", "[fd00::1]:8081"),
            ("10.0.0.7", "10.0.0.7:8081"),
            ("localhost", "127.0.0.1:8081"),
        ] {
            assert_eq!(url(host, 8_081), Some(format!("http://{authority}/health/ready")), "{host}");
        }
        assert_eq!(url("127.0.0.1", 0), None);
    }
}
