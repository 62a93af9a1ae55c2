//! The table of cases. Bob sends to a chat; alice is in it with a recovery token, loses her connection, and returns. Each row
//! is a test of its name: a configuration, the transports, and the steps.

use super::*;
use ChatStep::*;

/// The transport of the first connection, and of the first return. Further returns alternate between the two.
type ChatTransports = (ChatTransport, ChatTransport);

const BY_WEBSOCKET: [ChatTransports; 1] = [(ChatTransport::WebSocket, ChatTransport::WebSocket)];
const SAME: [ChatTransports; 2] = [BY_WEBSOCKET[0], (ChatTransport::Raw, ChatTransport::Raw)];
const TO_WEBSOCKET: [ChatTransports; 2] = [BY_WEBSOCKET[0], (ChatTransport::Raw, ChatTransport::WebSocket)];
const WEBSOCKET_AND_RAW: [ChatTransports; 1] = [(ChatTransport::WebSocket, ChatTransport::Raw)];
const BY_POLLING: [ChatTransports; 1] = [(ChatTransport::Polling, ChatTransport::Polling)];
const POLLING_TO_WEBSOCKET: [ChatTransports; 1] = [(ChatTransport::Polling, ChatTransport::WebSocket)];

macro_rules! cases {
    ($($name:ident: $config:expr, $transports:ident, $steps:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                run($config, &$transports, &$steps).await;
            }
        )*
    };
}

cases! {
    the_newest_messages_are_recovered_when_more_were_missed_than_the_queue_holds:
        "[recovery]\nqueue = 3\n", WEBSOCKET_AND_RAW, [
        Reset, Send("0"), Send("1"), Send("2"), Send("3"), Send("4"), Queued(3), RecoverNewest(3), Queued(0),
    ];
    all_messages_are_recovered_when_as_many_were_missed_as_the_queue_holds:
        "[recovery]\nqueue = 3\n", WEBSOCKET_AND_RAW, [
        Reset, Send("0"), Send("1"), Send("2"), Recover, Queued(0), Reset, Send("3"), Send("4"), Send("5"), Recover,
    ];
    messages_that_no_poll_fetched_are_recovered_at_an_early_return: TWO_WORKERS, BY_POLLING, [
        StopPolling, Send("1"), Send("2"), Send("3"), Recover, Queued(0),
    ];
    unfetched_messages_count_as_queued_ones: "[recovery]\nqueue = 3\n", POLLING_TO_WEBSOCKET, [
        StopPolling, Send("0"), Send("1"), Send("2"), Send("3"), Send("4"), RecoverNewest(3),
    ];
    a_connection_that_looks_alive_ends_when_its_session_resumes_elsewhere: TWO_WORKERS, TO_WEBSOCKET, [
        Send("live"), LeaveOpen, Recover, OldConnectionEnds, Send("after"), Receive, Members, Suspended(0),
    ];
    a_connected_session_ends_when_the_application_disconnects_its_user: "", SAME, [Kick, NotFound];
    a_suspended_session_ends_when_the_application_disconnects_its_user: "", SAME, [Reset, Kick, Suspended(0), NotFound];
    a_chat_that_was_left_before_the_cut_is_not_recovered: TWO_WORKERS, TO_WEBSOCKET, [
        Leave, Reset, Send("not for alice"), Queued(0), Recover, CannotType,
    ];
}

#[derive(Debug, Clone, Copy)]
enum ChatStep {
    /// Bob sends this to the chat.
    Send(&'static str),
    /// Alice receives the messages that were sent since she is connected, and nothing else.
    Receive,
    /// Alice leaves the chat.
    Leave,

    /// The connection is reset, and the hub suspends the session.
    Reset,
    /// The client stops polling.
    StopPolling,
    /// The client is away, and its connection stays open.
    LeaveOpen,
    /// The application disconnects alice.
    Kick,

    /// Alice returns, and the recovery replays all messages that were sent since the cut.
    Recover,
    /// As `Recover`, and only this many messages are replayed: the newest ones.
    RecoverNewest(usize),
    /// Alice returns, and her token is invalid.
    NotFound,
    /// The connection that was left open ends after the messages that were sent before the cut.
    OldConnectionEnds,

    /// Alice and bob are the members of the chat.
    Members,
    /// Alice may not type in the chat, because she is not in it.
    CannotType,
    /// This many messages are queued for suspended sessions.
    Queued(u32),
    /// This many sessions are suspended.
    Suspended(u32),
}

/// Runs a case once for each pair of transports. Prints each step, so that a failure shows where it happened.
async fn run(config: &str, transports: &[ChatTransports], steps: &[ChatStep]) {
    for &transports in transports {
        println!("{transports:?}");
        let mut script = ChatScript::start(config, transports).await;
        for step in steps {
            println!("  {step:?}");
            script.run(*step).await;
        }
        assert!(script.sent.is_empty(), "no step receives {:?}", script.sent);
        end_all(&script.hub, &["alice", "bob"]).await;
    }
}

struct ChatScript {
    hub: Hub,
    /// The transport of alice, and of her next return.
    transports: ChatTransports,
    bob: ChatClient,
    alice: Option<ChatClient>,
    token: String,
    is_in_chat: bool,
    /// What was sent since the last cut or return.
    sent: Vec<&'static str>,
    /// The connection that alice left open, and what was sent to it.
    open: Option<(ChatClient, Vec<&'static str>)>,
}

impl ChatScript {
    async fn start(config: &str, transports: ChatTransports) -> Self {
        let hub = hub(config);
        let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        bob.join(CHAT).await;
        let (alice, token) = in_chat(&hub, transports.0, "alice", CHAT).await;
        Self { hub, transports, bob, alice: Some(alice), token, is_in_chat: true, sent: Vec::new(), open: None }
    }

    async fn run(&mut self, step: ChatStep) {
        match step {
            Send(content) => {
                self.bob.send_message(CHAT, content).await;
                self.sent.extend(self.is_in_chat.then_some(content));
            }
            Receive => {
                let [received] = received_by(&self.hub, CHAT, [self.alice.as_mut().unwrap()]).await;
                assert_eq!(contents(&received), std::mem::take(&mut self.sent));
            }
            Leave => {
                self.alice.as_mut().unwrap().request_ok("leave:chat", json!({ "chatId": CHAT })).await;
                self.is_in_chat = false;
            }
            Reset | StopPolling | LeaveOpen => self.cut(step).await,
            Kick => {
                http(&self.hub, "POST", "/api/disconnect", &json!({"userId": "alice"}));
                if let Some(mut alice) = self.alice.take() {
                    alice.read_to_end().await;
                }
                settled(&self.hub, CHAT, json!({"bob": 1})).await;
            }
            Recover => self.recover(self.sent.len()).await,
            RecoverNewest(count) => self.recover(count).await,
            NotFound => {
                let mut alice = ChatClient::of(&self.hub, self.transports.1, "alice").await;
                let reply = alice.request("connection:recover", json!({"recoveryToken": self.token})).await;
                assert_eq!(
                    (&reply["code"], &reply["message"]),
                    (&json!("NOT_FOUND"), &json!("Invalid recovery token"))
                );
            }
            OldConnectionEnds => {
                let (mut open, sent) = self.open.take().unwrap();
                let (received, is_disconnected) = open.read_to_end().await;
                // The raw protocol has no DISCONNECT packet.
                let has_disconnect = self.transports.1 != ChatTransport::Raw;
                assert_eq!((contents(&received), is_disconnected), (sent, has_disconnect));
            }
            Members => settled(&self.hub, CHAT, json!({"alice": 1, "bob": 1})).await,
            CannotType => {
                let typing = json!({"chatId": CHAT, "isTyping": true});
                let reply = self.alice.as_mut().unwrap().request("message:typing", typing).await;
                assert_eq!(reply["message"], "User not in this room");
            }
            Queued(count) => assert_eq!(queued(&mut self.bob).await, count),
            Suspended(count) => wait_until_suspended(&self.hub, count).await,
        }
    }

    async fn cut(&mut self, step: ChatStep) {
        let alice = self.alice.take().unwrap();
        let sent = std::mem::take(&mut self.sent);
        match step {
            Reset => {
                alice.reset();
                wait_until_suspended(&self.hub, 1).await;
            }
            StopPolling => drop(alice.stop_polling()),
            _ => self.open = Some((alice, sent)),
        }
    }

    /// Returns. The newest `count` messages are replayed.
    async fn recover(&mut self, count: usize) {
        let mut alice = ChatClient::of(&self.hub, self.transports.1, "alice").await;
        let recovered = recover(&mut alice, &self.token).await;
        let sent = std::mem::take(&mut self.sent);
        let dropped = (sent.len() - count) as u64;
        let expected = (sent[sent.len() - count..].to_vec(), (dropped > 0).then_some(dropped));
        assert_eq!((recovered.contents(), recovered.dropped), expected);
        let rooms = if self.is_in_chat { json!([CHAT]) } else { json!([]) };
        assert_eq!(recovered.session["rooms"], rooms);
        self.token = recovered.token();
        self.alice = Some(alice);
        self.transports = (self.transports.1, self.transports.0);
    }
}
