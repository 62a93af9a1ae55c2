//! The interpreter of a case: one client, alice, connects, loses its connection, and returns. The interpreter computes from
//! the steps which events the client must receive.

use serde_json::{Value, json};

use super::{
    ClientState, RecoveryClient, crash, disconnect_user, hub, many_to_room, restart, to_all, to_room, to_user,
};
use super::{wait_until_empty, wait_until_suspended};
use crate::support::socketio::{ObservedEnd, events};
use crate::support::token::{now, token, token_with};
use crate::support::{Hub, Sio, SioTransport};

/// The transport of the first connection, and of the first return. Further returns alternate between the two.
pub(super) type Transports = (SioTransport, SioTransport);

#[derive(Debug, Clone, Copy)]
pub(super) enum RecoveryStep {
    /// Connects with a token.
    Connect,
    /// Connects without a token.
    ConnectAsGuest,
    /// The guest sends a token of alice.
    Authenticate,
    Join(&'static str),
    /// The client receives all events that it must receive by now, in order, and nothing else.
    Receive,
    /// The hub takes the client for alice.
    IsAlice,

    /// Publishes to a room.
    Room(&'static str, usize),
    /// Publishes to alice.
    User(usize),
    /// Publishes to another user.
    OtherUser(usize),
    /// Publishes to all users.
    All(usize),
    /// Publishes three times to each of: room `one`, alice, room `other`, all users.
    Each(usize),
    /// Publishes this many events to room `one`, with a text of this length.
    Many(usize, usize),

    /// A polling client starts a poll.
    StartPoll,
    /// The hub replies to the poll, and the client does not read the reply.
    LoseReply,
    Cut(CutKind),
    /// The application disconnects alice.
    Kick,
    /// The hub stops in order and starts again.
    Restart,
    /// The hub is killed and starts again.
    Crash,
    /// Waits until nothing is left of the session.
    WaitUntilEmpty,
    /// Asserts the value of a metric.
    Metric(&'static str, f64),

    /// From here on, the client sends a token of alice when it reconnects.
    UseToken,
    /// From here on, the client sends this private id.
    UsePid(&'static str),
    /// From here on, the client sends this offset.
    UseOffset(&'static str),
    /// Asserts the offset that the client will send.
    OffsetIs(&'static str),

    /// The client returns, and the session resumes.
    Resume,
    /// As `Resume`, at this attempt since the cut.
    ResumeAtAttempt(u32),
    /// The client returns, and gets a new session.
    FailToResume,
    /// The id of the new session is another one, because nothing was left of the old session.
    HasNewSid,
    /// Another client names the session, and gets a new one. It receives nothing.
    OtherFails(OtherClient),
    /// The client returns with a wrong token, and its CONNECT is refused with this code.
    Refused(WrongToken, &'static str),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum CutKind {
    /// The connection ends, and the hub suspends the session.
    Suspended,
    /// The connection ends. The next step does not wait for the hub.
    Unobserved,
    /// The TCP connection of a waiting poll ends.
    PollAborted,
    /// The client sends and reads nothing until its heartbeat times out.
    Silent,
    /// The client is away, and its connection stays open.
    StillOpen,
    /// The client leaves the namespace.
    Disconnected,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum OtherClient {
    Bob,
    Guest,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum WrongToken {
    Garbage,
    Expired,
}

/// Runs a case once for each pair of transports, on one hub. Prints each step, so that a failure shows where it happened.
pub(super) async fn run(config: &str, transports: &[Transports], steps: &[RecoveryStep]) {
    let mut hub = hub(config);
    let mut resumed = 0.0;
    for &transports in transports {
        println!("{transports:?}");
        let mut script = RecoveryScript::new(hub, transports, resumed);
        for step in steps {
            println!("  {step:?}");
            script = script.run(*step).await;
        }
        (hub, resumed) = script.end().await;
    }
}

struct RecoveryScript {
    hub: Hub,
    /// The transport of the client, and of its next return.
    transports: Transports,
    client: ScriptClient,
    is_alice: bool,
    rooms: Vec<&'static str>,
    /// The events that the client must receive next.
    due: Vec<Value>,
    /// The id of the last session that did not resume.
    failed_sid: String,
    /// The connection that the client left open.
    open: Option<RecoveryClient>,
    /// How many sessions resumed since the hub started.
    resumed: f64,
}

enum ScriptClient {
    Connected(Box<RecoveryClient>),
    Away(ClientState),
}

impl RecoveryScript {
    fn new(hub: Hub, transports: Transports, resumed: f64) -> Self {
        let client = ScriptClient::Away(ClientState::new("alice", None));
        let (rooms, due, failed_sid) = (Vec::new(), Vec::new(), String::new());
        Self { hub, transports, client, is_alice: false, rooms, due, failed_sid, open: None, resumed }
    }

    async fn run(mut self, step: RecoveryStep) -> Self {
        match step {
            RecoveryStep::Restart => return Self { hub: restart(self.hub).await, resumed: 0.0, ..self },
            RecoveryStep::Crash => return Self { hub: crash(self.hub).await, resumed: 0.0, ..self },
            RecoveryStep::Connect
            | RecoveryStep::ConnectAsGuest
            | RecoveryStep::Authenticate
            | RecoveryStep::Join(_) => self.act(step).await,
            RecoveryStep::Receive => {
                let due = std::mem::take(&mut self.due);
                self.client().expect_exactly(&due).await;
            }
            RecoveryStep::IsAlice => {
                let action = json!({"action": "whoami"});
                let reply = self.client().sio.emit_and_expect("action:result", "client:action", action).await;
                assert_eq!(reply["result"]["userId"], "alice", "{reply}");
            }
            RecoveryStep::Room(..)
            | RecoveryStep::User(_)
            | RecoveryStep::OtherUser(_)
            | RecoveryStep::All(_)
            | RecoveryStep::Each(_)
            | RecoveryStep::Many(..) => {
                self.publish(step);
            }
            RecoveryStep::StartPoll => self.client().sio.start_poll().await,
            RecoveryStep::LoseReply => self.lose_reply().await,
            RecoveryStep::Cut(cut) => self.cut(cut).await,
            RecoveryStep::Kick => {
                disconnect_user(&self.hub, "alice");
                self.client = ScriptClient::Away(self.saved().clone());
                wait_until_empty(&self.hub).await;
            }
            RecoveryStep::WaitUntilEmpty => wait_until_empty(&self.hub).await,
            RecoveryStep::Metric(name, value) => assert_eq!(self.hub.metric(name), value, "{name}"),
            RecoveryStep::UseToken => self.saved().token = Some(token("alice")),
            RecoveryStep::UsePid(pid) => self.saved().pid = pid.to_owned(),
            RecoveryStep::UseOffset(offset) => self.saved().offset = Some(offset.to_owned()),
            RecoveryStep::OffsetIs(offset) => assert_eq!(self.saved().offset.as_deref(), Some(offset)),
            RecoveryStep::Resume => self.resume(1).await,
            RecoveryStep::ResumeAtAttempt(attempt) => self.resume(attempt).await,
            RecoveryStep::FailToResume => self.fail_to_resume().await,
            RecoveryStep::HasNewSid => {
                let sid = self.saved().sid.clone();
                assert_ne!(sid, self.failed_sid);
            }
            RecoveryStep::OtherFails(other) => self.let_other_fail(other).await,
            RecoveryStep::Refused(token, code) => self.be_refused(token, code).await,
        }
        self
    }

    #[track_caller]
    fn client(&mut self) -> &mut RecoveryClient {
        match &mut self.client {
            ScriptClient::Connected(client) => client,
            ScriptClient::Away(_) => panic!("the client is away"),
        }
    }

    fn saved(&mut self) -> &mut ClientState {
        match &mut self.client {
            ScriptClient::Connected(client) => &mut client.saved,
            ScriptClient::Away(saved) => saved,
        }
    }

    /// Takes the connection out of a client that leaves.
    fn take_client(&mut self) -> RecoveryClient {
        let saved = self.saved().clone();
        match std::mem::replace(&mut self.client, ScriptClient::Away(saved)) {
            ScriptClient::Connected(client) => *client,
            ScriptClient::Away(_) => panic!("the client is away"),
        }
    }

    async fn act(&mut self, step: RecoveryStep) {
        let (hub, transport) = (&self.hub, self.transports.0);
        match step {
            RecoveryStep::Connect => {
                let client = RecoveryClient::of(hub, transport, "alice").await;
                self.client = ScriptClient::Connected(Box::new(client));
                self.is_alice = true;
            }
            RecoveryStep::ConnectAsGuest => {
                let client = RecoveryClient::guest(hub, transport, "alice").await;
                self.client = ScriptClient::Connected(Box::new(client));
            }
            RecoveryStep::Authenticate => {
                let data = json!({"token": token("alice")});
                let reply = self.client().sio.emit_and_expect("authenticated", "authenticate", data).await;
                assert_eq!(reply["user"]["id"], "alice", "{reply}");
                self.is_alice = true;
            }
            RecoveryStep::Join(room) => {
                self.client().sio.join(room).await;
                self.rooms.push(room);
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn publish(&mut self, step: RecoveryStep) {
        let (hub, is_alice) = (&self.hub, self.is_alice);
        let is_in = |room: &str| self.rooms.contains(&room);
        let (one, other) = (is_in("one"), is_in("other"));
        let mut add = |is_due: bool, event: Value| self.due.extend(is_due.then_some(event));
        match step {
            RecoveryStep::Room(room, n) => add(is_in(room), to_room(hub, room, n)),
            RecoveryStep::User(n) => add(is_alice, to_user(hub, "alice", n)),
            RecoveryStep::OtherUser(n) => add(false, to_user(hub, "bob", n)),
            RecoveryStep::All(n) => add(is_alice, to_all(hub, n)),
            RecoveryStep::Each(n) => {
                for n in n..n + 3 {
                    add(one, to_room(hub, "one", n));
                    add(is_alice, to_user(hub, "alice", n));
                    add(other, to_room(hub, "other", n));
                    add(is_alice, to_all(hub, n));
                }
            }
            RecoveryStep::Many(count, length) => {
                for event in many_to_room(hub, "one", 0..count, &"x".repeat(length)) {
                    add(one, event);
                }
            }
            other => unreachable!("{other:?}"),
        }
    }

    async fn lose_reply(&mut self) {
        if self.transports.0 == SioTransport::Polling {
            self.client().sio.polling().lose_response().await;
        }
    }

    async fn cut(&mut self, cut: CutKind) {
        let transport = self.transports.0;
        let mut client = self.take_client();
        match cut {
            CutKind::Suspended => drop(client.suspend(&self.hub, transport).await),
            CutKind::Unobserved => drop(client.cut(transport).await),
            CutKind::PollAborted => {
                client.sio.start_poll().await;
                client.sio.polling().abort_poll();
                wait_until_suspended(&self.hub, 1.0).await;
            }
            CutKind::Silent => wait_until_suspended(&self.hub, 1.0).await,
            CutKind::StillOpen => self.open = Some(client),
            CutKind::Disconnected => {
                client.disconnect().await;
                wait_until_empty(&self.hub).await;
            }
        }
    }

    async fn resume(&mut self, attempt: u32) {
        let saved = self.saved().clone();
        let client = saved.resume_at_attempt(&self.hub, self.transports.1, attempt).await;
        self.client = ScriptClient::Connected(Box::new(client));
        self.transports = (self.transports.1, self.transports.0);
        self.resumed += 1.0;
        if let Some(open) = self.open.take() {
            assert_old_connection_ends(open).await;
        }
    }

    async fn fail_to_resume(&mut self) {
        let saved = self.saved().clone();
        let client = saved.fail_to_resume(&self.hub, self.transports.1).await;
        self.client = ScriptClient::Connected(Box::new(client));
        self.transports = (self.transports.1, self.transports.0);
        self.is_alice = saved.token.is_some();
        self.failed_sid = saved.sid;
        self.rooms.clear();
        self.due.clear();
    }

    async fn let_other_fail(&mut self, other: OtherClient) {
        let saved = self.saved().clone();
        let (user, token) = match other {
            OtherClient::Bob => ("bob", Some(token("bob"))),
            OtherClient::Guest => ("alice", None),
        };
        let named = ClientState { user: user.to_owned(), token, ..saved };
        let mut other = named.fail_to_resume(&self.hub, self.transports.1).await;
        assert_ne!(other.saved.sid, self.saved().sid);
        other.sio.expect_silence().await;
        other.disconnect().await;
    }

    async fn be_refused(&mut self, token: WrongToken, code: &str) {
        let token = match token {
            WrongToken::Garbage => "nonsense".to_owned(),
            WrongToken::Expired => token_with(json!({"sub": "alice", "exp": now() - 60})),
        };
        let auth = ClientState { token: Some(token), ..self.saved().clone() }.auth();
        let mut sio = Sio::open(&self.hub, self.transports.1).await;
        let error = sio.connect("/", &auth).await.unwrap_err();
        assert_eq!(error, json!({"message": "Unauthorized", "data": {"code": code}}));
    }

    /// Disconnects the client. Nothing may be left, and exactly the sessions that the case names may have resumed.
    async fn end(self) -> (Hub, f64) {
        assert!(self.due.is_empty(), "the case receives no {:?}", self.due);
        if let ScriptClient::Connected(client) = self.client {
            client.disconnect().await;
        }
        wait_until_empty(&self.hub).await;
        assert_eq!(self.hub.metric("hubbub_sessions_recovered_total"), self.resumed);
        (self.hub, self.resumed)
    }
}

/// Asserts that the hub ends a connection after its session resumed on another one.
async fn assert_old_connection_ends(mut old: RecoveryClient) {
    let (mut received, end) = old.sio.read_to_end().await;
    // Without a DISCONNECT: after one, a client does not reconnect.
    // Events that were sent before the other connection came may be read here, too.
    received.retain(|packet| packet.data[0] != "to-room");
    assert_eq!(events(&received), [json!(["disconnected", {"reason": "session_recovered"}])]);
    assert_ne!(end, ObservedEnd::UnknownSession);
}
