//! Checks the events of a client, and updates its expected state.

use hubbub::codec::namespace;
use serde_json::Value;

use super::super::super::in_process::OutputEvent;
use super::super::permissions::{self, FuzzChats};
use super::super::publications::{PossibleReceivers, Publications};
use super::super::requests::RequestEffect;
use super::ClientModel;

/// The events that deliver a publication, each with one tag.
const DELIVERY_EVENTS: [&str; 3] = ["Broadcast", "message:new", "pushed"];

impl ClientModel {
    /// Checks one event.
    pub(super) fn receive(&mut self, event: &OutputEvent, chats: &[&FuzzChats], publications: &mut Publications) {
        let OutputEvent { name, id, text, offset } = event;
        self.last = offset.filter(|&offset| offset != namespace::NO_OFFSET).or(self.last);
        match name.as_str() {
            "pushed" => {
                self.barrier = text.split('^').nth(1).map_or(self.barrier.clone(), |barrier| format!("^{barrier}^"))
            }
            "system:state_recovered" => self.recovery_reported(true, publications),
            "system:state_recovery_failed" => self.recovery_reported(false, publications),
            _ => {}
        }
        for number in text.split('~').skip(1).step_by(2) {
            let tag = format!("~{number}~");
            let Some(publication) = publications.publication(&tag) else { continue };
            // A client's own publication returns in replies, and in the history of its rooms.
            let is_own =
                publication.by.is_some_and(|(user, _)| user == self.user) && !DELIVERY_EVENTS.contains(&name.as_str());
            let may_subscribe = match &publication.target {
                PossibleReceivers::PublisherOnly => is_own,
                PossibleReceivers::Everyone => !self.tokens.is_empty(),
                PossibleReceivers::User(user) => user == self.user || is_own,
                PossibleReceivers::Room(room) => {
                    let may = |token: &&str| chats.iter().any(|chats| permissions::may_subscribe(token, room, chats));
                    is_own || self.rooms.contains(room) && self.tokens.iter().any(may)
                }
            };
            assert!(may_subscribe, "{} received {text}, which is {publication:?}", self.user);
            if id.is_none() && DELIVERY_EVENTS.contains(&name.as_str()) {
                if let PossibleReceivers::Room(room) = &publication.target {
                    assert!(!self.joining.contains(room), "{} received {text} before the reply to its join", self.user);
                }
                publications.receive(self.connection, self.replays, &tag);
            }
        }
        self.remember_values(event);
        if let Some(id) = id {
            self.receive_reply(id, event, publications);
        }
    }

    /// Stores the values that later requests use.
    fn remember_values(&mut self, event: &OutputEvent) {
        let member = |name: &str| {
            let (_, behind) = event.text.split_once(&format!("\"{name}\":\""))?;
            Some(behind.split('"').next()?.to_owned())
        };
        if let Some(token) = member("recoveryToken").filter(|_| !self.is_ended_by_hub) {
            self.values.recovery_token = Some(token);
        }
        self.values.epoch = member("epoch").or(self.values.epoch.take());
        if event.name == "message:new" {
            self.values.message_ids.extend(member("id"));
        }
    }

    /// Handles a reply. Each request has exactly one.
    fn receive_reply(&mut self, id: &str, event: &OutputEvent, publications: &mut Publications) {
        let pending = self.pending.get_mut(id).filter(|pending| !pending.is_empty());
        let pending = pending.unwrap_or_else(|| panic!("{} received an unexpected reply: {event:?}", self.user));
        let (effect, tag) = pending.remove(0);
        if let RequestEffect::Join(rooms, _) = &effect {
            self.joining.retain(|room| !rooms.contains(room));
        }
        let is_done = event.name != "Error" && !event.text.contains("\"code\":");
        match effect {
            RequestEffect::Publish(_) if is_done => publications.accepted(&tag),
            RequestEffect::Join(rooms, _) if is_done => {
                let topics = serde_json::from_str::<Value>(&event.text).unwrap_or_default();
                let topics = topics["data"]["details"]["topics"].as_array().cloned();
                let is_in = |room: &String| topics.as_ref().is_none_or(|topics| topics.contains(&room.as_str().into()));
                let stays = |room: &String| is_in(room) && !self.left.contains(room) && self.rooms.contains(room);
                let joined: Vec<_> = rooms.into_iter().filter(stays).collect();
                self.joined.extend(joined);
            }
            RequestEffect::Leave(rooms) if !is_done => self.left.retain(|room| !rooms.contains(room)),
            // A refused token changes nothing.
            RequestEffect::Authenticate(token) if !is_done => {
                if let Some(index) = self.tokens.iter().rposition(|shown| *shown == token) {
                    self.tokens.remove(index);
                }
            }
            _ => {}
        }
    }
}
