//! One client of the soak: acts by chance, and writes down what it does and hears.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout_at};

use super::ledger::{Confirmed, Gap, How, Record, Sent, Stay};
use super::{CHATS, END, WINDOW};
use crate::support::chat_client::{ChatClient, ChatPacket, ChatTransport};
use crate::support::rng::Rng;
use crate::support::{DEADLINE, Hub};

/// Chats that one client is in at once.
const CHATS_MAX: usize = 3;

/// Whoever comes back within this is not too late, however slow the machine.
const IN_TIME: Duration = WINDOW.saturating_sub(Duration::from_secs(2));

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Reset,
    DriedUp,
    /// The client says that it goes.
    Polite,
    /// It polls no more.
    FellSilent,
    /// It goes on elsewhere while the old connection is there.
    Overtaken,
}

/// The client.
pub(super) struct Chatter {
    hub: Arc<Hub>,
    number: usize,
    way: ChatTransport,
    rng: Rng,
    /// Always there but between two connections.
    member: Option<ChatClient>,
    token: String,
    /// The chats it is in.
    here: BTreeMap<usize, Stay>,
    /// Those that it typed in on this connection.
    typed: BTreeSet<usize>,
    pub(super) record: Record,
}

/// The name of a chat.
pub(super) fn chat_id(chat: usize) -> String {
    format!("chat-{chat}")
}

fn chat_of(id: &Value) -> usize {
    id.as_str().and_then(|id| id.strip_prefix("chat-")).and_then(|number| number.parse().ok()).unwrap()
}

impl Chatter {
    /// Connects.
    pub(super) async fn enter(hub: Arc<Hub>, number: usize, user: String, way: ChatTransport, rng: Rng) -> Self {
        let record = Record { user, ..Record::default() };
        let (here, typed, token) = (BTreeMap::new(), BTreeSet::new(), String::new());
        let mut chatter = Self { hub, number, way, rng, member: None, token, here, typed, record };
        chatter.connect().await;
        chatter.renew_token().await;
        chatter
    }

    async fn connect(&mut self) {
        let member = ChatClient::of(&self.hub, self.way, &self.record.user).await;
        self.member = Some(member);
        self.typed.clear();
        self.count("connections");
    }

    fn member(&mut self) -> &mut ChatClient {
        self.member.as_mut().unwrap()
    }

    fn count(&mut self, what: &'static str) {
        self.record.counts.add(what, 1);
    }

    fn fault(&mut self, fault: String) {
        self.record.faults.push(fault);
    }

    /// Acts until then.
    pub(super) async fn act_until(mut self, end: Instant) -> Self {
        while self.here.is_empty() {
            self.join().await;
        }
        while Instant::now() < end {
            let pause = self.rng.duration(200, 2_000);
            self.listen(pause).await;
            self.act().await;
        }
        self.rest().await;
        self
    }

    async fn act(&mut self) {
        match self.rng.below(100) {
            0..=39 => self.say().await,
            40..=49 => self.type_somewhere().await,
            50..=69 => self.confirm().await,
            70..=74 => self.join().await,
            75..=78 => self.leave().await,
            79..=80 => self.look().await,
            81..=82 => self.read_back().await,
            83 => self.renew_token().await,
            84..=98 => self.be_cut_off().await,
            _ => self.stay_away().await,
        }
    }

    /// Waits, and hears what comes meanwhile. One that polls asks for it: a poll that is given up would be lost.
    async fn listen(&mut self, time: Duration) {
        if self.way == ChatTransport::Polling {
            sleep(time).await;
            self.ask("connection:session-info", json!({})).await;
            return;
        }
        let until = tokio::time::Instant::now() + time;
        while let Ok(heard) = timeout_at(until, self.member().receive()).await {
            match heard {
                Some(ChatPacket::Event(event)) => self.take(&event),
                other => panic!("{} was cut off by the hub, or answered twice: {other:?}", self.record.user),
            }
        }
    }

    /// Asks, and takes what is heard until the answer.
    async fn ask(&mut self, event: &str, data: Value) -> Value {
        let answer = self.member().request(event, data).await;
        for event in self.member().take_events() {
            self.take(&event);
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

    fn take(&mut self, event: &Value) {
        let (name, data) = (event[0].as_str().unwrap(), &event[1]);
        match name {
            "message:new" => {
                let id = data["id"].as_str().unwrap().to_owned();
                match self.here.get_mut(&chat_of(&data["chatId"])) {
                    Some(stay) => stay.hear(id),
                    None => self.fault(format!("{id} came of a chat that it is not in")),
                }
            }
            "user:typing" => self.count("heard of typing"),
            "message:delivered" | "message:read" => self.count("heard of receipts"),
            "user:joined" | "user:left" | "room:online-update" => {
                if !self.here.contains_key(&chat_of(&data["chatId"])) && data["userId"] != self.record.user.as_str() {
                    self.fault(format!("{event} came of a chat that it is not in"));
                }
                self.count("heard of coming and going");
            }
            _ => self.count("heard otherwise"),
        }
    }

    fn somewhere(&mut self) -> Option<usize> {
        let chats: Vec<_> = self.here.keys().copied().collect();
        self.rng.pick(&chats)
    }

    async fn renew_token(&mut self) {
        let answer = self.ask_well("connection:create-session", json!({})).await;
        self.token = answer["recoveryToken"].as_str().unwrap().to_owned();
    }

    async fn join(&mut self) {
        let chat = self.rng.below(CHATS);
        if self.here.contains_key(&chat) || self.here.len() >= CHATS_MAX {
            return;
        }
        let member = self.member();
        let answer = member.request("join:chat", json!({"chatId": chat_id(chat)})).await;
        if answer["success"] != true {
            return self.fault(format!("join:chat was refused: {answer}"));
        }
        // What was heard before the answer is of other chats: a message of this one is a fault.
        for event in self.member().take_events() {
            self.take(&event);
        }
        self.here.insert(chat, Stay::new(chat, Instant::now()));
        self.count("joins");
        let page = self.ask_well("message:history", json!({"chatId": chat_id(chat), "limit": 1})).await;
        let anchor = page["messages"][0]["id"].as_str().map(str::to_owned);
        self.here.get_mut(&chat).unwrap().anchor = anchor;
    }

    async fn leave(&mut self) {
        let Some(chat) = self.somewhere() else { return };
        let left_at = Instant::now();
        self.ask_well("leave:chat", json!({"chatId": chat_id(chat)})).await;
        // Nothing of the chat comes from here on.
        if let Some(mut stay) = self.here.remove(&chat) {
            stay.left_at = Some(left_at);
            self.record.stays.push(stay);
        }
        self.typed.remove(&chat);
        self.count("leaves");
    }

    /// What it would say next.
    fn words(&mut self, chat: usize) -> Sent {
        let content = format!("{}-{}", self.number, self.record.sent.len());
        Sent { chat, content, at: Instant::now(), answered: None }
    }

    async fn say(&mut self) {
        let Some(chat) = self.somewhere() else { return };
        let mut sent = self.words(chat);
        let answer = self.ask_well("message:send", json!({"chatId": chat_id(chat), "content": sent.content})).await;
        sent.answered = answer["sentMessage"]["id"].as_str().map(|id| (id.to_owned(), Instant::now()));
        self.record.sent.push(sent);
    }

    async fn type_somewhere(&mut self) {
        let Some(chat) = self.somewhere() else { return };
        let typing = self.rng.below(3) > 0;
        self.ask_well("message:typing", json!({"chatId": chat_id(chat), "isTyping": typing})).await;
        self.typed.insert(chat);
        self.count("typing events");
    }

    /// A message that it heard in one of its chats.
    fn some_message(&mut self) -> Option<(usize, String)> {
        let chat = self.somewhere()?;
        let stay = &self.here[&chat];
        let heard: Vec<_> = stay.stretches.iter().flat_map(|stretch| &stretch.ids).rev().take(20).cloned().collect();
        Some((chat, self.rng.pick(&heard)?))
    }

    async fn confirm(&mut self) {
        let Some((chat, message)) = self.some_message() else { return };
        let read = self.rng.below(2) == 0;
        let event = if read { "message:read" } else { "message:delivered" };
        self.ask_well(event, json!({"chatId": chat_id(chat), "messageId": message})).await;
        self.record.confirmed.push(Confirmed { message, read, answered: true });
    }

    /// Looks who is in a chat: it is itself.
    async fn look(&mut self) {
        let Some(chat) = self.somewhere() else { return };
        let id = json!({"chatId": chat_id(chat)});
        let info = self.ask_well("room:info", id.clone()).await;
        let online = self.ask_well("room:online", id.clone()).await;
        self.ask_well("message:typing-users", id).await;
        let users: Vec<_> =
            online["onlineUsers"].as_array().unwrap().iter().map(|user| user["userId"].clone()).collect();
        let distinct: BTreeSet<_> = users.iter().filter_map(Value::as_str).collect();
        let is_there = distinct.contains(self.record.user.as_str()) && distinct.len() == users.len();
        if !is_there || info["roomInfo"]["participantCount"] == 0 {
            self.fault(format!("is in {}, where there are {info} and {online}", chat_id(chat)));
        }
        self.count("looks");
    }

    /// Reads a few pages of what was said before.
    async fn read_back(&mut self) {
        let Some((chat, message)) = self.some_message() else { return };
        let mut before = Some(message);
        for _ in 0..3 {
            let Some(id) = before.take() else { break };
            let asked = json!({"chatId": chat_id(chat), "before": id, "limit": 7});
            let page = self.ask_well("message:history", asked).await;
            before = page["messages"][0]["id"].as_str().map(str::to_owned);
            self.count("pages of history");
        }
    }

    /// Reads what was said in a chat since the message that it knew last.
    async fn read_up(&mut self, chat: usize, known: Option<String>) {
        let mut before = Value::Null;
        loop {
            let asked = json!({"chatId": chat_id(chat), "before": before, "limit": 20});
            let page = self.ask_well("message:history", asked).await;
            self.count("pages of history");
            let Some(messages) = page["messages"].as_array() else { return };
            let ids: Vec<_> = messages.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect();
            let Some(stay) = self.here.get_mut(&chat) else { return };
            stay.read.extend(ids.iter().cloned());
            let is_known = known.as_ref().is_some_and(|known| ids.contains(known));
            if is_known || page["hasMore"] != true {
                return;
            }
            before = json!(ids[0]);
        }
    }

    /// Is cut off one way or another, and goes on soon.
    async fn be_cut_off(&mut self) {
        let cut = match (self.way, self.rng.below(8)) {
            (ChatTransport::Polling, 0..=3) => Cut::FellSilent,
            (ChatTransport::Polling, _) | (_, 0) => Cut::Polite,
            (_, 1..=3) => Cut::Reset,
            (_, 4..=5) => Cut::DriedUp,
            _ => Cut::Overtaken,
        };
        if cut != Cut::Polite {
            self.leave_something_unanswered().await;
        }
        let mut old = self.end(cut).await;
        let at = Instant::now();
        sleep(self.rng.duration(0, 1_500)).await;
        self.connect().await;
        let gap = if matches!(cut, Cut::Reset | Cut::Polite) { Gap::Cut(at) } else { Gap::None };
        let known: Vec<_> = self.here.iter().map(|(chat, stay)| (*chat, stay.last().cloned())).collect();
        // Sometimes it joins one of them again before it goes on; not as long as it hears that one elsewhere.
        let again = if old.is_none() && self.rng.below(4) == 0 { self.somewhere() } else { None };
        if let Some(chat) = again {
            let answer = self.member().request("join:chat", json!({"chatId": chat_id(chat)})).await;
            if answer["success"] != true {
                self.fault(format!("join:chat was refused: {answer}"));
            }
        }
        self.recover(gap, again, at, old.as_mut()).await;
        if gap != Gap::None {
            for (chat, known) in known {
                self.read_up(chat, known).await;
            }
        }
    }

    /// Says or confirms something, and does not wait for the answer.
    async fn leave_something_unanswered(&mut self) {
        match self.rng.below(4) {
            0 => {
                let Some(chat) = self.somewhere() else { return };
                let sent = self.words(chat);
                let data = json!({"chatId": chat_id(chat), "content": sent.content});
                self.member().send_request("message:send", data).await;
                self.record.sent.push(sent);
            }
            1 => {
                let Some((chat, message)) = self.some_message() else { return };
                let data = json!({"chatId": chat_id(chat), "messageId": message});
                self.member().send_request("message:read", data).await;
                self.record.confirmed.push(Confirmed { message, read: true, answered: false });
            }
            _ => {}
        }
    }

    /// Ends the connection, or leaves it to be overtaken.
    async fn end(&mut self, cut: Cut) -> Option<ChatClient> {
        let member = self.member.take()?;
        match cut {
            Cut::Reset => {
                self.count("cut off: reset");
                member.reset();
            }
            Cut::DriedUp => {
                self.count("cut off: sent no more");
                for event in member.half_close().await {
                    self.take(&event);
                }
            }
            Cut::Polite => {
                self.count("left, and came back");
                member.disconnect().await;
            }
            Cut::FellSilent => {
                self.count("cut off: polled no more");
                for event in member.stop_polling() {
                    self.take(&event);
                }
            }
            Cut::Overtaken => {
                self.count("went on elsewhere");
                return Some(member);
            }
        }
        None
    }

    /// Goes on with the session that was cut off at `at`. It has joined the chat `again` by itself.
    async fn recover(&mut self, gap: Gap, again: Option<usize>, at: Instant, old: Option<&mut ChatClient>) {
        let token = self.token.clone();
        let answer = self.member().request("connection:recover", json!({"recoveryToken": token})).await;
        let events = self.member().take_events();
        if let Some(old) = old {
            for event in old.read_to_end().await.0 {
                self.take(&event);
            }
        }
        if answer["success"] != true {
            if at.elapsed() < IN_TIME {
                self.fault(format!("was refused in time, {:?} after the cut: {answer}", at.elapsed()));
            }
            return self.come_back(again, events).await;
        }
        self.count("recovered");
        self.token = answer["session"]["recoveryToken"].as_str().unwrap().to_owned();
        let rooms: BTreeSet<_> = answer["session"]["rooms"].as_array().unwrap().iter().map(chat_of).collect();
        if rooms != self.here.keys().copied().collect() {
            self.fault(format!("was in {:?} and is in {rooms:?}", self.here.keys()));
        }
        let queued = events.iter().find(|event| event[0] == "connection:queued-messages");
        let mut brought: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for message in queued.iter().flat_map(|queued| queued[1]["messages"].as_array().unwrap()) {
            let id = message["id"].as_str().unwrap().to_owned();
            brought.entry(chat_of(&message["chatId"])).or_default().push(id);
        }
        if queued.is_some_and(|queued| !queued[1]["dropped"].is_null()) {
            self.fault("messages were dropped, though the queue is long".into());
        }
        for (chat, stay) in &mut self.here {
            stay.go_on(gap, How::Queued, brought.remove(chat).unwrap_or_default());
            stay.go_on(Gap::None, How::Live, Vec::new());
        }
        if !brought.is_empty() {
            self.fault(format!("queued of chats that it was not in: {brought:?}"));
        }
        // Live, of the chat that it joined again.
        for event in events.iter().filter(|event| event[0] != "connection:queued-messages") {
            self.take(event);
        }
    }

    /// Joins its chats again: the session is over.
    async fn come_back(&mut self, again: Option<usize>, events: Vec<Value>) {
        self.count("came back too late");
        for stay in self.here.values_mut() {
            stay.go_on(Gap::Away, How::Live, Vec::new());
        }
        for event in &events {
            self.take(event);
        }
        let chats: Vec<_> = self.here.iter().map(|(chat, stay)| (*chat, stay.last().cloned())).collect();
        for (chat, known) in chats {
            if again != Some(chat) {
                // Its messages come behind the answer.
                self.ask_well("join:chat", json!({"chatId": chat_id(chat)})).await;
            }
            self.read_up(chat, known).await;
        }
        self.renew_token().await;
    }

    /// Is away for longer than its session is kept.
    async fn stay_away(&mut self) {
        let cut = if self.way == ChatTransport::Polling { Cut::Polite } else { Cut::Reset };
        self.end(cut).await;
        let at = Instant::now();
        sleep(WINDOW + self.rng.duration(1_500, 1_000)).await;
        self.connect().await;
        self.recover(Gap::Cut(at), None, at, None).await;
    }

    /// Stops typing where it typed on this connection; what it typed on others has stopped with them.
    async fn rest(&mut self) {
        for chat in std::mem::take(&mut self.typed) {
            self.ask_well("message:typing", json!({"chatId": chat_id(chat), "isTyping": false})).await;
        }
    }

    /// The chats that it is in.
    pub(super) fn chats(&self) -> impl Iterator<Item = usize> {
        self.here.keys().copied()
    }

    /// Hears on until the last message of each of its chats.
    pub(super) async fn hear_out(mut self, last: Arc<Vec<String>>) -> Self {
        let started = Instant::now();
        while !self.here.iter().all(|(chat, stay)| stay.last() == last.get(*chat)) {
            self.listen(Duration::from_millis(50)).await;
            if started.elapsed() > DEADLINE * 2 {
                self.fault(format!("did not hear {END:?} everywhere"));
                break;
            }
        }
        self.record.stays.extend(std::mem::take(&mut self.here).into_values());
        self
    }

    /// Goes, one way or another; what it wrote down.
    pub(super) async fn go(mut self) -> Record {
        let member = self.member.take().unwrap();
        match self.rng.below(3) {
            0 if self.way != ChatTransport::Polling => member.reset(),
            1 if self.way != ChatTransport::Polling => drop(member.half_close().await),
            _ => member.disconnect().await,
        }
        self.record
    }
}
