//! Debug mode: the sessions that receive metrics of the hub, and its end.

use super::*;
use crate::session::events::debug::DEBUG_SESSIONS_MAX;

fn admin(name: &str) -> AuthState {
    AuthState::Known(Arc::new(Identity { roles: vec!["admin".into()], ..identity(name) }))
}

fn start_hub(open: bool) -> TestHub {
    TestHub::with(GRACE_MS, None, |settings| {
        settings.debug.open = open;
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.max_connections = 77;
    })
}

/// The configured time between two sets of metrics.
const INTERVAL_MS: i64 = 10;

const METRICS: [&str; 3] = ["connection_stats", "memory_usage", "event_metrics"];

/// Waits for the lines of one set of metrics.
async fn metrics(client: &TestClient) -> Vec<String> {
    let mut lines = Vec::new();
    let enough = async {
        while lines.len() < 3 {
            lines.extend(client.take());
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, enough).await.unwrap();
    lines
}

#[actix::test]
async fn an_admin_receives_metrics_at_an_interval_until_debug_mode_ends() {
    let hub = start_hub(false);
    let client = hub.open(Surface::Root, admin("alice")).await.unwrap();
    client.receive_greeting(Surface::Root).await;
    client.ask("debug_mode", r#"{"enabled":true}"#, Some("1")).await;
    let first: [String; 4] = client.receive().await;
    let time = r#""timestamp":"1970-01-01T00:16:40.000Z""#;
    let connections = r#""active_connections":1,"total_connections":1,"max_connections":77,"users_online":1,"rooms":0"#;
    let memory = r#""rss":3.0,"heapTotal":3.0,"heapUsed":3.0,"external":0.0"#;
    assert_eq!(
        first[..3],
        [
            "#1: done".to_owned(),
            format!("connection_stats {{{connections},{time}}}"),
            format!("memory_usage {{{memory},{time}}}"),
        ]
    );
    let events = r#"event_metrics {"events_received":1,"events_sent":3,"events_published":0,"events_per_minute":1,"errors":0,"rate_limited":0,"#;
    assert_eq!(first[3], format!("{events}{time}}}"));
    client.ask("debug_mode", r#"{"enabled":true}"#, None).await;
    hub.clock().advance(INTERVAL_MS);
    for line in metrics(&client).await {
        assert!(METRICS.iter().any(|name| line.starts_with(name)), "{line}");
    }
    assert_eq!(hub.stats().debugging.get(), 1);
    client.ask("debug_mode", r#"{"enabled":false}"#, Some("2")).await;
    client.receive_until(|line| line == "#2: done").await;
    hub.clock().advance(INTERVAL_MS);
    client.ask("ping", "{}", Some("3")).await;
    assert_eq!((client.receive().await, hub.stats().debugging.get()), (["#3: done".to_owned()], 0));
}

#[actix::test]
async fn other_users_receive_metrics_where_debug_mode_is_open() {
    let (shut, open) = (start_hub(false), start_hub(true));
    let refused = shut.client(Surface::Raw, "bob").await;
    refused.ask("debug_mode", r#"{"enabled":true}"#, None).await;
    refused.ask("debug_mode", r#"{"enabled":"yes"}"#, None).await;
    assert_eq!(refused.receive().await, ["refused debug_mode: FORBIDDEN", "refused debug_mode: INVALID_REQUEST"]);
    let (client, guest) = (open.client(Surface::Raw, "bob").await, open.guest().await);
    client.ask("debug_mode", r#"{"enabled":true}"#, None).await;
    guest.ask("debug_mode", r#"{"enabled":true}"#, None).await;
    assert!(metrics(&client).await[0].starts_with("connection_stats "));
    assert_eq!(guest.receive().await, ["refused debug_mode: PERMISSION_DENIED"]);
    drop(client);
    wait_until(|| open.stats().debugging.get() == 0).await;
}

#[actix::test]
async fn the_number_of_sessions_in_debug_mode_is_bounded() {
    let hub = start_hub(true);
    let client = hub.client(Surface::Raw, "bob").await;
    hub.stats().debugging.add(DEBUG_SESSIONS_MAX);
    client.ask("debug_mode", r#"{"enabled":true}"#, None).await;
    assert_eq!(client.receive().await, ["refused debug_mode: LIMIT_REACHED"]);
    assert_eq!(hub.stats().debugging.get(), DEBUG_SESSIONS_MAX);
}
