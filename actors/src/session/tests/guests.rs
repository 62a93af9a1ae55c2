//! Sessions that are nobody's yet, and how they become a user's.

use super::*;

const HOUR: i64 = 3_600_000;

impl TestHub {
    /// Has the worker look at its sessions now.
    fn beat(&self) {
        let clock = self.hub.clock();
        self.worker.session_table().sweep(clock.now_ms(), clock.elapsed_ms());
    }
}

#[actix::test]
async fn a_session_ends_at_its_tokens_expiry_though_the_wall_clock_is_set_back() {
    let bench = TestHub::start(LONG);
    let expires_at = Some(bench.hub.clock().now_ms() + 60_000);
    let known = AuthState::Known(Arc::new(Identity { expires_at, ..identity("alice") }));
    let session = bench.open(Surface::Raw, known).await.unwrap();
    session.greeted(Surface::Raw).await;
    bench.hub.clock().step(-HOUR);
    bench.hub.clock().advance(59_999);
    bench.beat();
    assert_eq!(session.handle.closed(), None);
    bench.hub.clock().advance(1);
    bench.beat();
    assert_eq!(session.handle.closed(), Some(Close::TokenExpired));
}

/// As [`Lines`], with what else a wire of Socket.IO does.
#[derive(Debug)]
struct Variant {
    /// Events have numbers, which a client gives back.
    is_numbered: bool,
    /// A refusal tells by which document's codes it is told, and nothing else.
    tells_audience: bool,
}

static NUMBERED: Variant = Variant { is_numbered: true, tells_audience: false };
static AUDIENCES: Variant = Variant { is_numbered: false, tells_audience: true };

impl Encoder for Variant {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn surface(&self) -> Option<Surface> {
        None
    }

    fn is_numbered(&self) -> bool {
        self.is_numbered
    }

    fn event(&self, event: &Event, number: u64) -> Bytes {
        LineEncoder.event(event, number)
    }

    fn answer(&self, name: &str, data: &[u8], correlation: &Correlation, now: i64) -> Bytes {
        LineEncoder.answer(name, data, correlation, now)
    }

    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, now: i64) -> Bytes {
        LineEncoder.acknowledgement(data, correlation, now)
    }

    fn refusal(&self, refusal: &EventError<'_>, now: i64) -> Option<Bytes> {
        if self.tells_audience {
            return Some(format!("refused for {:?}\n", refusal.style).into());
        }
        LineEncoder.refusal(refusal, now)
    }
}

/// A client that came without a token, its private id, and whether it goes on with the session of `pid`.
async fn open(worker: &Worker, pid: Option<RecoveryToken>) -> (TestClient, RecoveryToken, bool) {
    let returning = pid.map(|pid| RecoveryRequest { pid, last: None });
    let opening =
        SessionStart { encoder: &NUMBERED, recovery: returning, ..opening(Surface::Root, AuthState::Guest, None) };
    let session = Session::open(worker, opening).await.unwrap();
    let (pid, is_back) = (session.pid().cloned().unwrap(), session.is_recovered());
    let (requests, inbound) = mpsc::channel(64);
    let handle = session.handle().clone();
    session.run(InboundStream(inbound));
    (TestClient { requests, handle, read: RefCell::default() }, pid, is_back)
}

/// Has a client show its token; when that ends.
async fn authenticated(bench: &TestHub, client: &TestClient) -> Expiry {
    client.ask("authenticate", r#"{"token":"brief"}"#, Some("1")).await;
    let ends = bench.hub.clock().expiry(Some(1_060_000));
    let authenticated = async {
        while client.handle.expiry() != ends {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, authenticated).await.unwrap();
    ends
}

#[actix::test]
async fn the_last_of_several_attempts_at_once_goes_on_with_a_session_that_was_cut_off() {
    let bench = TestHub::start(LONG);
    let (guest, pid, _) = open(&bench.worker, None).await;
    authenticated(&bench, &guest).await;
    // A session that goes on began earlier than its connection.
    bench.hub.clock().advance(1_000);
    drop(guest);
    while bench.hub.stats().suspended.get() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let attempt = || {
        let (worker, pid) = (bench.worker.clone(), pid.clone());
        actix::spawn(async move { open(&worker, Some(pid)).await })
    };
    // All of them ask before the first is answered. The connections of the first two were cut off.
    let earlier = [attempt(), attempt()];
    let last = attempt();
    for (attempt, is_back) in earlier.into_iter().zip([true, false]) {
        let (client, _, is_recovered) = timeout(DEADLINE, attempt).await.unwrap().unwrap();
        assert_eq!(is_recovered, is_back);
        drop(client);
    }
    let (_client, same, is_back) = timeout(DEADLINE, last).await.unwrap().unwrap();
    assert!(is_back && same == pid);
}

#[actix::test]
async fn a_guest_that_comes_back_after_the_wall_clock_was_set_back_keeps_its_tokens_end() {
    let bench = TestHub::start(LONG);
    let (guest, pid, _) = open(&bench.worker, None).await;
    let ends = authenticated(&bench, &guest).await;
    // It is cut off, and the hub's clock is set back meanwhile.
    bench.hub.clock().advance(10_000);
    drop(guest);
    bench.hub.clock().step(-HOUR);
    let (back, _, is_back) = open(&bench.worker, Some(pid)).await;
    assert!(is_back);
    assert_eq!(back.handle.expiry(), ends);
    bench.hub.clock().advance(50_000);
    bench.beat();
    assert_eq!(back.handle.closed(), Some(Close::TokenExpired));
}

#[actix::test]
async fn a_guest_may_ping_and_fail_to_register_and_is_counted_and_in_no_room() {
    let bench = TestHub::start(LONG);
    let guest = bench.guest().await;
    assert_eq!(bench.hub.stats().sessions.get(), 1);
    assert_eq!(bench.publish(PublishTarget::Everybody, "news").await, 0);
    guest.ask("ping", "{}", Some("1")).await;
    guest.ask("register", r#"{"userId":1}"#, None).await;
    assert_eq!(guest.receive().await, ["#1: done", "refused register: PERMISSION_DENIED"]);
    let other = bench.guest().await;
    other.ask("room:join", r#"{"room":"lobby"}"#, None).await;
    other.ask("nonsense", "{}", None).await;
    assert_eq!(other.receive().await, ["refused lobby: PERMISSION_DENIED", "refused nonsense: PERMISSION_DENIED"]);
    drop((guest.requests, other.requests));
    let gone = async {
        while bench.hub.stats().sessions.get() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, gone).await.unwrap();
}

#[actix::test]
async fn there_are_no_guests_but_on_the_main_namespace() {
    let bench = TestHub::start(LONG);
    for surface in [Surface::Raw, Surface::Chat] {
        let refused = bench.open(surface, AuthState::Guest).await.err();
        assert_eq!(refused.map(|fault| fault.code), Some(Code::Unauthenticated));
    }
}

#[actix::test]
async fn a_guest_with_a_token_is_its_users_and_hears_what_is_sent_to_the_user_behind_the_answer() {
    let bench = TestHub::start(LONG);
    let guest = bench.guest().await;
    let judge = bench.delay_token("42");
    guest.ask("authenticate", r#"{"token":"42"}"#, Some("1")).await;
    guest.ask("room:join", r#"{"room":"lobby"}"#, None).await;
    // Something is sent to the user all the time, so also between the joins and the answer.
    let own = RoomName::of_user(&UserId::parse("42", "user").unwrap());
    let hub = bench.hub.clone();
    let sending = actix_rt::spawn(async move {
        loop {
            let data = Bytes::from_static(b"1");
            let event = Event { name: EventName::of_hub("hello"), topic: None, data, timestamp: 0, offset: None };
            drop(hub.rooms().publish(own.clone(), event, None));
            actix_rt::task::yield_now().await;
        }
    });
    judge.send(()).unwrap();
    let mut lines = Vec::new();
    let heard = async {
        while lines.is_empty() {
            actix_rt::task::yield_now().await;
            lines = guest.take();
        }
    };
    timeout(DEADLINE, heard).await.unwrap();
    sending.abort();
    bench.hub.rooms().flush().await;
    lines.extend(guest.take());
    let data = format!(
        r#"{{"user":{{"id":42,"name":"42","email":null,"role":null}},"permissions":[],"socketId":"{}"}}"#,
        guest.handle.session()
    );
    assert_eq!(lines[..2], [format!("authenticated {data} #1"), format!("#1: {data}")]);
    lines.retain(|line| line != "hello 1");
    assert_eq!(lines[2..], [r#"room:join:ack {"success":true,"room":"lobby"}"#]);
    assert_eq!((bench.sessions_of("42"), bench.publish(PublishTarget::Everybody, "news").await), (1, 1));
    // Joining was its first message; to authenticate is none.
    guest.ask("ping", "{}", Some("2")).await;
    guest.ask("ping", "{}", Some("3")).await;
    let lines: [String; 3] = guest.receive().await;
    assert!(lines.contains(&"#2: done".to_owned()), "a community client's second: {lines:?}");
    assert!(lines.contains(&"refused ping: RATE_LIMITED #3".to_owned()), "a community client's third: {lines:?}");
}

#[actix::test]
async fn a_guest_may_try_again_until_its_grace_is_over() {
    let bench = TestHub::start(300);
    let guest = bench.guest().await;
    guest.ask("authenticate", r#"{"token":"bad"}"#, None).await;
    assert_eq!(guest.receive().await, ["refused authenticate: INVALID_TOKEN"]);
    bench.hub.clock().advance(299);
    guest.ask("authenticate", r#"{"token":"expired"}"#, None).await;
    assert_eq!(guest.receive().await, ["refused authenticate: TOKEN_EXPIRED"]);
    bench.hub.clock().advance(1);
    assert_eq!(
        guest.receive().await,
        [r#"authentication_error {"error":"Not authenticated in time","code":"AUTH_FAILED"}"#]
    );
    assert_eq!(guest.closed().await, Close::NotAuthenticated);
}

#[actix::test]
async fn a_token_that_is_being_judged_at_the_end_of_the_grace_is_judged_first() {
    let bench = TestHub::start(50);
    let (guest, late, idle) = (bench.guest().await, bench.guest().await, bench.guest().await);
    let (judge, judge_late) = (bench.delay_token("alice"), bench.delay_token("bad"));
    guest.ask("authenticate", r#"{"token":"alice"}"#, None).await;
    late.ask("authenticate", r#"{"token":"bad"}"#, None).await;
    bench.hub.clock().advance(50);
    assert_eq!(idle.closed().await, Close::NotAuthenticated);
    assert_eq!((guest.handle.closed(), late.handle.closed()), (None, None));
    judge.send(()).unwrap();
    judge_late.send(()).unwrap();
    assert!(guest.receive::<1>().await[0].starts_with("authenticated "));
    let [refused, told] = late.receive().await;
    assert_eq!(refused, "refused authenticate: INVALID_TOKEN");
    assert!(told.starts_with("authentication_error "));
    assert_eq!((late.closed().await, guest.handle.closed()), (Close::NotAuthenticated, None));
}

#[actix::test]
async fn a_token_that_is_revoked_while_it_is_judged_makes_nobody_of_a_guest() {
    let bench = TestHub::start(LONG);
    let guest = bench.guest().await;
    let judge = bench.delay_token("alice");
    guest.ask("authenticate", r#"{"token":"alice"}"#, None).await;
    let alice = UserId::parse("alice", "user").unwrap();
    bench.hub.revoke(&Revocation::of_user(&alice, 2_000, 2_000)).await;
    judge.send(()).unwrap();
    let [refused] = guest.receive().await;
    assert_eq!(refused, "refused authenticate: INVALID_TOKEN");
    assert_eq!((bench.sessions_of("alice"), bench.hub.stats().users.get()), (0, 0));
    assert_eq!(bench.publish(PublishTarget::User(alice), "hello").await, 0);
    guest.ask("authenticate", r#"{"token":"bob"}"#, None).await;
    assert!(guest.receive::<1>().await[0].starts_with("authenticated "));
}

#[actix::test]
async fn a_token_that_is_revoked_later_ends_a_session_that_came_as_a_guest() {
    let bench = TestHub::start(LONG);
    let guest = bench.guest().await;
    guest.ask("authenticate", r#"{"token":"alice"}"#, None).await;
    let [_] = guest.receive().await;
    let alice = UserId::parse("alice", "user").unwrap();
    assert_eq!(bench.hub.revoke(&Revocation::of_user(&alice, 2_000, 2_000)).await, 1);
    assert_eq!(guest.closed().await, Close::TokenRevoked);
}

#[actix::test]
async fn a_user_may_come_as_a_guest_so_often_at_once_where_guests_are_counted() {
    let bench = TestHub::start(LONG);
    let address = || crate::limits::concurrency::ConcurrencyKey::Address(std::net::IpAddr::from([10, 0, 0, 1]));
    let counted = async || {
        let held = bench.hub.take_slot(address(), 4).unwrap();
        let guest = bench.open_held(Surface::Root, AuthState::Guest, Some(held)).await.unwrap();
        guest.greeted(Surface::Root).await;
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
    assert_eq!(bench.sessions_of("alice"), 2);
    let exempt = bench.guest().await;
    assert!(authenticated(&exempt).await.starts_with("authenticated "), "its address is not counted");
    let _known = bench.client(Surface::Root, "alice").await;
    let _four = bench.hub.take_slot(address(), 4).unwrap();
    assert!(bench.hub.take_slot(address(), 4).is_err());
    drop(one);
    let gone = async {
        while bench.hub.take_slot(address(), 4).is_err() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, gone).await.unwrap();
    assert!(authenticated(&three).await.starts_with("authenticated "));
}

#[actix::test]
async fn a_drain_finds_guests_too() {
    let bench = TestHub::start(LONG);
    let guest = bench.guest().await;
    bench.hub.drain(AT_ONCE).await;
    assert_eq!(guest.closed().await, Close::GoingAway);
    assert_eq!(bench.open(Surface::Root, AuthState::Guest).await.err().map(|it| it.code), Some(Code::ShuttingDown));
}

#[actix::test]
async fn a_client_that_came_without_a_token_is_told_the_community_documents_codes() {
    let bench = TestHub::start(LONG);
    for (auth_state, told) in [
        (AuthState::Guest, "refused for Community"),
        (AuthState::Known(Arc::new(identity("alice"))), "refused for Push"),
    ] {
        let opening = SessionStart { encoder: &AUDIENCES, ..opening(Surface::Root, auth_state, None) };
        let session = Session::open(&bench.worker, opening).await.unwrap();
        let (requests, inbound) = mpsc::channel(64);
        let client = TestClient { requests, handle: session.handle().clone(), read: RefCell::default() };
        client.greeted(Surface::Root).await;
        session.run(InboundStream(inbound));
        client.ask("nonsense", "{}", None).await;
        assert_eq!(client.receive().await, [told]);
    }
}
