//! The log: the line at the start, connections at debug, lines that anonymous clients cause, and a log without a reader.

use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::token::token;
use crate::support::{API_KEY, Client, DEADLINE, Hub, JWT_SECRET, Sio, SioTransport, Wire, eventually, wait_until};

/// Lines of connections, as JSON.
const DEBUG_JSON: &str = "[log]\nlevel = \"debug\"\nformat = \"json\"";

/// The lines of a JSON log with this target.
#[track_caller]
fn lines_of(output: &str, target: &str) -> Vec<Value> {
    let lines = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    lines.filter(|line| line["target"] == target).collect()
}

/// Sends bytes that are not HTTP, and reads the answer.
fn send_garbage(hub: &Hub) {
    let mut stream = TcpStream::connect(hub.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"\x16\x03\x01\x00\xa5\x01\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", answer.escape_ascii());
}

#[test]
fn one_line_describes_the_started_hub_without_a_secret() {
    let hub = Hub::with("[server]\nallowed_origins = [\"https://a.example\"]");
    let output = hub.output();
    let lines: Vec<_> = output.lines().filter(|line| line.contains("listening on http://")).collect();
    let [line] = lines.as_slice() else { panic!("one line, not {output}") };
    let address = hub.address();
    for part in [
        format!(" INFO  hubbub::server: listening on http://{address} version={} ", env!("CARGO_PKG_VERSION")),
        format!(" configuration={} ", hub.dir().join("config.toml").display()),
        format!(" data={} ", hub.data().display()),
        format!(" address={address} "),
        " surfaces=\"/ws, /socket.io/ (/ and /chat), HTTP\" ".to_owned(),
        " origins=https://a.example ".to_owned(),
        " authentication=\"HS256 tokens by a shared secret, accounts\"".to_owned(),
    ] {
        assert!(line.contains(&part), "{part} is not in {line}");
    }
    assert!(!output.contains(JWT_SECRET) && !output.contains(API_KEY), "{output}");
}

#[tokio::test]
async fn connections_are_logged_at_debug_with_reason_and_duration() {
    let mut hub = Hub::with(DEBUG_JSON);
    let client = Client::of(&hub, "alice \" x=1").await;
    let id = client.welcome["data"]["details"]["connection_id"].clone();
    drop(client);
    let of = |output: &str| -> Vec<Value> {
        lines_of(output, "hubbub::session").into_iter().filter(|line| line["connection"] == id).collect()
    };
    eventually(DEADLINE, "the end of the session is logged", || of(&hub.output()).len() == 2).await;
    let lines = of(&hub.output());
    for (line, message) in lines.iter().zip(["connected", "disconnected"]) {
        assert_eq!(
            (&line["level"], &line["message"], &line["surface"], &line["transport"], &line["user"], &line["address"]),
            (
                &json!("DEBUG"),
                &json!(message),
                &json!("raw"),
                &json!("websocket"),
                &json!("alice \" x=1"),
                &json!("127.0.0.1")
            ),
            "{line}"
        );
    }
    assert_eq!((&lines[0]["reason"], &lines[0]["durationMs"]), (&Value::Null, &Value::Null));
    assert_eq!(lines[1]["reason"], "connection lost");
    assert!(lines[1]["durationMs"].is_u64(), "{}", lines[1]);

    // A guest that authenticates later.
    let mut guest = Sio::guest(&hub, SioTransport::Polling).await;
    guest.emit_and_expect("authenticated", "authenticate", json!({"token": token("bob")})).await;
    eventually(DEADLINE, "the guest is logged as bob", || {
        let lines = lines_of(&hub.output(), "hubbub::session");
        lines
            .iter()
            .any(|line| line["message"] == "authenticated" && line["user"] == "bob" && line["transport"] == "polling")
    })
    .await;
    let output = hub.shut_down_and_read();
    let reason = |line: &Value| line["message"] == "disconnected" && line["reason"] == "server going away";
    assert!(lines_of(&output, "hubbub::session").iter().any(reason), "{output}");
}

#[tokio::test]
async fn at_info_connections_are_not_logged() {
    let mut hub = Hub::start();
    drop(Client::of(&hub, "alice").await);
    assert!(!hub.shut_down_and_read().contains("alice"));
}

#[test]
fn requests_that_are_not_http_are_one_line_a_minute_with_their_count() {
    let mut hub = Hub::with("[log]\nformat = \"json\"");
    for _ in 0..50 {
        send_garbage(&hub);
    }
    let logged = |output: &str| -> Vec<Value> {
        let lines = lines_of(output, "hubbub::refused").into_iter();
        lines.filter(|line| line["message"] == "requests that are not HTTP").collect()
    };
    let output = hub.shut_down_and_read();
    let lines = logged(&output);
    let counts: Vec<_> = lines.iter().map(|line| line["count"].as_u64().unwrap()).collect();
    // The first is logged at once, the others at the end of the minute or of the hub.
    assert_eq!((counts.first(), counts.iter().sum::<u64>()), (Some(&1), 50), "{output}");
    assert!(counts.len() <= 3, "{output}");
    assert!(lines.iter().all(|line| line["level"] == "INFO" && line["address"] == "127.0.0.1"), "{output}");
    assert!(lines_of(&output, "actix_http").is_empty() && !output.contains("\"ERROR\""), "{output}");
}

#[tokio::test]
async fn a_forwarding_header_of_an_untrusted_peer_is_one_warning() {
    let warning = "X-Forwarded-For is ignored: its sender is not in server.trusted_proxies";
    let mut hub = Hub::with("[log]\nformat = \"json\"");
    for _ in 0..5 {
        hub.http().request("GET", "/health/live").header("X-Forwarded-For", "203.0.113.7").send();
    }
    Wire::upgrade(&hub, "/ws", &[("Forwarded", "for=203.0.113.7")]).await;
    let lines = lines_of(&hub.shut_down_and_read(), "hubbub::notices");
    let counts: Vec<_> = lines.iter().map(|line| line["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 5]);
    for line in lines {
        assert_eq!(
            (&line["level"], &line["message"], &line["address"]),
            (&json!("WARN"), &json!(warning), &json!("127.0.0.1"))
        );
    }

    let mut hub = Hub::with("[server]\ntrusted_proxies = [\"127.0.0.1\"]");
    hub.http().request("GET", "/health/live").header("X-Forwarded-For", "203.0.113.7").send();
    assert!(!hub.shut_down_and_read().contains(warning));
}

/// A log level at which each request is several lines.
const VERBOSE: &str = "[log]\nlevel = \"info,actix_http=trace,mio=trace\"\n[limits.http]\nrequests_per_minute = 0";

/// Sends requests until lines of the log are dropped.
fn fill_log(hub: &Hub) {
    let http = hub.http();
    wait_until(DEADLINE * 4, "lines are dropped", || {
        for _ in 0..200 {
            assert_eq!(http.get("/health/live").status, 200);
        }
        hub.metric("hubbub_log_lines_dropped_total") > 0.0
    });
}

#[tokio::test]
async fn an_unread_log_delays_no_request_and_its_dropped_lines_are_counted() {
    let mut hub = Hub::with_unread_log(VERBOSE);
    let mut client = Client::of(&hub, "alice").await;
    fill_log(&hub);
    client.ask(json!({"type": "Ping", "data": {"timestamp": 1}}), "Pong").await;
    let refused = hub.metric("hubbub_connections_refused_total");
    for _ in 0..3 {
        let (answer, _) = Wire::upgrade(&hub, "/ws?token=bad", &[]).await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(hub.metric("hubbub_connections_refused_total"), refused + 3.0, "refusals are still counted");
    let waiting = hub.metric("hubbub_log_queue_lines");
    assert!((1.0..=16_384.0).contains(&waiting), "{waiting}");
    assert!(hub.metric("hubbub_log_queue_bytes") <= f64::from(4 << 20));

    // The log is read again.
    hub.read_log();
    eventually(DEADLINE * 2, "the log reports its dropped lines", || {
        hub.output().lines().any(|line| line.contains(" WARN  hubbub::logging: lines of the log were dropped"))
    })
    .await;
    eventually(DEADLINE, "the queue is empty", || hub.metric("hubbub_log_queue_lines") < 1_000.0).await;
}

#[test]
fn a_hub_with_an_unread_log_ends_on_sigterm() {
    let mut hub = Hub::with_unread_log(VERBOSE);
    fill_log(&hub);
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
}

#[test]
fn a_hub_with_a_closed_log_keeps_running() {
    let mut hub = Hub::with_unread_log(VERBOSE);
    hub.close_log();
    fill_log(&hub);
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
}
