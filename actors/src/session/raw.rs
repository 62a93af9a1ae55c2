//! What a session does with the events of the raw surface.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::fut::{ActorFutureExt, WrapFuture};
use ahash::AHashSet;

use super::{Handle, OWN_ROOMS, Outcome, Session};
use crate::close::Close;
use crate::delivery::Event;
use crate::events::raw::{
    Ack, Authenticate, Broadcast, Broadcasted, Denied, DirectMessage, Directed, PROTOCOL_VERSION, Ping, Pong, Status,
    Subscribe, Unsubscribe, User,
};
use crate::events::{ServerEvent, json};
use crate::fault::{Code, Fault};
use crate::identity::Identity;
use crate::ids::{EventName, MessageId, RoomName};
use crate::rooms::{Joined, Published};

/// Whom a message is to reach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Every member but the sender's own session; nobody is fine too.
    Others,
    /// At least one session; the sender's own may be it.
    Someone,
}

impl Session {
    pub(super) fn greet_raw(&self, now: i64) {
        let welcome = Status::Connected {
            connection_id: self.seat.session(),
            server_time: now,
            protocol_version: PROTOCOL_VERSION,
            user: user(&self.identity),
        };
        self.say(&welcome, &None, now);
    }

    pub(super) fn tell_left_raw(&self, room: &RoomName) {
        self.say(&Status::Unsubscribed { topics: vec![room.to_string()] }, &None, self.now());
    }

    /// Denies those of the topics just joined that may not be joined any more: who changed that meanwhile may not have
    /// found the session there, or had it leave already.
    fn leave_again(&mut self, topics: &mut Vec<String>, denied: &mut Vec<Denied>) {
        topics.retain(|topic| {
            let allowed = RoomName::parse(topic, "topics").and_then(|room| self.may_subscribe(&room));
            let Err(fault) = allowed else { return true };
            drop(self.leave(topic));
            denied.push(Denied { topic: topic.clone(), code: fault.code });
            false
        });
    }

    /// Joins a topic that was asked for; `None` when the session is in it already.
    fn subscribe(&mut self, topic: &str) -> Result<Option<(RoomName, Joined)>, Fault> {
        let room = RoomName::parse(topic, "topics")?;
        self.may_subscribe(&room)?;
        if self.rooms.contains(&room) {
            return Ok(None);
        }
        let most = self.hub.settings().rooms_per_session;
        if self.rooms.len() - OWN_ROOMS >= most {
            return Err(Fault::new(Code::Forbidden, format!("A session may be in {most} topics")));
        }
        self.join(room.clone()).map(|joined| Some((room, joined)))
    }

    /// Leaves the topics that a fresh token does not open any more.
    fn leave_what_is_closed_to(&mut self, identity: &Identity) {
        let closed = |room: &&RoomName| !room.is_internal() && self.may_subscribe_as(identity, room).is_err();
        let closed: Vec<RoomName> = self.rooms.iter().filter(closed).cloned().collect();
        for room in closed {
            drop(self.leave(room.as_str()));
        }
    }

    fn check_count(&self, topics: &[String]) -> Result<(), Fault> {
        let most = self.hub.settings().topics_per_request;
        if topics.len() > most {
            return Err(Fault::field("topics", format!("`topics` may name {most} topics at once")));
        }
        Ok(())
    }

    /// Publishes what the client said, and answers with its fate.
    fn publish<E: ServerEvent>(
        &self,
        room: RoomName,
        event: &E,
        message_id: MessageId,
        reach: Reach,
    ) -> Result<Outcome<Ack>, Fault> {
        let except = (reach == Reach::Others && self.rooms.contains(&room)).then(|| self.seat.place());
        let (name, data) = (EventName::of_hub(E::NAME), json::encode(event));
        let event = Event { name, topic: None, data, timestamp: self.now(), offset: None };
        let published = self.hub.rooms().publish(room, event, except)?;
        let answer = async move {
            match published.await {
                Ok(Published { recipients: 0 }) if reach == Reach::Someone => {
                    Err(Fault::new(Code::NotFound, "The user has no session"))
                }
                Ok(Published { recipients }) => Ok(Ack { message_id, recipients }),
                Err(_) => Err(Fault::internal()),
            }
        };
        Ok(Outcome::Later(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<Ping> for Session {
    fn handle(&mut self, ping: Ping) -> Result<Outcome<Pong>, Fault> {
        Ok(Outcome::Now(Pong { timestamp: ping.timestamp }))
    }
}

impl Handle<Subscribe> for Session {
    fn handle(&mut self, request: Subscribe) -> Result<Outcome<Status>, Fault> {
        self.check_count(&request.topics)?;
        let mut topics: Vec<String> = Vec::new();
        let mut denied: Vec<Denied> = Vec::new();
        let mut joining = Vec::new();
        let mut seen = AHashSet::new();
        for topic in request.topics {
            if !seen.insert(topic.clone()) {
                continue;
            }
            match self.subscribe(&topic) {
                Ok(joined) => {
                    joining.extend(joined);
                    topics.push(topic);
                }
                Err(fault) => denied.push(Denied { topic, code: fault.code }),
            }
        }
        let since = request.since;
        let (rooms, waits): (Vec<RoomName>, Vec<_>) = joining.into_iter().unzip();
        let joined = rooms.clone();
        let answer = async move {
            let mut refused = Vec::new();
            for (room, wait) in joined.into_iter().zip(waits) {
                match wait.await {
                    Ok(Ok(())) => {}
                    Ok(Err(fault)) => refused.push((room, fault.code)),
                    Err(_) => return Err(Fault::internal()),
                }
            }
            Ok(refused)
        };
        let answer = answer.into_actor(self).map(move |refused, session, _| {
            for (room, code) in refused? {
                session.rooms.remove(&room);
                topics.retain(|topic| topic != room.as_str());
                denied.push(Denied { topic: room.as_str().to_owned(), code });
            }
            session.leave_again(&mut topics, &mut denied);
            // No topic keeps history yet, so nothing that was missed can follow; who asks is told so.
            let recovered = topics.iter().filter(|topic| since.contains_key(*topic));
            let recovered = recovered.map(|topic| (topic.clone(), false)).collect();
            Ok(Status::Subscribed { topics, denied, positions: BTreeMap::new(), recovered })
        });
        Ok(Outcome::Joining(rooms, Box::pin(answer)))
    }
}

impl Handle<Unsubscribe> for Session {
    fn handle(&mut self, request: Unsubscribe) -> Result<Outcome<Status>, Fault> {
        self.check_count(&request.topics)?;
        let mut leaving = Vec::new();
        for topic in &request.topics {
            // One's own room is not left: direct messages come there.
            if self.rooms.get(topic.as_str()).is_some_and(|room| !room.is_internal()) {
                leaving.extend(self.leave(topic));
            }
        }
        let answer = async move {
            for left in leaving {
                left.await.map_err(|_| Fault::internal())?;
            }
            Ok(Status::Unsubscribed { topics: request.topics })
        };
        Ok(Outcome::Later(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<Broadcast> for Session {
    fn handle(&mut self, request: Broadcast) -> Result<Outcome<Ack>, Fault> {
        let room = RoomName::parse(&request.topic, "topic")?;
        let is_member = self.rooms.contains(&room);
        self.hub.settings().rules.publish(&self.identity, &room, is_member)?;
        let message_id = MessageId::random();
        let from_user = self.identity.user.clone();
        let event = Broadcasted { topic: room.clone(), payload: request.payload, from_user, message_id };
        self.publish(room, &event, message_id, Reach::Others)
    }
}

impl Handle<DirectMessage> for Session {
    fn handle(&mut self, request: DirectMessage) -> Result<Outcome<Ack>, Fault> {
        let message_id = MessageId::random();
        let from_user = self.identity.user.clone();
        let event = Directed { from_user, payload: request.payload, message_id };
        self.publish(RoomName::of_user(&request.target_user), &event, message_id, Reach::Someone)
    }
}

impl Handle<Authenticate> for Session {
    fn handle(&mut self, request: Authenticate) -> Result<Outcome<Status>, Fault> {
        let verified = self.hub.authenticator().authenticate(request.token);
        let answer = verified.into_actor(self).map(|verified, session, _| {
            let identity = verified?;
            if identity.user != session.identity.user {
                return Err(Fault::new(Code::Forbidden, "The token is another user's"));
            }
            let identity = Arc::new(identity);
            session.entry.renew(identity.clone());
            if let Err(fault) = session.hub.revoked().check(&identity) {
                // A revocation that looked meanwhile did not find the old token; it is looked at again.
                session.entry.renew(session.identity.clone());
                if session.hub.revoked().check(&session.identity).is_err() {
                    session.seat.close_when_settled(Close::TokenRevoked);
                }
                return Err(fault);
            }
            session.seat.expire_at(identity.expires_at);
            session.leave_what_is_closed_to(&identity);
            let status = Status::Authenticated { user: user(&identity), expires_at: identity.expires_at };
            session.identity = identity;
            Ok(status)
        });
        Ok(Outcome::Alone(Box::pin(answer)))
    }
}

fn user(identity: &Identity) -> User {
    User { id: identity.user.clone(), name: identity.display_name().to_owned(), roles: identity.roles.clone() }
}
