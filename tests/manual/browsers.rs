//! The code of `docs/browsers.md`, in a page of another origin in Chromium, against a hub that restarts, ends tokens and
//! disconnects users.

use std::fs;

use serde_json::{Value, json};

use super::snippets::Snippet;
use super::visit::{Visit, hub_for};
use crate::support::account::user;
use crate::support::blocks::block;
use crate::support::chat_client::{ChatClient, ChatTransport};
use crate::support::hub::configuration;
use crate::support::page::PageListener;
use crate::support::port::ReservedPort;
use crate::support::token::{token, token_with};
use crate::support::{Client, DEADLINE, Hub, wait_until};

/// Ends the sessions of a user, as a backend does.
#[track_caller]
fn disconnect(hub: &Hub, user: &str) {
    let answer = hub.http().request("POST", "/api/disconnect").key().json(&json!({"userId": user})).send();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Two tokens of a user; the first one can be revoked alone.
fn two_tokens() -> Value {
    json!({"first": token_with(json!({"sub": "alice", "jti": "first"})), "second": token("alice")})
}

#[track_caller]
fn revoke_first(hub: &Hub) {
    let answer = hub.http().request("POST", "/api/revoke").key().json(&json!({"jti": "first"})).send();
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn the_two_short_snippets_connect_and_receive() {
    let bound = PageListener::bind();
    let hub = hub_for(&bound, "");
    let raw = block("browsers", "connect").text.replace("console.log(JSON.parse(data))", "seen(JSON.parse(data))");
    let sio = block("browsers", "connect by Socket.IO").text;
    let (import, sio) = sio.split_once("\n\n").unwrap();
    let sio = sio.replace("const socket", "const other").replace("socket.", "other.");
    let main = format!(
        "{import}\nconst token = JSON.parse(document.getElementById('options').textContent).token;\n\
         const seen = ({{ type, data }}) => report([type, data.status ?? data]);\n{raw}\n{}",
        sio.replace("console.log(event, data)", "event === 'room:join:ack' && report([event, data])")
    );
    let mut visit = Visit::open(bound, &hub, &[], &main, &json!({"token": token("alice")}));
    let mut reports: Vec<_> = (0..3).map(|_| visit.page.report(&visit.browser).to_string()).collect();
    reports.sort();
    let joined = r#"["room:join:ack",{"room":"lobby","success":true}]"#;
    assert_eq!(reports, [r#"["Status","connected"]"#, r#"["Status","subscribed"]"#, joined]);
}

/// The driver of `hub.js`: publishes after the first message, and pushes what it then misses, before each reconnect.
const RAW: &str = r"
import { connectHub } from '/hub.js';
import { getToken, signIn } from '/session.js';
let connects = 0;
await signIn('alice', options.password);
const hub = connectHub({
  url: 'wss://hub.example.com/ws',
  topics: ['news', 'lobby', 'user:bob'],
  checkMs: 300,
  getToken: async (isNew) => {
    const found = await getToken(isNew);
    if (isNew === undefined) return found;
    if (connects) await push(connects + 1);
    connects += 1;
    return found;
  },
  onMessage: async (message) => {
    report(message.data);
    if (message.data.n === 1) report({ ack: (await hub.publish('lobby', 'hello')).recipients });
  },
  onLoad: (topic) => { report({ load: topic }); if (topic === 'lobby' && connects === 1) push(1); },
  onDenied: (topic, code) => report({ denied: topic, code }),
  onEnd: ({ code }) => { report({ end: code }); hub.publish('lobby', 'late').catch(report); },
});
";

#[test]
fn a_raw_client_signs_in_recovers_after_a_restart_and_stays_away_after_a_disconnect() {
    let bound = PageListener::bind();
    let hub = hub_for(&bound, "[auth]\naccess_ttl_secs = 61");
    let id = user(&hub, "alice");
    let mut visit = Visit::open(bound, &hub, &["hub.js", "session.js"], RAW, &json!({}));
    let denied = json!({"denied": "user:bob", "code": "FORBIDDEN"});
    visit.expect(&[
        denied.clone(),
        json!({"load": "news"}),
        json!({"load": "lobby"}),
        json!({"n": 1}),
        json!({"ack": 0}),
    ]);
    wait_until(DEADLINE, "the client sends a fresh token", || {
        hub.metric("socket_server_events_total{event=\"Authenticate\"}") > 0.0
    });
    let hub = hub.restart_gracefully();
    // `news` is recovered, with the message that the client missed; `lobby` has no history.
    visit.expect(&[denied, json!({"load": "lobby"}), json!({"n": 2})]);
    disconnect(&hub, &id);
    visit.expect(&[json!({"end": 4403}), json!({"code": "CLOSED"})]);
}

#[test]
fn a_raw_client_asks_for_another_token_when_its_token_is_revoked() {
    let bound = PageListener::bind();
    let hub = hub_for(&bound, "");
    let main = "import { connectHub } from '/hub.js';
        connectHub({
          url: 'wss://hub.example.com/ws', topics: ['lobby'],
          getToken: async (isNew) => { report({ isNew }); return isNew ? options.second : options.first; },
          onMessage: () => {}, onLoad: (topic) => report({ load: topic }), onEnd: () => {},
        });";
    let mut visit = Visit::open(bound, &hub, &["hub.js"], main, &two_tokens());
    let load = json!({"load": "lobby"});
    visit.expect(&[json!({"isNew": false}), load.clone()]);
    revoke_first(&hub);
    visit.expect(&[json!({"isNew": true}), load]);
}

#[tokio::test]
async fn a_raw_client_leaves_a_silent_connection_and_publishes_once_after_its_return() {
    let bound = PageListener::bind();
    let hub = hub_for(&bound, "");
    let mut bob = Client::of(&hub, "bob").await;
    bob.subscribe(&["lobby"]).await;
    let main = "import { connectHub } from '/hub.js';
        let asked = 0;
        const hub = connectHub({
          url: 'wss://hub.example.com/ws', topics: ['news'], checkMs: 200, replyMs: 500,
          getToken: async (isNew) => {
            if (isNew !== undefined && (asked += 1) === 2) {
              hub.publish('lobby', 'late').then(({ recipients }) => report({ recipients }));
              report('silent');
            }
            return options.first;
          },
          onMessage: () => {}, onLoad: (topic) => report({ load: topic }), onEnd: () => {},
        });";
    let mut visit = Visit::open(bound, &hub, &["hub.js"], main, &two_tokens());
    visit.expect(&[json!({"load": "news"})]);
    hub.signal("STOP");
    visit.expect(&[json!("silent")]);
    hub.signal("CONT");
    // The topic has kept its position, and nothing was missed: the page loads nothing.
    visit.expect(&[json!({"recipients": 1})]);
    assert_eq!(bob.expect("Broadcast").await["data"]["payload"], "late");
    bob.expect_silence().await;
}

/// The driver of `socket.js`.
const SOCKET: &str = r"
import { connectSocket } from '/socket.js';
let connects = 0;
const hub = connectSocket({
  url: 'https://hub.example.com',
  rooms: ['news', 'user:bob'],
  getToken: async (isNew) => {
    if (isNew === undefined) return options.first;
    if (connects) await push(connects + 1);
    connects += 1;
    if (isNew) report({ isNew });
    return isNew ? options.second : options.first;
  },
  onMessage: async (event, data) => {
    if (event === 'news') report(data);
    if (event === 'news' && data.n === 1) report({ ack: (await hub.publish('lobby', 'hello')).recipients });
  },
  onLoad: () => { report('load'); if (connects === 1) push(1); },
  onDenied: (room, code) => report({ denied: room, code }),
  onEnd: (why) => { report({ end: why }); hub.publish('lobby', 'late').catch(report); },
});
";

/// What the driver of `socket.js` reports after a connect without a recovery.
fn loaded() -> [Value; 2] {
    [json!({"denied": "user:bob", "code": "FORBIDDEN"}), json!("load")]
}

#[test]
fn a_socket_io_client_recovers_after_a_restart_and_stays_away_after_a_disconnect() {
    let bound = PageListener::bind();
    let hub = hub_for(&bound, "");
    let mut visit = Visit::open(bound, &hub, &["socket.js"], SOCKET, &json!({"first": token("alice")}));
    visit.expect(&loaded());
    visit.expect(&[json!({"n": 1}), json!({"ack": 0})]);
    let hub = hub.restart_gracefully();
    // The session is recovered, so nothing is loaded.
    visit.expect(&[json!({"n": 2})]);
    disconnect(&hub, "alice");
    visit.expect(&[json!({"end": "server_disconnect"}), json!({"code": "CLOSED"})]);
}

#[test]
fn a_socket_io_client_asks_for_another_token_when_its_token_is_revoked() {
    let bound = PageListener::bind();
    let hub = hub_for(&bound, "");
    let mut visit = Visit::open(bound, &hub, &["socket.js"], SOCKET, &two_tokens());
    visit.expect(&loaded());
    visit.expect(&[json!({"n": 1}), json!({"ack": 0})]);
    revoke_first(&hub);
    visit.expect(&[json!({"isNew": true})]);
    visit.expect(&loaded());
}

#[test]
fn a_socket_io_client_comes_back_when_its_address_is_below_its_limit() {
    let bound = PageListener::bind();
    let limits = "[limits]\nexempt_loopback = false\n\
                  [limits.chat]\nconnection_attempts = 1\nattempts_window_secs = 5\nblock_secs = 1";
    let hub = hub_for(&bound, limits);
    // The page itself uses the only attempt first.
    let main = format!(
        "import {{ io }} from '/socket.io.esm.min.js';
        const other = io('https://hub.example.com/chat', {{ auth: {{ token: options.first }}, forceNew: true }});
        await new Promise((go) => other.on('connect', go));
        {}",
        SOCKET.replace("https://hub.example.com", "https://hub.example.com/chat")
    );
    let mut visit = Visit::open(bound, &hub, &["socket.js"], &main, &two_tokens());
    visit.expect(&loaded());
    assert!(hub.output().contains("RATE_LIMITED"), "the page was never refused: {}", hub.output());
}

#[tokio::test]
async fn a_chat_client_shows_the_history_and_recovers_after_a_restart() {
    let bound = PageListener::bind();
    let hub = hub_for(&bound, "");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join("general").await;
    bob.send_message("general", "earlier").await;
    let main = format!(
        "import {{ io }} from '/socket.io.esm.min.js';
        const getToken = async () => options.first;
        const chats = ['general'];
        const show = ({{ content }}) => report({{ content }});
        const clear = (chatId) => report({{ clear: chatId }});
        const me = 'alice';
        {}{}
        socket.on('connection:recovered', ({{ rooms }}) => report({{ rooms }}));",
        block("chats", "recover a chat").text,
        block("chats", "confirm messages").text
    );
    let mut visit = Visit::open(bound, &hub, &[], &main, &json!({"first": token("alice")}));
    visit.expect(&[json!({"clear": "general"}), json!({"content": "earlier"})]);
    let id = bob.send_message("general", "live").await;
    visit.expect(&[json!({"content": "live"})]);
    for line in block("chats", "the author receives").text.lines() {
        let (name, data) = line.split_once(' ').unwrap();
        let mut expected: Value = serde_json::from_str(&data.replace("bob", "alice")).unwrap();
        expected["messageId"] = json!(id);
        let mut event = bob.event().await;
        while event[0] != *name {
            event = bob.event().await;
        }
        event[1]["timestamp"] = expected["timestamp"].clone();
        assert_eq!(event, json!([name, expected]));
    }
    let _hub = hub.restart_gracefully();
    visit.expect(&[json!({"rooms": ["general"]})]);
}

#[test]
fn a_page_connects_with_a_token_of_an_identity_provider() {
    let port = ReservedPort::reserve();
    let (provider, _dir) = Snippet::of("tokens", "issuer").env("PORT", &port.address().port().to_string()).start();
    wait_until(DEADLINE, "the provider listens", || !provider.output().is_empty());
    let bound = PageListener::bind();
    let auth = block("browsers", "identity provider").text;
    let auth = auth.replace("jwks = \"https://id.example.com/", &format!("jwks = \"http://{}/", port.address()));
    let origins = format!("[server]\nallowed_origins = [{:?}]", bound.origin());
    let dir = tempfile::tempdir().unwrap();
    // A provider signs the tokens: the hub has no secret.
    let config = configuration(&format!("{auth}\n{origins}"));
    let config: String =
        config.lines().filter(|line| !line.starts_with("jwt_secret")).map(|line| format!("{line}\n")).collect();
    fs::write(dir.path().join("config.toml"), config).unwrap();
    let hub = Hub::in_dir(dir);

    let example = block("browsers", "a page with hub.js").text;
    let example = example.replace("console.log('load the state of', topic)", "report({ load: topic })");
    let main = format!(
        "import {{ connectHub }} from '/hub.js';
        import {{ getToken }} from '/get-token.js';
        const fetched = fetch;
        let asked = 0;
        globalThis.fetch = (path, more) => {{
          if (path !== '/token') return fetched(path, more);
          asked += 1;
          return asked < 3 ? fetched(options.provider, more) : new Response('', {{ status: 401 }});
        }};
        {example}
        report('published');
        const token = await getToken();
        report([await getToken() === token, asked]);
        await getToken(true);
        report([asked, await getToken(true)]);"
    );
    let provider = json!({"provider": format!("http://{}/token?user=auth0|42", port.address())});
    let mut visit = Visit::open(bound, &hub, &["hub.js", "get-token.js"], &main, &provider);
    visit.expect(&[json!({"load": "news"}), json!({"load": "lobby"}), json!("published")]);
    visit.expect(&[json!([true, 1]), json!([2, null])]);
}

#[test]
fn a_page_that_is_not_allowed_learns_that_it_waits_and_gives_up() {
    let bound = PageListener::bind();
    let origin = bound.origin();
    let hub = Hub::start();
    let main = "import { connectHub } from '/hub.js';
        import { connectSocket } from '/socket.js';
        const ended = new Promise((go) => {
          let asked = 0;
          const hub = connectHub({
            url: 'wss://hub.example.com/ws', topics: ['lobby'],
            getToken: async (isNew) => { report({ isNew }); return options.first; },
            onMessage: () => {}, onLoad: () => {}, onEnd: ({ code }) => report({ end: code }),
            onState: (state, { code }) => setTimeout(() => {
              if ((asked += 1) < 5) return hub.check();
              report([state, code]);
              hub.publish('lobby', 'early').catch((why) => { report(why); go(); });
              hub.close();
            }),
          });
        });
        await ended;
        const socket = connectSocket({
          url: 'https://hub.example.com', rooms: ['lobby'], getToken: async () => options.first,
          onMessage: () => {}, onLoad: () => {}, onEnd: (why) => report({ end: why }),
          onState: (state, why) => {
            report([state, why]);
            socket.publish('lobby', 'early').catch(report);
            socket.close();
          },
        });";
    let mut visit = Visit::open(bound, &hub, &["hub.js", "socket.js"], main, &two_tokens());
    // Another token is of no use, and the provider is asked for one only after some failures.
    visit.expect(&[false, false, false, true, false].map(|is_new| json!({"isNew": is_new})));
    let unknown = json!({"code": "OUTCOME_UNKNOWN"});
    visit.expect(&[json!(["waiting", 1006]), json!({"end": 1000}), unknown.clone()]);
    visit.expect(&[json!(["waiting", "xhr poll error"]), json!({"end": "closed"}), unknown]);
    let refused = [format!(" origin={origin} "), " rule=server.allowed_origins".to_owned()];
    let names = |line: &str| line.contains(" refused ") && refused.iter().all(|part| line.contains(part));
    assert!(hub.output().lines().any(names), "{}", hub.output());
}
