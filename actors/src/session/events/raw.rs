//! Handlers for the events of the raw document. `Broadcast` and `DirectMessage` are on every surface, the others on `/ws`.

use std::collections::{BTreeMap, BTreeSet};

use actix::fut::{ActorFutureExt, WrapFuture};

use crate::events::client_id::compact;
use crate::events::json::{self, Json};
use crate::events::raw::{
    Ack, Broadcast, Broadcasted, Denied, DirectMessage, Directed, PROTOCOL_VERSION, Ping, Pong, RenewToken, Status,
    Subscribe, Unsubscribe, User,
};
use crate::events::{ClientEvent, ServerEvent};
use crate::idempotency::{RequestDigest, digest};
use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::{EventName, MessageId, RoomName};
use crate::publication::Event;
use crate::rooms::Published;
use crate::session::{Handle, Outcome, Session};

/// The required recipients of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DeliveryTarget {
    /// Every member except the sender's session, if there is any.
    Others,
    /// At least one session, connected or suspended; it may be the sender's.
    AtLeastOne,
}

/// Topics in one notice of closed topics, at most.
const CLOSED_AT_ONCE: usize = 100;

/// The digest of a publish request: its target and its content.
fn request_digest<E: ClientEvent>(target: &str, payload: &Json) -> RequestDigest {
    digest(&[E::NAME.as_bytes(), target.as_bytes(), &compact(payload)])
}

impl Session {
    pub(in crate::session) fn greet_raw(&self, identity: &Identity, now: i64) {
        let welcome = Status::Connected {
            connection_id: self.handle.session(),
            server_time: now,
            protocol_version: PROTOCOL_VERSION,
            user: User::of(identity),
        };
        self.send_event(&welcome, now);
    }

    pub(in crate::session) fn send_left_raw(&self, room: &RoomName) {
        self.send_event(&Status::Unsubscribed { topics: vec![room.to_string()], code: None }, self.now());
    }

    /// Notifies the client of topics that it lost access to, in slices.
    pub(in crate::session) fn send_closed_raw(&self, rooms: &[RoomName]) {
        for rooms in rooms.chunks(CLOSED_AT_ONCE) {
            let topics = rooms.iter().map(RoomName::to_string).collect();
            self.send_event(&Status::Unsubscribed { topics, code: Some(Code::Forbidden) }, self.now());
        }
    }

    /// Refuses a large payload: it would fill the outboxes of members and close their connections.
    fn check_size(&self, payload: &Json) -> Result<(), Fault> {
        let most = self.hub.settings().payload_max;
        if payload.as_str().len() > most {
            let fault = Fault::field("payload", format!("`payload` may have {most} bytes of JSON"));
            return Err(fault.by("server.max_frame_size"));
        }
        Ok(())
    }

    fn check_count(&self, topics: &[String]) -> Result<(), Fault> {
        let most = self.hub.settings().topics_per_request;
        if topics.len() > most {
            let message = format!("`topics` may name {most} topics at once").into();
            let limit = Fault::limit_reached("limits.topics_per_request").in_field("topics");
            return Err(Fault { message, ..limit });
        }
        Ok(())
    }

    /// Publishes a message. Resolves with its ack.
    fn publish<E: ServerEvent>(
        &self,
        room: RoomName,
        event: &E,
        message_id: MessageId,
        target: DeliveryTarget,
    ) -> Result<impl Future<Output = Result<Ack, Fault>> + use<E>, Fault> {
        let except = (target == DeliveryTarget::Others && self.rooms.contains_key(&room)).then(|| self.handle.sender());
        let (name, data) = (EventName::of_hub(E::NAME), json::encode(event));
        let event = Event { name, topic: None, data, timestamp: self.now(), offset: None };
        let published = self.hub.rooms().publish(room, event, except)?;
        Ok(async move {
            match published.await?? {
                // A suspended session of the user receives it, so a refusal would make the sender repeat it.
                Published { recipients: 0, only_suspended: false } if target == DeliveryTarget::AtLeastOne => {
                    Err(Fault::new(Code::NotFound, "The user has no session"))
                }
                Published { recipients, .. } => Ok(Ack { message_id, recipients }),
            }
        })
    }
}

impl Handle<Ping> for Session {
    fn handle(&mut self, ping: Ping) -> Result<Outcome<Pong>, Fault> {
        Ok(Outcome::Reply(Pong { timestamp: ping.timestamp }))
    }
}

impl Handle<RenewToken> for Session {
    fn handle(&mut self, request: RenewToken) -> Result<Outcome<Status>, Fault> {
        let verified = self.hub.authenticator().authenticate(request.token);
        let answer = verified.into_actor(self).map(|verified, session, _| {
            let identity = session.renew_token(verified?)?;
            Ok(Status::Authenticated { user: User::of(&identity), expires_at: identity.expires_at })
        });
        Ok(Outcome::Exclusive(Box::new(|_| Box::pin(answer))))
    }
}

impl Handle<Subscribe> for Session {
    fn handle(&mut self, request: Subscribe) -> Result<Outcome<Status>, Fault> {
        self.check_count(&request.topics)?;
        let requested: BTreeSet<String> = request.since.keys().cloned().collect();
        let joins = self.request_joins_since(request.topics, "topics", request.since);
        let answer = joins.map(move |joins, session, _| {
            let (mut topics, mut denied) = (Vec::new(), Vec::new());
            let (mut positions, mut recovered) = (BTreeMap::new(), BTreeMap::new());
            for (topic, joined) in joins? {
                let past = match joined {
                    Ok(past) => past,
                    Err(fault) => {
                        session.note_denied(Subscribe::NAME, &topic, &fault);
                        denied.push(Denied { topic, code: fault.code, details: fault.details() });
                        continue;
                    }
                };
                if requested.contains(&topic) {
                    let recovered_all = past.as_ref().and_then(|past| past.recovered);
                    recovered.insert(topic.clone(), recovered_all.unwrap_or(false));
                }
                positions.extend(past.map(|past| (topic.clone(), past.position)));
                topics.push(topic);
            }
            Ok(Status::Subscribed { topics, denied, positions, recovered })
        });
        Ok(Outcome::Async(Box::pin(answer)))
    }
}

impl Handle<Unsubscribe> for Session {
    fn handle(&mut self, request: Unsubscribe) -> Result<Outcome<Status>, Fault> {
        self.check_count(&request.topics)?;
        let left = self.leave_rooms(&request.topics);
        let answer = async move { left.await.map(|()| Status::Unsubscribed { topics: request.topics, code: None }) };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<Broadcast> for Session {
    fn handle(&mut self, request: Broadcast) -> Result<Outcome<Ack>, Fault> {
        self.check_size(&request.payload)?;
        let Broadcast { topic, payload, client_id } = request;
        let room = RoomName::parse(&topic, "topic")?;
        let named = self.idempotent_request(client_id.as_ref(), || request_digest::<Broadcast>(&topic, &payload))?;
        self.run_once(named, move |session| {
            let is_member = session.rooms.contains_key(&room);
            let identity = session.identity()?;
            session.hub.settings().rules.publish(identity, &room, is_member)?;
            let (message_id, from_user) = (MessageId::random(), identity.user.clone());
            let event = Broadcasted { topic: room.clone(), payload, from_user, message_id };
            session.publish(room, &event, message_id, DeliveryTarget::Others)
        })
    }
}

impl Handle<DirectMessage> for Session {
    fn handle(&mut self, request: DirectMessage) -> Result<Outcome<Ack>, Fault> {
        self.check_size(&request.payload)?;
        let DirectMessage { target_user, payload, client_id } = request;
        let named = self.idempotent_request(client_id.as_ref(), || {
            request_digest::<DirectMessage>(target_user.as_str(), &payload)
        })?;
        self.run_once(named, move |session| {
            let (message_id, from_user) = (MessageId::random(), session.identity()?.user.clone());
            let event = Directed { from_user, payload, message_id };
            session.publish(RoomName::of_user(&target_user), &event, message_id, DeliveryTarget::AtLeastOne)
        })
    }
}
