//! The limits that a user's sessions share.

use actix::Addr;
use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::events::table::ClientRow;
use crate::events::{Access, Bucket, ClientEvent, Done, RefusalForm, Writes};
use crate::session::dispatch;

/// An event that draws from its user's messages in chats.
#[derive(Debug, Deserialize, JsonSchema)]
struct Say {
    #[serde(rename = "words")]
    _words: String,
}

impl ClientEvent for Say {
    type Reply = Done;
    const INDEX: usize = usize::MAX;
    const ROW: &'static ClientRow = &ClientRow {
        name: "say",
        reply: None,
        on: &[Surface::Raw, Surface::Chat],
        needs: Access::User,
        costs: Bucket::ChatMessages,
        refused: RefusalForm::Invalid,
        writes: Writes::Nothing,
        schema: || schemars::schema_for!(Say),
        reply_schema: || schemars::schema_for!(Done),
    };

    fn written_room(&self) -> Result<Option<RoomName>, Fault> {
        Ok(None)
    }
}

impl Handle<Say> for Session {
    fn handle(&mut self, _: Say) -> Result<Outcome<Done>, Fault> {
        Ok(Outcome::Reply(Done {}))
    }
}

/// A request: [`PostMessage`], or one of the table.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Ask(Request);

impl Handler<Ask> for Session {
    type Result = ();

    fn handle(&mut self, Ask(request): Ask, ctx: &mut Self::Context) {
        match &*request.event {
            Say::NAME => dispatch::run::<Say>(self, request, ctx),
            _ => dispatch::dispatch(self, request, ctx),
        }
    }
}

/// A session that is asked, and what it says.
struct Asked {
    session: Addr<Session>,
    client: TestClient,
}

const GOOD: &str = r#"{"words":"x"}"#;
const SAID: &str = "#1: done";
const LIMITED: &str = "refused say: RATE_LIMITED #1";

/// An answer without the `success` that `/chat` has besides.
fn done(answer: String) -> String {
    answer.replace(r#"{"success":true}"#, "done")
}

impl Asked {
    async fn of(bench: &TestHub, surface: Surface, user: &str) -> Self {
        let transport = Transport::WebSocket;
        let auth_state = AuthState::Known(Arc::new(identity(user)));
        let opening = SessionStart {
            surface,
            encoder: &LineEncoder,
            auth: auth_state,
            transport,
            peer: Peer::default(),
            slot: None,
            heartbeat: None,
            rate_usage: RateUsage::default(),
            recovery: None,
        };
        let session = Session::open(&bench.worker, opening).await.unwrap();
        let (requests, inbound) = mpsc::channel(1);
        let client = TestClient { requests, handle: session.handle().clone(), read: RefCell::default() };
        client.greeted(surface).await;
        let session = Session::create(|ctx| {
            ctx.add_stream(InboundStream(inbound));
            session
        });
        Self { session, client }
    }

    /// Asks, and does not wait until that is heard.
    fn ask(&self, event: &str, data: &'static str, id: &'static str) {
        let request = Request { event: event.into(), data: data.into(), correlation: Some(id.into()) };
        self.session.try_send(Ask(request)).unwrap();
    }

    async fn say(&self, data: &'static str) -> String {
        self.ask("say", data, "1");
        let [answer] = self.client.receive().await;
        done(answer)
    }
}

#[actix::test]
async fn a_users_limit_is_one_over_all_sessions_of_all_surfaces_and_no_other_users() {
    let bench = TestHub::start(LONG);
    let (raw, chat) = (Asked::of(&bench, Surface::Raw, "alice").await, Asked::of(&bench, Surface::Chat, "alice").await);
    let other = Asked::of(&bench, Surface::Chat, "bob").await;
    assert_eq!([raw.say(GOOD).await, chat.say(GOOD).await], [SAID; 2]);
    assert_eq!([raw.say(GOOD).await, chat.say(GOOD).await], [LIMITED; 2]);
    assert_eq!(other.say(GOOD).await, SAID);
    drop(chat);
    let again = Asked::of(&bench, Surface::Chat, "alice").await;
    assert_eq!(again.say(GOOD).await, LIMITED, "who comes back has no limit anew");
    bench.hub.clock().advance(60_000);
    assert_eq!([again.say(GOOD).await, raw.say(GOOD).await, again.say(GOOD).await], [SAID, SAID, LIMITED]);
}

#[actix::test]
async fn invalid_requests_count_and_unknown_events_count_elsewhere() {
    let bench = TestHub::start(LONG);
    let root = Asked::of(&bench, Surface::Root, "alice").await;
    let chat = Asked::of(&bench, Surface::Chat, "alice").await;
    // Four messages of the push system.
    for code in ["INVALID_REQUEST", "INVALID_REQUEST", "INVALID_REQUEST", "INVALID_REQUEST", "RATE_LIMITED"] {
        assert_eq!(root.say(GOOD).await, format!("refused say: {code} #1"));
    }
    assert_eq!(chat.say("{}").await, "refused say: INVALID_REQUEST #1");
    assert_eq!([chat.say(GOOD).await, chat.say(GOOD).await], [SAID, LIMITED]);
    // And three other requests on `/chat`, which those are none of.
    for code in ["INVALID_REQUEST", "INVALID_REQUEST", "INVALID_REQUEST", "RATE_LIMITED"] {
        chat.ask("room:join", "{}", "2");
        assert_eq!(chat.client.receive().await, [format!("refused room:join: {code} #2")]);
    }
}

#[actix::test]
async fn requests_keep_their_order_while_some_wait_for_a_shared_limit() {
    let bench = TestHub::start(LONG);
    let raw = Asked::of(&bench, Surface::Raw, "alice").await;
    for (event, data, id) in
        [("say", GOOD, "1"), ("ping", "{}", "2"), ("say", GOOD, "3"), ("say", GOOD, "4"), ("ping", "{}", "5")]
    {
        raw.ask(event, data, id);
    }
    let expected = ["#1: done", "#2: done", "#3: done", "refused say: RATE_LIMITED #4", "#5: done"];
    assert_eq!(raw.client.receive().await, expected);
}

#[actix::test]
async fn ten_times_a_users_limit_ends_the_session_that_goes_over_it_and_the_next_that_does() {
    let bench = TestHub::start(LONG);
    let first = Asked::of(&bench, Surface::Chat, "alice").await;
    for said in 0..20 {
        assert_eq!(first.say(GOOD).await, if said < 2 { SAID } else { LIMITED });
    }
    let next = Asked::of(&bench, Surface::Raw, "alice").await;
    for asked in [&first, &next] {
        asked.ask("say", GOOD, "1");
        assert_eq!(asked.client.closed().await, Close::Limit);
    }
    assert_eq!(first.client.take(), [""; 0], "nothing was done");
}

#[actix::test]
async fn a_request_that_cannot_be_counted_is_refused() {
    const BOUND: usize = 4;
    let bench = TestHub::with(LONG, None, |settings| settings.mailbox = BOUND);
    let mut all = Vec::new();
    for user in ["a", "b", "c", "d", "e"] {
        all.push(Asked::of(&bench, Surface::Chat, user).await);
    }
    // All of them ask before anybody is answered.
    for asked in &all {
        asked.ask("say", GOOD, "1");
    }
    let mut answers = Vec::new();
    for asked in &all {
        answers.extend(asked.client.receive::<1>().await.map(done));
    }
    answers.sort_unstable();
    assert_eq!(answers, [SAID, SAID, SAID, SAID, "refused say: OVERLOADED #1"]);
    assert_eq!(bench.hub.stats().overloads.get(), 1);
}

#[actix::test]
async fn without_a_limit_the_shared_counter_is_not_used() {
    let bench = TestHub::with(LONG, None, |settings| {
        settings.chat_per_minute = ChatPerMinute::default();
    });
    let chat = Asked::of(&bench, Surface::Chat, "alice").await;
    for _ in 0..30 {
        assert_eq!(chat.say(GOOD).await, SAID);
    }
}

#[actix::test]
async fn to_authenticate_is_no_message_on_any_surface_and_has_a_limit_as_large() {
    let bench = TestHub::with(LONG, None, |settings| settings.messages_per_minute.raw = 3);
    let token = r#"{"token":"alice"}"#;
    // A guest has two messages a minute, others on `/` four, and three each on `/ws` and `/chat`.
    let (guest, guests_limit) = (bench.guest().await, 2);
    let known = [
        (bench.client(Surface::Raw, "alice").await, "Authenticate", 3),
        (bench.client(Surface::Raw, "alice").await, "authenticate", 3),
        (bench.client(Surface::Root, "alice").await, "authenticate", 4),
        (bench.client(Surface::Chat, "alice").await, "authenticate", 3),
    ];
    let all = known.into_iter().chain([(guest, "authenticate", guests_limit)]);
    for (client, event, limit) in all {
        // One that every surface knows.
        let message = || client.ask("DirectMessage", r#"{"target_user":"nobody","payload":1}"#, Some("m"));
        for _ in 0..limit {
            client.ask(event, token, None).await;
            message().await;
        }
        client.ask(event, token, Some("a")).await;
        message().await;
        let mut lines = Vec::new();
        let answered = async {
            while !lines.iter().any(|line| line == "refused DirectMessage: RATE_LIMITED #m") {
                lines.extend(client.take());
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(DEADLINE, answered).await.unwrap();
        let count = |words: &str| lines.iter().filter(|line| *line == words).count();
        assert_eq!(count("refused DirectMessage: NOT_FOUND #m"), limit, "{event}: {lines:?}");
        assert_eq!(count("refused DirectMessage: RATE_LIMITED #m"), 1, "{event}: {lines:?}");
        assert_eq!(count(&format!("refused {event}: RATE_LIMITED #a")), 1, "{event}: {lines:?}");
        assert!(!lines.contains(&format!("refused {event}: RATE_LIMITED")), "{event}: {lines:?}");
    }
}
