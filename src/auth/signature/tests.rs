//! Tests: what a signature covers, how long it is valid, and that it is valid once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const KEY: &str = "key-text";
const NOW: i64 = 1_767_225_600_000;

const GOOD: Signed<'static> = Signed {
    method: "POST",
    path: "/api/push",
    timestamp: "1767225600000",
    nonce: "abc123",
    version: "v1",
    signature: "",
    body: b"{\"userId\":\"alice\"}",
};

fn mac(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// The signature that `request` should carry.
fn signature(request: &Signed<'_>) -> String {
    let mut text = [request.method, request.path, request.timestamp, request.nonce].concat();
    if request.version == "v2" {
        text.push_str(&hex::encode(Sha256::digest(request.body)));
    }
    mac(KEY, &text)
}

/// Signs `request` correctly and checks it with `signatures` at `now_ms`.
fn check(signatures: &Signatures, request: Signed<'_>, now_ms: i64) -> Result<(), Fault> {
    let signature = signature(&request);
    let request = Signed { signature: &signature, ..request };
    signatures.check(&request, KEY, "backend", &Clock::manual(now_ms))
}

/// Checks an invalid request and returns the error text.
fn refusal(request: Signed<'_>) -> String {
    let fault = Signatures::new().check(&request, KEY, "backend", &Clock::manual(NOW)).unwrap_err();
    assert_eq!(fault.code, Code::InvalidSignature);
    fault.message.into_owned()
}

#[test]
fn a_known_signature_is_accepted() {
    // From: printf 'POST/api/push1767225600000abc123' | openssl dgst -sha256 -hmac key-text
    let v1 = "68a9f54b3b6206e7436954c3c91ff5013173a974fda94cc2fec2d46312146b58";
    // The same, with the hex SHA-256 of the body after the nonce.
    let v2 = "382380f43091aba87fc7ce0c880b153573ca7c64ab86faa2705f0a436d671bcf";
    for (version, signature) in [("v1", v1), ("v2", v2), ("v1", &v1.to_uppercase())] {
        let request = Signed { version, signature, ..GOOD };
        Signatures::new().check(&request, KEY, "backend", &Clock::manual(NOW)).unwrap();
    }
}

#[test]
fn each_part_is_signed() {
    let signature = signature(&GOOD);
    let good = Signed { signature: &signature, ..GOOD };
    for changed in [
        Signed { method: "PUT", ..good },
        Signed { method: "post", ..good },
        Signed { path: "/api/room", ..good },
        Signed { path: "/api/push?x=1", ..good },
        Signed { path: "/api/push/", ..good },
        Signed { timestamp: "1767225600001", ..good },
        Signed { nonce: "abc124", ..good },
        Signed { version: "v2", ..good },
    ] {
        let Signed { method, path, version, .. } = changed;
        assert_eq!(refusal(changed), format!("X-Signature does not match {method} {path} as {version}"));
    }
    let fault = Signatures::new().check(&good, "another key", "backend", &Clock::manual(NOW));
    assert_eq!(fault.unwrap_err().code, Code::InvalidSignature);
}

#[test]
fn only_v2_signs_the_body() {
    let v1 = signature(&GOOD);
    let other_body = Signed { body: b"{}", signature: &v1, ..GOOD };
    Signatures::new().check(&other_body, KEY, "backend", &Clock::manual(NOW)).unwrap();

    let v2 = signature(&Signed { version: "v2", ..GOOD });
    let other_body = Signed { version: "v2", body: b"{}", signature: &v2, ..GOOD };
    assert_eq!(refusal(other_body), "X-Signature does not match POST /api/push as v2");
}

#[test]
fn a_v2_signature_is_not_valid_for_a_v1_request_with_another_body() {
    let v2 = signature(&Signed { version: "v2", ..GOOD });
    let nonce = format!("{}{}", GOOD.nonce, hex::encode(Sha256::digest(GOOD.body)));
    let downgraded = Signed { nonce: &nonce, body: b"{}", signature: &v2, ..GOOD };
    assert_eq!(mac(KEY, &["POST/api/push1767225600000", &nonce].concat()), v2);
    assert!(refusal(downgraded).starts_with("X-Request-Nonce ends in what could be a body's digest"));
}

#[test]
fn a_missing_or_malformed_part_is_named() {
    let signature = signature(&GOOD);
    let good = Signed { signature: &signature, ..GOOD };
    let long = "n".repeat(NONCE_MAX + 1);
    for (request, message) in [
        (Signed { signature: "", ..good }, "X-Signature is missing"),
        (Signed { version: "", ..good }, "X-Signature-Version is missing"),
        (Signed { timestamp: "", ..good }, "X-Request-Timestamp is missing"),
        (Signed { nonce: "", ..good }, "X-Request-Nonce is missing"),
        (Signed { version: "v3", ..good }, "X-Signature-Version is neither v1 nor v2"),
        (Signed { version: "V1", ..good }, "X-Signature-Version is neither v1 nor v2"),
        (Signed { nonce: &long, ..good }, "X-Request-Nonce is longer than 128 characters"),
        (Signed { signature: "abc", ..good }, "X-Signature is not 64 hex digits"),
        (Signed { signature: &"g".repeat(64), ..good }, "X-Signature is not 64 hex digits"),
        (Signed { signature: &"a".repeat(66), ..good }, "X-Signature is not 64 hex digits"),
        (Signed { signature: &"a".repeat(64), ..good }, "X-Signature does not match POST /api/push as v1"),
    ] {
        assert_eq!(refusal(request), message);
    }
    for timestamp in [
        "now",
        "-1767225600000",
        "+1767225600000",
        "01767225600000",
        "1767225600000.0",
        "9".repeat(40).as_str(),
        " 1767225600000",
    ] {
        let message = refusal(Signed { timestamp, ..good });
        let got: String = timestamp.chars().take(40).collect();
        let expected = format!("X-Request-Timestamp is not a whole number of milliseconds since 1970: got {got:?}");
        assert_eq!(message, expected);
    }
}

#[test]
fn a_timestamp_in_another_unit_is_refused_with_its_value() {
    for (timestamp, problem) in [
        ("1767225600", "is in milliseconds since 1970: got 1767225600, which looks like seconds"),
        ("1767225600000000", "is in milliseconds since 1970: got 1767225600000000, which looks like microseconds"),
        ("1767225600000000000", "is in milliseconds since 1970: got 1767225600000000000, which looks like nanoseconds"),
        ("1767225000000", "is more than 5 minutes from the server's time: got 1767225000000, 600 s behind"),
        ("1767226000000", "is more than 5 minutes from the server's time: got 1767226000000, 400 s ahead"),
    ] {
        assert_eq!(refusal(Signed { timestamp, signature: "x", ..GOOD }), format!("X-Request-Timestamp {problem}"));
    }
}

#[test]
fn nonces_of_every_usual_kind_are_accepted() {
    let signatures = Signatures::new();
    for nonce in ["1", "550e8400-e29b-41d4-a716-446655440000", "c".repeat(64).as_str(), "Zz".repeat(64).as_str()] {
        check(&signatures, Signed { nonce, ..GOOD }, NOW).unwrap();
    }
}

#[test]
fn a_timestamp_may_differ_by_five_minutes() {
    for (now_ms, holds) in [
        (NOW, true),
        (NOW + WINDOW_MS, true),
        (NOW - WINDOW_MS, true),
        (NOW + WINDOW_MS + 1, false),
        (NOW - WINDOW_MS - 1, false),
        (i64::MAX, false),
        (i64::MIN, false),
    ] {
        assert_eq!(check(&Signatures::new(), GOOD, now_ms).is_ok(), holds, "{now_ms}");
    }
}

#[test]
fn a_nonce_is_accepted_once_while_its_timestamp_is_valid() {
    let signatures = Signatures::new();
    // Signed by a clock that is five minutes ahead: fresh for ten minutes.
    let ahead = (NOW + WINDOW_MS).to_string();
    let request = Signed { timestamp: &ahead, ..GOOD };
    check(&signatures, request, NOW).unwrap();
    for (again, now_ms) in [
        (request, NOW),
        (request, NOW + 2 * WINDOW_MS),
        (GOOD, NOW),
        (Signed { path: "/api/room", version: "v2", ..request }, NOW + 1),
    ] {
        let fault = check(&signatures, again, now_ms).unwrap_err();
        assert_eq!(fault, Fault::new(Code::InvalidSignature, "X-Request-Nonce was used before"));
    }
    let later = (NOW + 2 * WINDOW_MS + 1).to_string();
    check(&signatures, Signed { timestamp: &later, ..GOOD }, NOW + 2 * WINDOW_MS + 1).unwrap();
}

#[test]
fn two_keys_may_use_the_same_nonce() {
    let signatures = Signatures::new();
    let signature = signature(&GOOD);
    let request = Signed { signature: &signature, ..GOOD };
    for (name, passes) in [("backend", true), ("other", true), ("backend", false), ("other", false)] {
        assert_eq!(signatures.check(&request, KEY, name, &Clock::manual(NOW)).is_ok(), passes, "{name}");
    }
    // `backend` + `abc123` and `backendabc` + `123` are different nonces.
    let signature = mac(KEY, "POST/api/push1767225600000123");
    let shifted = Signed { nonce: "123", signature: &signature, ..GOOD };
    signatures.check(&shifted, KEY, "backendabc", &Clock::manual(NOW)).unwrap();
}

#[test]
fn a_wrong_signature_does_not_use_its_nonce() {
    let signatures = Signatures::new();
    let forged = "0".repeat(64);
    let request = Signed { signature: &forged, ..GOOD };
    signatures.check(&request, KEY, "backend", &Clock::manual(NOW)).unwrap_err();
    check(&signatures, GOOD, NOW).unwrap();
}

#[test]
fn exactly_one_of_concurrent_requests_with_one_nonce_passes() {
    let signatures = Signatures::new();
    for round in 0..50 {
        let nonce = format!("round-{round}");
        let passed = AtomicUsize::new(0);
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    let request = Signed { nonce: &nonce, ..GOOD };
                    if check(&signatures, request, NOW).is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 1, "{nonce}");
    }
}

#[test]
fn a_request_beyond_the_bound_of_nonces_is_refused_and_no_nonce_is_evicted() {
    let signatures = Signatures::with_capacity(3);
    let later = (NOW + 1_000).to_string();
    check(&signatures, Signed { nonce: "a", ..GOOD }, NOW).unwrap();
    check(&signatures, Signed { nonce: "b", timestamp: &later, ..GOOD }, NOW).unwrap();
    check(&signatures, Signed { nonce: "c", timestamp: &later, ..GOOD }, NOW).unwrap();

    let full = Signed { nonce: "d", timestamp: &later, ..GOOD };
    assert_eq!(check(&signatures, full, NOW).unwrap_err(), Fault::overloaded());
    let replayed = check(&signatures, Signed { nonce: "a", ..GOOD }, NOW).unwrap_err();
    assert_eq!(replayed.code, Code::InvalidSignature);
    // The last ms of the first window still counts; a ms later, only that nonce expires.
    let last = NOW + WINDOW_MS;
    assert_eq!(check(&signatures, full, last).unwrap_err(), Fault::overloaded());
    check(&signatures, full, last + 1).unwrap();
    let more = Signed { nonce: "e", ..full };
    assert_eq!(check(&signatures, more, last + 1).unwrap_err(), Fault::overloaded());
}

#[test]
fn a_nonce_survives_a_restart_and_no_request_passes_in_between() {
    let before = Signatures::new();
    check(&before, GOOD, NOW).unwrap();
    let taken = before.take();
    let fault = check(&before, Signed { nonce: "later", ..GOOD }, NOW).unwrap_err();
    assert_eq!((fault.code, before.take()), (Code::ShuttingDown, None));

    let after = Signatures::new();
    after.restore(taken, NOW + 1_000);
    let replayed = check(&after, GOOD, NOW + 1_000).unwrap_err();
    assert_eq!(replayed, Fault::new(Code::InvalidSignature, "X-Request-Nonce was used before"));
    check(&after, Signed { nonce: "signed before the start", ..GOOD }, NOW + 1_000).unwrap();
}

#[test]
fn after_a_crash_requests_signed_before_the_start_are_refused_across_further_starts() {
    let start = NOW + 1_000;
    let crashed = Signatures::new();
    crashed.restore(None, start);
    let lost = Fault::new(Code::InvalidSignature, "The request was signed before the hub started; sign it again");
    assert_eq!(check(&crashed, GOOD, start), Err(lost.clone()));
    let (just_before, at_start) = ((start - 1).to_string(), start.to_string());
    assert_eq!(check(&crashed, Signed { timestamp: &just_before, ..GOOD }, start), Err(lost.clone()));
    check(&crashed, Signed { timestamp: &at_start, ..GOOD }, start).unwrap();

    let planned = Signatures::new();
    planned.restore(crashed.take(), start + 1_000);
    assert_eq!(check(&planned, Signed { nonce: "another", ..GOOD }, start + 1_000), Err(lost));
}

/// Checks `request`, correctly signed, at the time of `clock`.
fn check_by(signatures: &Signatures, request: Signed<'_>, clock: &Clock) -> Result<(), Fault> {
    let signature = signature(&request);
    signatures.check(&Signed { signature: &signature, ..request }, KEY, "backend", clock)
}

#[test]
fn a_step_of_the_wall_clock_does_not_make_a_nonce_valid_again() {
    const HOUR: i64 = 3_600_000;
    let (signatures, clock) = (Signatures::with_capacity(2), Clock::manual(NOW));
    check_by(&signatures, GOOD, &clock).unwrap();
    // An hour ahead, the request is stale, and another request sweeps the nonces.
    clock.step(HOUR);
    let ahead = (NOW + HOUR).to_string();
    check_by(&signatures, Signed { nonce: "a", timestamp: &ahead, ..GOOD }, &clock).unwrap();
    let full = check_by(&signatures, Signed { nonce: "b", timestamp: &ahead, ..GOOD }, &clock);
    assert_eq!(full, Err(Fault::overloaded()), "the step is not trusted yet");
    clock.step(-HOUR);
    let fault = check_by(&signatures, GOOD, &clock).unwrap_err();
    assert_eq!(fault.message, "X-Request-Nonce was used before");

    // A lasting step is trusted, and stale nonces are removed.
    clock.step(HOUR);
    let _ = check_by(&signatures, Signed { nonce: "a", timestamp: &ahead, ..GOOD }, &clock);
    clock.advance(2 * WINDOW_MS);
    let later = (NOW + HOUR + 2 * WINDOW_MS).to_string();
    check_by(&signatures, Signed { nonce: "c", timestamp: &later, ..GOOD }, &clock).unwrap();
}
