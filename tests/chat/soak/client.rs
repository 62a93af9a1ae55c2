//! One client of the soak: acts at random, and records its requests and everything that it receives.

mod disconnects;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout_at};

use super::records::{ClientRecord, MembershipRecord, SentMessage, SentReceipt};
use super::{CHATS, END};
use crate::support::chat_client::{ChatClient, ChatPacket, ChatTransport};
use crate::support::rng::Rng;
use crate::support::{DEADLINE, Hub};

/// Chats that a client is a member of at once.
const CHATS_MAX: usize = 3;

/// A client.
pub(super) struct SoakClient {
    hub: Arc<Hub>,
    number: usize,
    transport: ChatTransport,
    rng: Rng,
    /// `None` only between two connections.
    member: Option<ChatClient>,
    token: String,
    /// Its chats.
    memberships: BTreeMap<usize, MembershipRecord>,
    /// The chats in which it typed on this connection.
    typed: BTreeSet<usize>,
    pub(super) record: ClientRecord,
}

/// The id of a chat.
pub(super) fn chat_id(chat: usize) -> String {
    format!("chat-{chat}")
}

fn chat_of(id: &Value) -> usize {
    id.as_str().and_then(|id| id.strip_prefix("chat-")).and_then(|number| number.parse().ok()).unwrap()
}

impl SoakClient {
    /// Connects.
    pub(super) async fn start(hub: Arc<Hub>, number: usize, user: String, transport: ChatTransport, rng: Rng) -> Self {
        let record = ClientRecord { user, ..ClientRecord::default() };
        let (memberships, typed, token) = (BTreeMap::new(), BTreeSet::new(), String::new());
        let mut client = Self { hub, number, transport, rng, member: None, token, memberships, typed, record };
        client.connect().await;
        client.renew_token().await;
        client
    }

    async fn connect(&mut self) {
        let member = ChatClient::of(&self.hub, self.transport, &self.record.user).await;
        self.member = Some(member);
        self.typed.clear();
        self.count("connections");
    }

    fn member(&mut self) -> &mut ChatClient {
        self.member.as_mut().unwrap()
    }

    fn count(&mut self, name: &'static str) {
        self.record.counts.add(name, 1);
    }

    fn fault(&mut self, fault: String) {
        self.record.faults.push(fault);
    }

    /// Acts at random until `end`.
    pub(super) async fn act_until(mut self, end: Instant) -> Self {
        while self.memberships.is_empty() {
            self.join().await;
        }
        while Instant::now() < end {
            let pause = self.rng.duration(200, 2_000);
            self.listen(pause).await;
            self.act().await;
        }
        self.stop_typing().await;
        self
    }

    async fn act(&mut self) {
        match self.rng.below(100) {
            0..=39 => self.send().await,
            40..=49 => self.type_in_a_chat().await,
            50..=69 => self.confirm().await,
            70..=74 => self.join().await,
            75..=78 => self.leave().await,
            79..=80 => self.check_members().await,
            81..=82 => self.read_back().await,
            83 => self.renew_token().await,
            84..=98 => self.disconnect_and_recover().await,
            _ => self.stay_away().await,
        }
    }

    /// Waits, and records what arrives meanwhile. A polling client sends a request instead: an abandoned poll would lose
    /// its events.
    async fn listen(&mut self, time: Duration) {
        if self.transport == ChatTransport::Polling {
            sleep(time).await;
            self.ask("connection:session-info", json!({})).await;
            return;
        }
        let until = tokio::time::Instant::now() + time;
        while let Ok(received) = timeout_at(until, self.member().receive()).await {
            match received {
                Some(ChatPacket::Event(event)) => self.record_event(&event),
                other => panic!("{} was disconnected by the hub, or answered twice: {other:?}", self.record.user),
            }
        }
    }

    /// Sends a request, and records what arrives until the answer.
    async fn ask(&mut self, event: &str, data: Value) -> Value {
        let answer = self.member().request(event, data).await;
        for event in self.member().take_events() {
            self.record_event(&event);
        }
        answer
    }

    async fn ask_well(&mut self, event: &str, data: Value) -> Value {
        let answer = self.ask(event, data).await;
        if answer["success"] != true {
            self.fault(format!("{event} was refused: {answer}"));
        }
        answer
    }

    fn record_event(&mut self, event: &Value) {
        let (name, data) = (event[0].as_str().unwrap(), &event[1]);
        match name {
            "message:new" => {
                let id = data["id"].as_str().unwrap().to_owned();
                match self.memberships.get_mut(&chat_of(&data["chatId"])) {
                    Some(membership) => membership.receive(id),
                    None => self.fault(format!("{id} arrived from a chat of which it is not a member")),
                }
            }
            "user:typing" => self.count("typing events received"),
            "message:delivered" | "message:read" => self.count("receipts received"),
            "user:joined" | "user:left" | "room:online-update" => {
                if !self.memberships.contains_key(&chat_of(&data["chatId"]))
                    && data["userId"] != self.record.user.as_str()
                {
                    self.fault(format!("{event} arrived from a chat of which it is not a member"));
                }
                self.count("member events received");
            }
            _ => self.count("other events received"),
        }
    }

    fn random_chat(&mut self) -> Option<usize> {
        let chats: Vec<_> = self.memberships.keys().copied().collect();
        self.rng.pick(&chats)
    }

    async fn renew_token(&mut self) {
        let answer = self.ask_well("connection:create-session", json!({})).await;
        self.token = answer["recoveryToken"].as_str().unwrap().to_owned();
    }

    async fn join(&mut self) {
        let chat = self.rng.below(CHATS);
        if self.memberships.contains_key(&chat) || self.memberships.len() >= CHATS_MAX {
            return;
        }
        let member = self.member();
        let answer = member.request("join:chat", json!({"chatId": chat_id(chat)})).await;
        if answer["success"] != true {
            return self.fault(format!("join:chat was refused: {answer}"));
        }
        // Events before the answer belong to other chats: a message of this chat is a fault.
        for event in self.member().take_events() {
            self.record_event(&event);
        }
        self.memberships.insert(chat, MembershipRecord::new(chat, Instant::now()));
        self.count("joins");
        let page = self.ask_well("message:history", json!({"chatId": chat_id(chat), "limit": 1})).await;
        let anchor = page["messages"][0]["id"].as_str().map(str::to_owned);
        self.memberships.get_mut(&chat).unwrap().anchor = anchor;
    }

    async fn leave(&mut self) {
        let Some(chat) = self.random_chat() else { return };
        let left_at = Instant::now();
        self.ask_well("leave:chat", json!({"chatId": chat_id(chat)})).await;
        // From here on, no event of the chat may arrive.
        if let Some(mut membership) = self.memberships.remove(&chat) {
            membership.left_at = Some(left_at);
            self.record.memberships.push(membership);
        }
        self.typed.remove(&chat);
        self.count("leaves");
    }

    /// Its next message.
    fn next_message(&mut self, chat: usize) -> SentMessage {
        let content = format!("{}-{}", self.number, self.record.sent.len());
        SentMessage { chat, content, at: Instant::now(), answered: None }
    }

    async fn send(&mut self) {
        let Some(chat) = self.random_chat() else { return };
        let mut sent = self.next_message(chat);
        let answer = self.ask_well("message:send", json!({"chatId": chat_id(chat), "content": sent.content})).await;
        sent.answered = answer["sentMessage"]["id"].as_str().map(|id| (id.to_owned(), Instant::now()));
        self.record.sent.push(sent);
    }

    async fn type_in_a_chat(&mut self) {
        let Some(chat) = self.random_chat() else { return };
        let typing = self.rng.below(3) > 0;
        self.ask_well("message:typing", json!({"chatId": chat_id(chat), "isTyping": typing})).await;
        self.typed.insert(chat);
        self.count("typing events");
    }

    /// A message that it received in one of its chats.
    fn some_message(&mut self) -> Option<(usize, String)> {
        let chat = self.random_chat()?;
        let membership = &self.memberships[&chat];
        let received: Vec<_> =
            membership.stretches.iter().flat_map(|stretch| &stretch.ids).rev().take(20).cloned().collect();
        Some((chat, self.rng.pick(&received)?))
    }

    async fn confirm(&mut self) {
        let Some((chat, message)) = self.some_message() else { return };
        let read = self.rng.below(2) == 0;
        let event = if read { "message:read" } else { "message:delivered" };
        self.ask_well(event, json!({"chatId": chat_id(chat), "messageId": message})).await;
        self.record.receipts.push(SentReceipt { message, read, answered: true });
    }

    /// Asks for the members of a chat, which must include itself.
    async fn check_members(&mut self) {
        let Some(chat) = self.random_chat() else { return };
        let id = json!({"chatId": chat_id(chat)});
        let info = self.ask_well("room:info", id.clone()).await;
        let online = self.ask_well("room:online", id.clone()).await;
        self.ask_well("message:typing-users", id).await;
        let users: Vec<_> =
            online["onlineUsers"].as_array().unwrap().iter().map(|user| user["userId"].clone()).collect();
        let distinct: BTreeSet<_> = users.iter().filter_map(Value::as_str).collect();
        let is_listed = distinct.contains(self.record.user.as_str()) && distinct.len() == users.len();
        if !is_listed || info["roomInfo"]["participantCount"] == 0 {
            self.fault(format!("is a member of {}, but the answers are {info} and {online}", chat_id(chat)));
        }
        self.count("member checks");
    }

    /// Reads a few pages of history.
    async fn read_back(&mut self) {
        let Some((chat, message)) = self.some_message() else { return };
        let mut before = Some(message);
        for _ in 0..3 {
            let Some(id) = before.take() else { break };
            let request = json!({"chatId": chat_id(chat), "before": id, "limit": 7});
            let page = self.ask_well("message:history", request).await;
            before = page["messages"][0]["id"].as_str().map(str::to_owned);
            self.count("pages of history");
        }
    }

    /// Reads the history of a chat back to the message `known`.
    async fn catch_up(&mut self, chat: usize, known: Option<String>) {
        let mut before = Value::Null;
        loop {
            let request = json!({"chatId": chat_id(chat), "before": before, "limit": 20});
            let page = self.ask_well("message:history", request).await;
            self.count("pages of history");
            let Some(messages) = page["messages"].as_array() else { return };
            let ids: Vec<_> = messages.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect();
            let Some(membership) = self.memberships.get_mut(&chat) else { return };
            membership.read.extend(ids.iter().cloned());
            let is_known = known.as_ref().is_some_and(|known| ids.contains(known));
            if is_known || page["hasMore"] != true {
                return;
            }
            before = json!(ids[0]);
        }
    }

    /// Stops typing on this connection. Typing on earlier connections ended with them.
    async fn stop_typing(&mut self) {
        for chat in std::mem::take(&mut self.typed) {
            self.ask_well("message:typing", json!({"chatId": chat_id(chat), "isTyping": false})).await;
        }
    }

    /// The chats of which it is a member.
    pub(super) fn chats(&self) -> impl Iterator<Item = usize> {
        self.memberships.keys().copied()
    }

    /// Receives until the last message of each of its chats.
    pub(super) async fn receive_until(mut self, last: Arc<Vec<String>>) -> Self {
        let started = Instant::now();
        while !self.memberships.iter().all(|(chat, membership)| membership.last() == last.get(*chat)) {
            self.listen(Duration::from_millis(50)).await;
            if started.elapsed() > DEADLINE * 2 {
                self.fault(format!("did not receive {END:?} in every chat"));
                break;
            }
        }
        self.record.memberships.extend(std::mem::take(&mut self.memberships).into_values());
        self
    }

    /// Ends the connection in a random way, and returns its record.
    pub(super) async fn finish(mut self) -> ClientRecord {
        let member = self.member.take().unwrap();
        match self.rng.below(3) {
            0 if self.transport != ChatTransport::Polling => member.reset(),
            1 if self.transport != ChatTransport::Polling => drop(member.half_close().await),
            _ => member.disconnect().await,
        }
        self.record
    }
}
