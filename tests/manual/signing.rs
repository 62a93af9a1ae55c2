//! docs/signing.md: its functions push to a hub, and agree with its test vector and with the hub.

use std::collections::HashSet;

use hubbub::auth::signature::{Signatures, Signed};
use hubbub_actors::runtime::clock::Clock;
use serde_json::json;

use super::snippets::{Snippet, text};
use crate::push::signed;
use crate::support::blocks::page;
use crate::support::client::without_time;
use crate::support::token::{now, now_ms};
use crate::support::{Client, DEADLINE, Hub, MockUpstream, UpstreamReply, wait_until};

/// The key in the page's configuration and in its test vector.
const KEY: &str = "example-key-0123456789";

/// The request of the test vector.
const VECTOR: Signed<'static> = Signed {
    method: "POST",
    path: "/api/push",
    timestamp: "1767225600000",
    nonce: "5f0c9a5e1b7d4e0f8a6c2d3b4e5f6071",
    version: "v2",
    signature: "",
    body: br#"{"userId":"alice","event":"greeting","data":{"text":"hi"}}"#,
};

/// The signature that the page gives in the row with this start.
#[track_caller]
fn documented(row: &str) -> String {
    let page = page("signing");
    let row = page.lines().find(|line| line.starts_with(&format!("| {row} |"))).unwrap();
    row.rsplit('`').nth(1).unwrap().to_owned()
}

/// The hub's refusal of `request`, signed with [`KEY`].
fn refusal(request: Signed<'_>) -> Option<String> {
    let clock = Clock::manual(1_767_225_600_000);
    Signatures::new().check(&request, KEY, "billing", &clock).err().map(|fault| fault.message.into_owned())
}

#[test]
fn the_hub_accepts_the_signatures_of_the_test_vector() {
    let page = page("signing");
    for part in [KEY, VECTOR.timestamp, VECTOR.nonce, std::str::from_utf8(VECTOR.body).unwrap()] {
        assert!(page.contains(&format!("`{part}`")), "{part}");
    }
    let get = Signed { method: "GET", path: "/api/rooms/a%2Fb", body: b"", ..VECTOR };
    for (row, request) in [
        ("`v1`", Signed { version: "v1", ..VECTOR }),
        ("`v2`", VECTOR),
        ("`v2` of `GET /api/rooms/a%2Fb`, no body, same timestamp and nonce", get),
    ] {
        assert_eq!(refusal(Signed { signature: &documented(row), ..request }), None, "{row}");
    }
}

/// What prints the signature of the test vector by the block's own function.
const CALLS: [(&str, &str); 4] = [
    ("python", "print(sign(\"{KEY}\", \"POST\", \"/api/push\", \"{TIME}\", \"{NONCE}\", b'{BODY}'))"),
    ("php", "echo sign('{KEY}', 'POST', '/api/push', '{TIME}', '{NONCE}', '{BODY}'), \"\\n\";"),
    ("node", "console.log(sign(\"{KEY}\", \"POST\", \"/api/push\", \"{TIME}\", \"{NONCE}\", '{BODY}'));"),
    ("sh", "echo; sign '{KEY}' POST /api/push '{TIME}' '{NONCE}' '{BODY}'"),
];

#[tokio::test]
async fn the_functions_sign_the_test_vector_and_a_delivered_push() {
    let hub = Hub::with(&text("signing", "config"));
    let started = now();
    let mut alice = Client::of(&hub, "alice").await;
    let push = json!({"userId": "alice", "event": "greeting", "data": {"text": "hi"}});
    let keyless = hub.http().request("POST", "/api/push").json(&push).send();
    assert_eq!((keyless.status, &keyless.json()["code"]), (401, &json!("UNAUTHORIZED")));
    let unsigned = hub.http().request("POST", "/api/push").header("X-API-Key", KEY).json(&push).send();
    assert_eq!((unsigned.status, &unsigned.json()["error"]), (401, &json!("X-Signature is missing")));
    for (name, call) in CALLS {
        if name == "sh" {
            // Its timestamp has whole seconds, and the hub refuses requests that were signed before its first start.
            wait_until(DEADLINE, "the next second", || now() > started);
        }
        let call = [
            ("{KEY}", KEY),
            ("{TIME}", VECTOR.timestamp),
            ("{NONCE}", VECTOR.nonce),
            ("{BODY}", std::str::from_utf8(VECTOR.body).unwrap()),
        ]
        .into_iter()
        .fold(call.to_owned(), |call, (part, value)| call.replace(part, value));
        let output = Snippet::changed("signing", name, |text| text + &call + "\n").for_hub(&hub, KEY).output();
        let mut lines = output.lines().filter(|line| !line.is_empty());
        let response: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!((&response["success"], &response["recipients"]), (&json!(true), &json!(1)), "{name}: {response}");
        assert_eq!(lines.next(), Some(documented("`v2`").as_str()), "{name}");
        assert_eq!(lines.next(), None, "{name}");
        let event = json!({"type": "greeting", "data": {"text": "hi"}});
        assert_eq!(without_time(alice.next().await), event, "{name}");
    }
    alice.expect_silence().await;
}

#[test]
fn the_block_in_python_signs_each_attempt_anew_and_keeps_its_idempotency_key() {
    let hub = MockUpstream::replying(UpstreamReply::HangUp);
    let mut attempts = 0;
    hub.set_reply_by(move |_| {
        attempts += 1;
        match attempts {
            1 => UpstreamReply::HangUp,
            2 => UpstreamReply::Json(503, json!({"code": "OVERLOADED"})),
            _ => UpstreamReply::Json(200, json!({"success": true})),
        }
    });
    let snippet = Snippet::of("signing", "python").env("HUB_URL", &hub.url("")).env("HUB_KEY", KEY);
    assert_eq!(snippet.json(), json!({"success": true}));
    let requests = hub.requests();
    let distinct =
        |name: &str| requests.iter().map(|request| request.header(name).unwrap()).collect::<HashSet<_>>().len();
    assert_eq!(requests.len(), 3);
    assert_eq!((distinct("idempotency-key"), distinct("x-request-nonce"), distinct("x-signature")), (1, 3, 3));
}

#[test]
fn the_signed_path_has_the_base_path_and_the_escapes() {
    let hub = Hub::unready("server.base_path = \"/hub\"");
    wait_until(DEADLINE, "the hub is ready", || hub.get("/hub/health/ready").status == 200);
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert!(page("signing").contains(digest));
    let http = hub.http();
    let read = |nonce: &str, path: &str| {
        let time = now_ms();
        let request = http.request("GET", "/hub/api/rooms/a%2Fb?limit=1");
        signed(request, format!("GET{path}{time}{nonce}{digest}"), nonce, time, "v2").send()
    };
    let accepted = read("n1", "/hub/api/rooms/a%2Fb");
    assert_eq!((accepted.status, &accepted.json()["code"]), (404, &json!("NOT_FOUND")), "no such room");
    for (nonce, path) in
        [("n2", "/api/rooms/a%2Fb"), ("n3", "/hub/api/rooms/a/b"), ("n4", "/hub/api/rooms/a%2Fb?limit=1")]
    {
        let refused = read(nonce, path);
        assert_eq!((refused.status, &refused.json()["code"]), (401, &json!("INVALID_SIGNATURE")), "{path}");
    }
}

#[test]
fn the_table_of_errors_has_the_messages_of_the_hub() {
    let page = page("signing");
    let (signature, long) = (documented("`v2`"), "n".repeat(129));
    let good = Signed { signature: &signature, ..VECTOR };
    for (request, documented) in [
        (VECTOR, "X-Signature is missing"),
        (Signed { version: "2", ..good }, "X-Signature-Version is neither v1 nor v2"),
        (Signed { timestamp: "1767225600", ..good }, "which looks like seconds"),
        (Signed { timestamp: "1767222000000", ..good }, "3600 s behind"),
        (
            Signed { timestamp: "1767225600000.5", ..good },
            "X-Request-Timestamp is not a whole number of milliseconds since 1970",
        ),
        (Signed { nonce: &long, ..good }, "X-Request-Nonce is longer than 128 characters"),
        (Signed { signature: "abc", ..good }, "X-Signature is not 64 hex digits"),
        (Signed { timestamp: "1767225600000000", ..good }, "microseconds"),
        (Signed { path: "/api/room", ..good }, "X-Signature does not match"),
    ] {
        let message = refusal(request).unwrap();
        assert!(message.contains(documented), "{message}");
        assert!(page.contains(documented), "docs/signing.md lacks {documented:?}");
    }
    let (signatures, clock) = (Signatures::new(), Clock::manual(1_767_225_600_000));
    let again = || signatures.check(&good, KEY, "billing", &clock);
    again().unwrap();
    let message = again().unwrap_err().message;
    assert!(page.contains(&*message), "{message}");
    let restarted = Signatures::new();
    restarted.restore(None, 1_767_225_600_001);
    let message = restarted.check(&good, KEY, "billing", &clock).unwrap_err().message;
    assert!(page.contains(&*message), "{message}");
}
