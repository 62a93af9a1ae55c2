//! The disconnects of a soak client, and its recoveries.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::time::sleep;

use super::super::WINDOW;
use super::super::records::{Arrival, GapCause, SentReceipt};
use super::{SoakClient, chat_id, chat_of};
use crate::support::chat_client::{ChatClient, ChatTransport};

/// A recovery within this time must succeed, also on a slow machine.
const RECOVERABLE: Duration = WINDOW.saturating_sub(Duration::from_secs(2));

/// How a client ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DisconnectKind {
    Reset,
    /// The client closes its side, and reads to the end.
    HalfClosed,
    /// The client sends a disconnect.
    Orderly,
    /// The client stops polling.
    StoppedPolling,
    /// The session is recovered on another connection while this one is open.
    TakenOver,
}

impl SoakClient {
    /// Ends the connection in a random way, and recovers the session soon after.
    pub(super) async fn disconnect_and_recover(&mut self) {
        let cut = match (self.transport, self.rng.below(8)) {
            (ChatTransport::Polling, 0..=3) => DisconnectKind::StoppedPolling,
            (ChatTransport::Polling, _) | (_, 0) => DisconnectKind::Orderly,
            (_, 1..=3) => DisconnectKind::Reset,
            (_, 4..=5) => DisconnectKind::HalfClosed,
            _ => DisconnectKind::TakenOver,
        };
        if cut != DisconnectKind::Orderly {
            self.send_without_waiting().await;
        }
        let mut old = self.end(cut).await;
        let at = Instant::now();
        sleep(self.rng.duration(0, 1_500)).await;
        self.connect().await;
        let gap = if matches!(cut, DisconnectKind::Reset | DisconnectKind::Orderly) {
            GapCause::Cut(at)
        } else {
            GapCause::None
        };
        let known: Vec<_> =
            self.memberships.iter().map(|(chat, membership)| (*chat, membership.last().cloned())).collect();
        // Sometimes it joins a chat again before the recovery, but not while the old connection still receives it.
        let again = if old.is_none() && self.rng.below(4) == 0 { self.random_chat() } else { None };
        if let Some(chat) = again {
            let answer = self.member().request("join:chat", json!({"chatId": chat_id(chat)})).await;
            if answer["success"] != true {
                self.fault(format!("join:chat was refused: {answer}"));
            }
        }
        self.recover(gap, again, at, old.as_mut()).await;
        if gap != GapCause::None {
            for (chat, known) in known {
                self.catch_up(chat, known).await;
            }
        }
    }

    /// Sends a message or a receipt, and does not wait for the answer.
    async fn send_without_waiting(&mut self) {
        match self.rng.below(4) {
            0 => {
                let Some(chat) = self.random_chat() else { return };
                let sent = self.next_message(chat);
                let data = json!({"chatId": chat_id(chat), "content": sent.content});
                self.member().send_request("message:send", data).await;
                self.record.sent.push(sent);
            }
            1 => {
                let Some((chat, message)) = self.some_message() else { return };
                let data = json!({"chatId": chat_id(chat), "messageId": message});
                self.member().send_request("message:read", data).await;
                self.record.receipts.push(SentReceipt { message, read: true, answered: false });
            }
            _ => {}
        }
    }

    /// Ends the connection. Returns it open if another connection is to take the session over.
    async fn end(&mut self, cut: DisconnectKind) -> Option<ChatClient> {
        let member = self.member.take()?;
        match cut {
            DisconnectKind::Reset => {
                self.count("disconnects: reset");
                member.reset();
            }
            DisconnectKind::HalfClosed => {
                self.count("disconnects: half closed");
                for event in member.half_close().await {
                    self.record_event(&event);
                }
            }
            DisconnectKind::Orderly => {
                self.count("disconnects: orderly");
                member.disconnect().await;
            }
            DisconnectKind::StoppedPolling => {
                self.count("disconnects: stopped polling");
                for event in member.stop_polling() {
                    self.record_event(&event);
                }
            }
            DisconnectKind::TakenOver => {
                self.count("disconnects: taken over");
                return Some(member);
            }
        }
        None
    }

    /// Recovers the session after its connection ended at `at`. The new connection may have joined the chat `again` before.
    async fn recover(&mut self, gap: GapCause, again: Option<usize>, at: Instant, old: Option<&mut ChatClient>) {
        let token = self.token.clone();
        let answer = self.member().request("connection:recover", json!({"recoveryToken": token})).await;
        let events = self.member().take_events();
        if let Some(old) = old {
            for event in old.read_to_end().await.0 {
                self.record_event(&event);
            }
        }
        if answer["success"] != true {
            if at.elapsed() < RECOVERABLE {
                self.fault(format!("recovery was refused {:?} after the cut: {answer}", at.elapsed()));
            }
            return self.rejoin(again, events).await;
        }
        self.count("recovered");
        self.token = answer["session"]["recoveryToken"].as_str().unwrap().to_owned();
        let rooms: BTreeSet<_> = answer["session"]["rooms"].as_array().unwrap().iter().map(chat_of).collect();
        if rooms != self.memberships.keys().copied().collect() {
            self.fault(format!("was a member of {:?} and is a member of {rooms:?}", self.memberships.keys()));
        }
        let queued = events.iter().find(|event| event[0] == "connection:queued-messages");
        let mut queued_ids: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for message in queued.iter().flat_map(|queued| queued[1]["messages"].as_array().unwrap()) {
            let id = message["id"].as_str().unwrap().to_owned();
            queued_ids.entry(chat_of(&message["chatId"])).or_default().push(id);
        }
        if queued.is_some_and(|queued| !queued[1]["dropped"].is_null()) {
            self.fault("messages were dropped although the queue is long".into());
        }
        for (chat, membership) in &mut self.memberships {
            membership.begin_stretch(gap, Arrival::Queued, queued_ids.remove(chat).unwrap_or_default());
            membership.begin_stretch(GapCause::None, Arrival::Live, Vec::new());
        }
        if !queued_ids.is_empty() {
            self.fault(format!("queued messages of other chats: {queued_ids:?}"));
        }
        // Live events of the chat that it joined again.
        for event in events.iter().filter(|event| event[0] != "connection:queued-messages") {
            self.record_event(event);
        }
    }

    /// Joins its chats again, because the session is lost.
    async fn rejoin(&mut self, again: Option<usize>, events: Vec<Value>) {
        self.count("recoveries refused");
        for membership in self.memberships.values_mut() {
            membership.begin_stretch(GapCause::Away, Arrival::Live, Vec::new());
        }
        for event in &events {
            self.record_event(event);
        }
        let chats: Vec<_> =
            self.memberships.iter().map(|(chat, membership)| (*chat, membership.last().cloned())).collect();
        for (chat, known) in chats {
            if again != Some(chat) {
                // Its messages arrive after the answer.
                self.ask_well("join:chat", json!({"chatId": chat_id(chat)})).await;
            }
            self.catch_up(chat, known).await;
        }
        self.renew_token().await;
    }

    /// Stays disconnected for longer than its session can be recovered.
    pub(super) async fn stay_away(&mut self) {
        let cut =
            if self.transport == ChatTransport::Polling { DisconnectKind::Orderly } else { DisconnectKind::Reset };
        self.end(cut).await;
        let at = Instant::now();
        sleep(WINDOW + self.rng.duration(1_500, 1_000)).await;
        self.connect().await;
        self.recover(GapCause::Cut(at), None, at, None).await;
    }
}
