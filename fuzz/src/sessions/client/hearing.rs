//! What a client hears: whether it may, and what follows from it.

use serde_json::Value;

use super::super::super::inside::Heard;
use super::super::asks::Means;
use super::super::ledger::{Audience, Ledger};
use super::super::rights::{self, Chats};
use super::Slot;

/// Events by which something that was published is told, each for one mark.
const TELLING: [&str; 3] = ["Broadcast", "message:new", "pushed"];

impl Slot {
    /// Checks and remembers one thing that came.
    pub(super) fn hear(&mut self, heard: &Heard, chats: &[&Chats], ledger: &mut Ledger) {
        let Heard { name, id, text, number } = heard;
        self.last = (*number).filter(|&number| number != u64::MAX).or(self.last);
        match name.as_str() {
            "pushed" => self.sign = text.split('^').nth(1).map_or(self.sign.clone(), |sign| format!("^{sign}^")),
            "system:state_recovered" => self.is_told(true, ledger),
            "system:state_recovery_failed" => self.is_told(false, ledger),
            _ => {}
        }
        for number in text.split('~').skip(1).step_by(2) {
            let mark = format!("~{number}~");
            let Some(publication) = ledger.publication(&mark) else { continue };
            // What a client said comes back in answers, and in what was said in a room where it is.
            let is_own = publication.by.is_some_and(|(user, _)| user == self.user) && !TELLING.contains(&name.as_str());
            let may_hear = match &publication.audience {
                Audience::Nobody => is_own,
                Audience::Everybody => !self.tokens.is_empty(),
                Audience::User(user) => user == self.user || is_own,
                Audience::Room(room) => {
                    let may = |token: &&str| chats.iter().any(|chats| rights::may_hear(token, room, chats));
                    is_own || self.rooms.contains(room) && self.tokens.iter().any(may)
                }
            };
            assert!(may_hear, "{} heard {text}, which is {publication:?}", self.user);
            if id.is_none() && TELLING.contains(&name.as_str()) {
                if let Audience::Room(room) = &publication.audience {
                    assert!(!self.awaited.contains(room), "{} heard {text} before its join was answered", self.user);
                }
                ledger.hear(self.connection, self.telling, &mark);
            }
        }
        self.learn(heard);
        if let Some(id) = id {
            self.answered(id, heard, ledger);
        }
    }

    /// Remembers what can be asked with later.
    fn learn(&mut self, heard: &Heard) {
        let member = |name: &str| {
            let (_, behind) = heard.text.split_once(&format!("\"{name}\":\""))?;
            Some(behind.split('"').next()?.to_owned())
        };
        if let Some(token) = member("recoveryToken").filter(|_| !self.is_put_out) {
            self.known.recovery_token = Some(token);
        }
        self.known.epoch = member("epoch").or(self.known.epoch.take());
        if heard.name == "message:new" {
            self.known.message_ids.extend(member("id"));
        }
    }

    /// An answer came: each request has one.
    fn answered(&mut self, id: &str, heard: &Heard, ledger: &mut Ledger) {
        let asked = self.asked.get_mut(id).filter(|asked| !asked.is_empty());
        let asked = asked.unwrap_or_else(|| panic!("{} was answered once too often: {heard:?}", self.user));
        let (means, mark) = asked.remove(0);
        if let Means::Join(rooms, _) = &means {
            self.awaited.retain(|room| !rooms.contains(room));
        }
        let is_done = heard.name != "Error" && !heard.text.contains("\"code\":");
        match means {
            Means::Say(_) if is_done => ledger.accepted(&mark),
            Means::Join(rooms, _) if is_done => {
                let topics = serde_json::from_str::<Value>(&heard.text).unwrap_or_default();
                let topics = topics["data"]["details"]["topics"].as_array().cloned();
                let is_in = |room: &String| topics.as_ref().is_none_or(|topics| topics.contains(&room.as_str().into()));
                let stays = |room: &String| is_in(room) && !self.left.contains(room) && self.rooms.contains(room);
                let joined: Vec<_> = rooms.into_iter().filter(stays).collect();
                self.joined.extend(joined);
            }
            Means::Leave(rooms) if !is_done => self.left.retain(|room| !rooms.contains(room)),
            // What does not hold changes nothing.
            Means::Be(token) if !is_done => {
                if let Some(place) = self.tokens.iter().rposition(|shown| *shown == token) {
                    self.tokens.remove(place);
                }
            }
            _ => {}
        }
    }
}
