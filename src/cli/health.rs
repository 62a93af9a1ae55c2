//! `hubbub health`: asks a running hub whether it is ready, for the health check of a container without other programs.
//!
//! The running hub is found by the file that it writes into its data directory, because the configuration may have changed
//! since its start, or may have errors that a reload refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use clap::Args;
use reqwest::header::HeaderValue;
use serde_json::Value;

use super::CommandError;
use super::settings::ServerFlags;
use crate::config::diff::Values;
use crate::config::{Config, ConfigError, Server};
use crate::logging::escaped;
use crate::serve::reload;
use crate::upstream::http_client::{HttpClient, Redirects};

/// Longest response that is read, in bytes.
const ANSWER_MAX: usize = 16 * 1_024;

/// The `Host` of a question to the own hub. With `server.hosts`, a health check may use any address, but no other name.
const OWN_HOST: HeaderValue = HeaderValue::from_static("127.0.0.1");

/// The options of the question.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    settings: ServerFlags,
    /// The URL to ask instead of /health/ready of the hub that runs in the data directory; it must answer 200
    url: Option<String>,
}

/// Runs the command. Returns the text for standard output.
pub(super) fn run(before: ServerFlags, HealthArgs { settings, url }: HealthArgs) -> Result<String, CommandError> {
    let client = match url {
        Some(url) => client(&url)?,
        None => client(&own_url(&own_server(settings.over(before))?)?)?.with_host(OWN_HOST),
    };
    let failed = |why: &str| CommandError::of(format!("{}: {}", client.shown_url(), escaped(why)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::of)?;
    let answer = runtime.block_on(client.get(None, ANSWER_MAX)).map_err(|failure| failed(&failure.to_string()))?;
    let body: Value = answer.body().ok().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    let text = |field: &str| body[field].as_str();
    match (answer.status, text("reason")) {
        (200, _) => Ok(escaped(text("status").unwrap_or("ok")) + "\n"),
        (status, None) => Err(failed(&format!("status {status}"))),
        (status, Some(reason)) => Err(failed(&format!("status {status}: {reason}"))),
    }
}

/// A client for `url`. A malformed URL is not shown: it may have a password.
fn client(url: &str) -> Result<HttpClient, CommandError> {
    let refused = |why: &str| CommandError::of(format!("the URL cannot be used: {why}"));
    if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(refused("expected http:// or https:// at its start"));
    }
    HttpClient::new(url, Redirects::Refused).map_err(|why| refused(&why))
}

/// The address of the running hub, or else that of the configuration. The flags override both.
fn own_server(flags: ServerFlags) -> Result<Server, ConfigError> {
    let sources = flags.clone().sources();
    let server = match running(&Config::data_dir(&sources)) {
        Some(server) => server,
        None => Config::load(&sources)?.server,
    };
    Ok(flags.over_server(server))
}

/// The address of the hub that runs with this data directory; `None` if no file there has it.
fn running(data_dir: &Path) -> Option<Server> {
    let text = std::fs::read_to_string(reload::running_file(data_dir)).ok()?;
    address(&Values::from_toml(&text).ok()?)
}

fn address(values: &Values) -> Option<Server> {
    Some(Server {
        host: values.get("server.host")?.as_str()?.to_owned(),
        port: values.get("server.port")?.as_u64()?.try_into().ok()?,
        base_path: values.get("server.base_path")?.as_str()?.to_owned(),
        ..Server::default()
    })
}

/// The URL of `/health/ready` at the address of `server`. A hub on all addresses or on `localhost` is asked on loopback.
fn own_url(server: &Server) -> Result<String, CommandError> {
    if server.port == 0 {
        return Err(CommandError::of("server.port is 0, so the system chose the port: name the URL"));
    }
    let host = server.host.trim_start_matches('[').trim_end_matches(']');
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Ipv6Addr::LOCALHOST.to_string(),
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

    #[test]
    fn the_address_of_a_running_hub_is_read_from_its_file() {
        let mut config = Config::default();
        config.server.host = "::1".into();
        config.server.port = 9_000;
        config.server.base_path = "/hub".into();
        let text = Values::of(&config).to_toml();
        let found = |text: &str| address(&Values::from_toml(text).unwrap());
        assert_eq!(own_url(&found(&text).unwrap()).ok().as_deref(), Some("http://[::1]:9000/hub/health/ready"));
        for missing in ["server.host", "server.port", "server.base_path"] {
            assert_eq!(found(&text.replace(missing, "other")), None, "{missing}");
        }
    }
}
