//! Guests: sessions without a user, and how they authenticate.

use bytes::Bytes;

use super::*;

const HOUR: i64 = 3_600_000;

impl TestHub {
    /// Runs the sweeper of the worker.
    fn sweep(&self) {
        let clock = self.clock();
        self.worker.session_table().sweep(clock.now_ms(), clock.elapsed_ms());
    }
}

#[actix::test]
async fn a_session_ends_at_its_tokens_expiry_though_the_wall_clock_is_set_back() {
    let hub = TestHub::start(GRACE_MS);
    let expires_at = Some(hub.clock().now_ms() + 60_000);
    let known = AuthState::Known(Arc::new(Identity { expires_at, ..identity("alice") }));
    let session = hub.open(Surface::Raw, known).await.unwrap();
    session.receive_greeting(Surface::Raw).await;
    hub.clock().step(-HOUR);
    hub.clock().advance(59_999);
    hub.sweep();
    assert_eq!(session.handle.closed(), None);
    hub.clock().advance(1);
    hub.sweep();
    assert_eq!(session.handle.closed(), Some(Close::TokenExpired));
}

/// As [`LineEncoder`], with properties of a Socket.IO encoder.
#[derive(Debug)]
struct Variant {
    /// Publications carry a number, from which a client recovers.
    is_numbered: bool,
    /// A refusal contains its audience only.
    writes_audience: bool,
}

static NUMBERED: Variant = Variant { is_numbered: true, writes_audience: false };
static AUDIENCES: Variant = Variant { is_numbered: false, writes_audience: true };

impl Encoder for Variant {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn surface(&self) -> Surface {
        Surface::Raw
    }

    fn is_numbered(&self) -> bool {
        self.is_numbered
    }

    fn event(&self, event: &Event, number: Offset) -> Payload {
        LineEncoder.event(event, number)
    }

    fn answer(&self, name: &str, data: &[u8], correlation: &Correlation, now: i64) -> Payload {
        LineEncoder.answer(name, data, correlation, now)
    }

    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, now: i64) -> Payload {
        LineEncoder.acknowledgement(data, correlation, now)
    }

    fn refusal(&self, refusal: &EventError<'_>, now: i64) -> Option<Payload> {
        if self.writes_audience {
            return Some(Payload::text([format!("refused for {:?}\n", refusal.style).as_bytes()]));
        }
        LineEncoder.refusal(refusal, now)
    }
}

/// Opens a guest's session. Returns its private id, and whether it recovered the session of `pid`.
async fn open(worker: &Worker, pid: Option<RecoveryToken>) -> (TestClient, RecoveryToken, bool) {
    let recovery = pid.map(|pid| RecoveryRequest { pid, last: None });
    let start = SessionStart { encoder: &NUMBERED, recovery, ..session_start(worker, Surface::Root, AuthState::Guest) };
    let session = Session::open(worker, start).await.unwrap();
    let (pid, is_recovered) = (session.pid().cloned().unwrap(), session.is_recovered());
    (TestClient::run(session), pid, is_recovered)
}

/// Authenticates a guest. Returns the expiry of its token.
async fn authenticated(hub: &TestHub, client: &TestClient) -> Expiry {
    client.ask("authenticate", r#"{"token":"brief"}"#, Some("1")).await;
    let ends = hub.clock().expiry(Some(1_060_000));
    wait_until(|| client.handle.expiry() == ends).await;
    ends
}

#[actix::test]
async fn concurrent_attempts_recover_a_suspended_session_in_their_turn() {
    let hub = TestHub::start(GRACE_MS);
    let (guest, pid, _) = open(&hub.worker, None).await;
    authenticated(&hub, &guest).await;
    // A recovered session began earlier than its connection.
    hub.clock().advance(1_000);
    drop(guest);
    wait_until(|| hub.stats().suspended.get() > 0).await;
    let attempt = || {
        let (worker, pid) = (hub.worker.clone(), pid.clone());
        actix::spawn(async move { open(&worker, Some(pid)).await })
    };
    // All attempts start before the first reply. The connections of the first two are cut.
    let earlier = [attempt(), attempt()];
    let last = attempt();
    for attempt in earlier {
        let (client, same, is_recovered) = timeout(DEADLINE, attempt).await.unwrap().unwrap();
        assert!(is_recovered && same == pid);
        drop(client);
    }
    let (_client, same, is_recovered) = timeout(DEADLINE, last).await.unwrap().unwrap();
    assert!(is_recovered && same == pid);
}

#[actix::test]
async fn a_recovered_guest_keeps_its_tokens_expiry_though_the_wall_clock_is_set_back() {
    let hub = TestHub::start(GRACE_MS);
    let (guest, pid, _) = open(&hub.worker, None).await;
    let ends = authenticated(&hub, &guest).await;
    // The connection is cut, and the hub's clock is set back meanwhile.
    hub.clock().advance(10_000);
    drop(guest);
    hub.clock().step(-HOUR);
    let (back, _, is_recovered) = open(&hub.worker, Some(pid)).await;
    assert!(is_recovered);
    assert_eq!(back.handle.expiry(), ends);
    hub.clock().advance(50_000);
    hub.sweep();
    assert_eq!(back.handle.closed(), Some(Close::TokenExpired));
}

#[actix::test]
async fn a_guest_is_counted_and_in_no_room_and_may_only_ping() {
    let hub = TestHub::start(GRACE_MS);
    let guest = hub.guest().await;
    assert_eq!(hub.stats().sessions.get(), 1);
    assert_eq!(hub.publish(PublishTarget::Everybody, "news").await, 0);
    guest.ask("ping", "{}", Some("1")).await;
    guest.ask("register", r#"{"userId":1}"#, None).await;
    assert_eq!(guest.receive().await, ["#1: done", "refused register: PERMISSION_DENIED"]);
    let other = hub.guest().await;
    other.ask("room:join", r#"{"room":"lobby"}"#, None).await;
    other.ask("nonsense", "{}", None).await;
    assert_eq!(other.receive().await, ["refused lobby: PERMISSION_DENIED", "refused nonsense: PERMISSION_DENIED"]);
    drop((guest.requests, other.requests));
    wait_until(|| hub.stats().sessions.get() == 0).await;
}

#[actix::test]
async fn only_the_root_surface_accepts_guests() {
    let hub = TestHub::start(GRACE_MS);
    for surface in [Surface::Raw, Surface::Chat] {
        let refused = hub.open(surface, AuthState::Guest).await.err();
        assert_eq!(refused.map(|fault| fault.code), Some(Code::Unauthenticated));
    }
}

#[actix::test]
async fn messages_to_the_user_follow_the_authentication_reply_of_a_guest() {
    let hub = TestHub::start(GRACE_MS);
    let guest = hub.guest().await;
    let release = hub.delay_token("42");
    guest.ask("authenticate", r#"{"token":"42"}"#, Some("1")).await;
    guest.ask("room:join", r#"{"room":"lobby"}"#, None).await;
    // Messages to the user are published all the time, so also between the joins and the reply.
    let own = RoomName::of_user(&UserId::parse("42", "user").unwrap());
    let publisher = hub.inner.clone();
    let sending = actix_rt::spawn(async move {
        loop {
            let data = Bytes::from_static(b"1");
            let event = Event { name: EventName::of_hub("hello"), topic: None, data, timestamp: 0, offset: None };
            drop(publisher.rooms().publish(own.clone(), event, None));
            actix_rt::task::yield_now().await;
        }
    });
    release.send(()).unwrap();
    let mut lines = Vec::new();
    let received = async {
        while lines.is_empty() {
            actix_rt::task::yield_now().await;
            lines = guest.take();
        }
    };
    timeout(DEADLINE, received).await.unwrap();
    sending.abort();
    hub.rooms().flush().await;
    lines.extend(guest.take());
    let data = format!(
        r#"{{"user":{{"id":42,"name":"42","email":null,"role":null}},"permissions":[],"socketId":"{}"}}"#,
        guest.handle.session()
    );
    assert_eq!(lines[..2], [format!("authenticated {data} #1"), format!("#1: {data}")]);
    lines.retain(|line| line != "hello 1");
    assert_eq!(lines[2..], [r#"room:join:ack {"success":true,"room":"lobby"}"#]);
    assert_eq!((hub.sessions_of("42"), hub.publish(PublishTarget::Everybody, "news").await), (1, 1));
    // The join is its first message. `authenticate` does not count.
    guest.ask("ping", "{}", Some("2")).await;
    guest.ask("ping", "{}", Some("3")).await;
    let lines: [String; 3] = guest.receive().await;
    assert!(lines.contains(&"#2: done".to_owned()), "the second message of a community client: {lines:?}");
    assert!(
        lines.contains(&"refused ping: RATE_LIMITED #3".to_owned()),
        "the third message of a community client: {lines:?}"
    );
}

#[actix::test]
async fn a_guest_may_authenticate_again_until_the_grace_time_ends() {
    let hub = TestHub::start(300);
    let guest = hub.guest().await;
    guest.ask("authenticate", r#"{"token":"bad"}"#, None).await;
    assert_eq!(guest.receive().await, ["refused authenticate: INVALID_TOKEN"]);
    hub.clock().advance(299);
    guest.ask("authenticate", r#"{"token":"expired"}"#, None).await;
    assert_eq!(guest.receive().await, ["refused authenticate: TOKEN_EXPIRED"]);
    hub.clock().advance(1);
    assert_eq!(
        guest.receive().await,
        [r#"authentication_error {"error":"Not authenticated in time","code":"AUTH_FAILED"}"#]
    );
    assert_eq!(guest.closed().await, Close::NotAuthenticated);
}

#[actix::test]
async fn a_token_check_that_runs_at_the_end_of_the_grace_time_decides_first() {
    let hub = TestHub::start(50);
    let (guest, late, idle) = (hub.guest().await, hub.guest().await, hub.guest().await);
    let (release, release_late) = (hub.delay_token("alice"), hub.delay_token("bad"));
    guest.ask("authenticate", r#"{"token":"alice"}"#, None).await;
    late.ask("authenticate", r#"{"token":"bad"}"#, None).await;
    hub.clock().advance(50);
    assert_eq!(idle.closed().await, Close::NotAuthenticated);
    assert_eq!((guest.handle.closed(), late.handle.closed()), (None, None));
    release.send(()).unwrap();
    release_late.send(()).unwrap();
    assert!(guest.receive::<1>().await[0].starts_with("authenticated "));
    let [refused, error] = late.receive().await;
    assert_eq!(refused, "refused authenticate: INVALID_TOKEN");
    assert!(error.starts_with("authentication_error "));
    assert_eq!((late.closed().await, guest.handle.closed()), (Close::NotAuthenticated, None));
}

#[actix::test]
async fn a_token_that_is_revoked_during_its_check_leaves_the_session_a_guest() {
    let hub = TestHub::start(GRACE_MS);
    let guest = hub.guest().await;
    let release = hub.delay_token("alice");
    guest.ask("authenticate", r#"{"token":"alice"}"#, None).await;
    let alice = UserId::parse("alice", "user").unwrap();
    hub.revoke(&Revocation::of_user(&alice, 2_000, 2_000)).await;
    release.send(()).unwrap();
    let [refused] = guest.receive().await;
    assert_eq!(refused, "refused authenticate: INVALID_TOKEN");
    assert_eq!((hub.sessions_of("alice"), hub.stats().users.get()), (0, 0));
    assert_eq!(hub.publish(PublishTarget::User(alice), "hello").await, 0);
    guest.ask("authenticate", r#"{"token":"bob"}"#, None).await;
    assert!(guest.receive::<1>().await[0].starts_with("authenticated "));
}

#[actix::test]
async fn a_later_revocation_ends_a_session_that_started_as_a_guest() {
    let hub = TestHub::start(GRACE_MS);
    let guest = hub.guest().await;
    guest.ask("authenticate", r#"{"token":"alice"}"#, None).await;
    let [_] = guest.receive().await;
    let alice = UserId::parse("alice", "user").unwrap();
    assert_eq!(hub.revoke(&Revocation::of_user(&alice, 2_000, 2_000)).await, 1);
    assert_eq!(guest.closed().await, Close::TokenRevoked);
}

#[actix::test]
async fn counted_guests_of_a_user_have_a_limit_of_connections() {
    let hub = TestHub::start(GRACE_MS);
    let address = || crate::limits::concurrency::ConcurrencyKey::Address(std::net::IpAddr::from([10, 0, 0, 1]));
    let counted = async || {
        let slot = hub.take_slot(address(), 4).unwrap();
        let guest = hub.open_with_slot(Surface::Root, AuthState::Guest, Some(slot)).await.unwrap();
        guest.receive_greeting(Surface::Root).await;
        guest
    };
    let authenticated = async |guest: &TestClient| {
        guest.ask("authenticate", r#"{"token":"alice"}"#, None).await;
        let [answer] = guest.receive().await;
        answer.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
    };
    let (one, two, three) = (counted().await, counted().await, counted().await);
    for guest in [&one, &two] {
        assert!(authenticated(guest).await.starts_with("authenticated "));
    }
    assert_eq!(authenticated(&three).await, "refused authenticate: LIMIT_REACHED");
    assert_eq!(hub.sessions_of("alice"), 2);
    let exempt = hub.guest().await;
    assert!(authenticated(&exempt).await.starts_with("authenticated "), "its address is not counted");
    let _known = hub.client(Surface::Root, "alice").await;
    let _four = hub.take_slot(address(), 4).unwrap();
    assert!(hub.take_slot(address(), 4).is_err());
    drop(one);
    wait_until(|| hub.take_slot(address(), 4).is_ok()).await;
    assert!(authenticated(&three).await.starts_with("authenticated "));
}

#[actix::test]
async fn a_drain_closes_guests_too() {
    let hub = TestHub::start(GRACE_MS);
    let guest = hub.guest().await;
    hub.drain(AT_ONCE).await;
    assert_eq!(guest.closed().await, Close::GoingAway);
    assert_eq!(hub.open(Surface::Root, AuthState::Guest).await.err().map(|it| it.code), Some(Code::ShuttingDown));
}

#[actix::test]
async fn a_client_that_connects_without_a_token_receives_the_community_codes() {
    let hub = TestHub::start(GRACE_MS);
    for (auth_state, refusal) in [
        (AuthState::Guest, "refused for Community"),
        (AuthState::Known(Arc::new(identity("alice"))), "refused for Push"),
    ] {
        let start = SessionStart { encoder: &AUDIENCES, ..session_start(&hub.worker, Surface::Root, auth_state) };
        let client = TestClient::run(Session::open(&hub.worker, start).await.unwrap());
        client.receive_greeting(Surface::Root).await;
        client.ask("nonsense", "{}", None).await;
        assert_eq!(client.receive().await, [refusal]);
    }
}
