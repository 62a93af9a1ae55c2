//! The limits that a user's sessions share.

use actix::Addr;
use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::events::table::ClientRow;
use crate::events::{Access, Bucket, ClientEvent, Done, RefusalForm, Writes};
use crate::session::dispatch;

/// An event that counts as a chat message of its user.
#[derive(Debug, Deserialize, JsonSchema)]
struct Post {
    #[serde(rename = "words")]
    _words: String,
}

impl ClientEvent for Post {
    type Reply = Done;
    const INDEX: usize = usize::MAX;
    const ROW: &'static ClientRow = &ClientRow {
        name: "post",
        reply: None,
        on: &[Surface::Raw, Surface::Chat],
        needs: Access::User,
        costs: Bucket::ChatMessages,
        refused: RefusalForm::Invalid,
        writes: Writes::Nothing,
        schema: || schemars::schema_for!(Post),
        reply_schema: || schemars::schema_for!(Done),
    };

    fn written_room(&self) -> Result<Option<RoomName>, Fault> {
        Ok(None)
    }
}

impl Handle<Post> for Session {
    fn handle(&mut self, _: Post) -> Result<Outcome<Done>, Fault> {
        Ok(Outcome::Reply(Done {}))
    }
}

/// A request: [`Post`], or an event of the table.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Ask(Request);

impl Handler<Ask> for Session {
    type Result = ();

    fn handle(&mut self, Ask(request): Ask, ctx: &mut Self::Context) {
        match &*request.event {
            Post::NAME => dispatch::run::<Post>(self, request, self.now(), ctx),
            _ => dispatch::dispatch(self, request, self.now(), ctx),
        }
    }
}

/// A running session that takes requests as messages, and its client.
struct Caller {
    session: Addr<Session>,
    client: TestClient,
}

const GOOD: &str = r#"{"words":"x"}"#;
const DONE: &str = "#1: done";
const LIMITED: &str = "refused post: RATE_LIMITED #1";

/// A reply without the member `success` of `/chat`.
fn done(answer: String) -> String {
    answer.replace(r#"{"success":true}"#, "done")
}

impl Caller {
    async fn of(hub: &TestHub, surface: Surface, user: &str) -> Self {
        let start = session_start(&hub.worker, surface, AuthState::Known(Arc::new(identity(user))));
        let session = Session::open(&hub.worker, start).await.unwrap();
        let (client, inbound) = TestClient::of(&session);
        client.receive_greeting(surface).await;
        let session = Session::create(|ctx| {
            ctx.add_stream(inbound);
            session
        });
        Self { session, client }
    }

    /// Sends a request without waiting for its reply.
    fn ask(&self, event: &str, data: &'static str, id: &'static str) {
        let request = Request { event: event.into(), data: data.into(), correlation: Some(id.into()) };
        self.session.try_send(Ask(request)).unwrap();
    }

    async fn post(&self, data: &'static str) -> String {
        self.ask("post", data, "1");
        let [answer] = self.client.receive().await;
        done(answer)
    }
}

#[actix::test]
async fn all_sessions_of_a_user_share_a_limit_over_all_surfaces() {
    let hub = TestHub::start(GRACE_MS);
    let (raw, chat) = (Caller::of(&hub, Surface::Raw, "alice").await, Caller::of(&hub, Surface::Chat, "alice").await);
    let other = Caller::of(&hub, Surface::Chat, "bob").await;
    assert_eq!([raw.post(GOOD).await, chat.post(GOOD).await], [DONE; 2]);
    assert_eq!([raw.post(GOOD).await, chat.post(GOOD).await], [LIMITED; 2]);
    assert_eq!(other.post(GOOD).await, DONE);
    drop(chat);
    let again = Caller::of(&hub, Surface::Chat, "alice").await;
    assert_eq!(again.post(GOOD).await, LIMITED, "a new session has no new limit");
    hub.clock().advance(60_000);
    assert_eq!([again.post(GOOD).await, raw.post(GOOD).await, again.post(GOOD).await], [DONE, DONE, LIMITED]);
}

#[actix::test]
async fn invalid_requests_count_and_unknown_events_count_as_other_requests() {
    let hub = TestHub::start(GRACE_MS);
    let root = Caller::of(&hub, Surface::Root, "alice").await;
    let chat = Caller::of(&hub, Surface::Chat, "alice").await;
    // Four messages of the push system.
    for code in ["INVALID_REQUEST", "INVALID_REQUEST", "INVALID_REQUEST", "INVALID_REQUEST", "RATE_LIMITED"] {
        assert_eq!(root.post(GOOD).await, format!("refused post: {code} #1"));
    }
    assert_eq!(chat.post("{}").await, "refused post: INVALID_REQUEST #1");
    assert_eq!([chat.post(GOOD).await, chat.post(GOOD).await], [DONE, LIMITED]);
    // Three other requests on `/chat`. The messages above do not count as such.
    for code in ["INVALID_REQUEST", "INVALID_REQUEST", "INVALID_REQUEST", "RATE_LIMITED"] {
        chat.ask("room:join", "{}", "2");
        assert_eq!(chat.client.receive().await, [format!("refused room:join: {code} #2")]);
    }
}

#[actix::test]
async fn requests_keep_their_order_while_some_wait_for_a_shared_limit() {
    let hub = TestHub::start(GRACE_MS);
    let raw = Caller::of(&hub, Surface::Raw, "alice").await;
    for (event, data, id) in
        [("post", GOOD, "1"), ("ping", "{}", "2"), ("post", GOOD, "3"), ("post", GOOD, "4"), ("ping", "{}", "5")]
    {
        raw.ask(event, data, id);
    }
    let expected = ["#1: done", "#2: done", "#3: done", "refused post: RATE_LIMITED #4", "#5: done"];
    assert_eq!(raw.client.receive().await, expected);
}

#[actix::test]
async fn ten_times_the_limit_of_a_user_closes_each_session_that_exceeds_it() {
    let hub = TestHub::start(GRACE_MS);
    let first = Caller::of(&hub, Surface::Chat, "alice").await;
    for count in 0..20 {
        assert_eq!(first.post(GOOD).await, if count < 2 { DONE } else { LIMITED });
    }
    let next = Caller::of(&hub, Surface::Raw, "alice").await;
    for caller in [&first, &next] {
        caller.ask("post", GOOD, "1");
        assert_eq!(caller.client.closed().await, Close::Limit);
    }
    assert_eq!(first.client.take(), [""; 0], "nothing was done");
}

#[actix::test]
async fn a_request_that_cannot_be_counted_is_refused() {
    const BOUND: usize = 4;
    let hub = TestHub::with(GRACE_MS, None, |settings| settings.mailbox = BOUND);
    let mut all = Vec::new();
    for user in ["a", "b", "c", "d", "e"] {
        all.push(Caller::of(&hub, Surface::Chat, user).await);
    }
    // All requests are sent before the first reply.
    for caller in &all {
        caller.ask("post", GOOD, "1");
    }
    let mut answers = Vec::new();
    for caller in &all {
        answers.extend(caller.client.receive::<1>().await.map(done));
    }
    answers.sort_unstable();
    assert_eq!(answers, [DONE, DONE, DONE, DONE, "refused post: OVERLOADED #1"]);
    assert_eq!(hub.stats().overloads.get(), 1);
}

#[actix::test]
async fn without_a_limit_the_shared_counter_is_not_used() {
    let hub = TestHub::with(GRACE_MS, None, |settings| {
        settings.chat_per_minute = ChatPerMinute::default();
    });
    let chat = Caller::of(&hub, Surface::Chat, "alice").await;
    for _ in 0..30 {
        assert_eq!(chat.post(GOOD).await, DONE);
    }
}

#[actix::test]
async fn authenticate_counts_as_no_message_and_has_an_equal_limit_of_its_own() {
    let hub = TestHub::with(GRACE_MS, None, |settings| settings.messages_per_minute.raw = 3);
    let token = r#"{"token":"alice"}"#;
    // A guest has two messages a minute, others on `/` four, and three each on `/ws` and `/chat`.
    let (guest, guests_limit) = (hub.guest().await, 2);
    let known = [
        (hub.client(Surface::Raw, "alice").await, "Authenticate", 3),
        (hub.client(Surface::Raw, "alice").await, "authenticate", 3),
        (hub.client(Surface::Root, "alice").await, "authenticate", 4),
        (hub.client(Surface::Chat, "alice").await, "authenticate", 3),
    ];
    let all = known.into_iter().chain([(guest, "authenticate", guests_limit)]);
    for (client, event, limit) in all {
        // An event that every surface has.
        let message = || client.ask("DirectMessage", r#"{"target_user":"nobody","payload":1}"#, Some("m"));
        for _ in 0..limit {
            client.ask(event, token, None).await;
            message().await;
        }
        client.ask(event, token, Some("a")).await;
        message().await;
        let lines = client.receive_until(|line| line == "refused DirectMessage: RATE_LIMITED #m").await;
        let count = |expected: &str| lines.iter().filter(|line| *line == expected).count();
        assert_eq!(count("refused DirectMessage: NOT_FOUND #m"), limit, "{event}: {lines:?}");
        assert_eq!(count("refused DirectMessage: RATE_LIMITED #m"), 1, "{event}: {lines:?}");
        assert_eq!(count(&format!("refused {event}: RATE_LIMITED #a")), 1, "{event}: {lines:?}");
        assert!(!lines.contains(&format!("refused {event}: RATE_LIMITED")), "{event}: {lines:?}");
    }
}
