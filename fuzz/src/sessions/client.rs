//! The expected state of one client: its pending requests, its rooms, and its permissions. [`received`] checks its events.

mod received;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hubbub_actors::model::close::Close;
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::RecoveryToken;
use hubbub_actors::model::surface::Surface;
use hubbub_actors::publication::Offset;
use hubbub_actors::session::{AuthState, Inbound, RecoveryRequest, Request};
use hubbub_actors::worker::Worker;

use super::super::in_process::FuzzClient;
use super::Input;
use super::permissions::{self, FuzzChats};
use super::publications::{PossibleReceivers, Publications};
use super::requests::{ReceivedValues, RequestEffect};

/// A session on `/` that can be recovered.
#[derive(Debug, Clone)]
struct RecoverableSession {
    pid: String,
    last: Option<Offset>,
    rooms: BTreeSet<String>,
    tokens: Vec<&'static str>,
    /// The number of its connection, which stays after a recovery.
    connection: u64,
    /// It was kicked or revoked and cannot be recovered.
    is_ended: bool,
}

/// A client, connected or not.
pub(super) struct ClientModel {
    pub(super) user: &'static str,
    pub(super) client: Option<FuzzClient>,
    pub(super) is_reading: bool,
    /// The hub refuses tokens issued before this time.
    pub(super) revoked_before: i64,
    pub(super) values: ReceivedValues,
    connection: u64,
    /// Its possible current tokens, the newest last.
    tokens: Vec<&'static str>,
    /// The rooms that it may be in.
    rooms: BTreeSet<String>,
    /// The rooms with a confirmed join and no change since.
    joined: BTreeSet<String>,
    /// The rooms with a pending first join: the reply arrives before their publications.
    joining: BTreeSet<String>,
    /// The rooms with a sent leave request.
    left: BTreeSet<String>,
    /// The rooms that it is certainly in.
    certain: BTreeSet<String>,
    /// The chat rooms of earlier sessions, which `connection:recover` can restore.
    recoverable_chats: BTreeSet<String>,
    recoverable: Option<RecoverableSession>,
    /// The session that it requests to recover, until the hub reports the result.
    recovering: Option<RecoverableSession>,
    last: Option<Offset>,
    /// The number of its requests for a replay.
    replays: u32,
    /// The effects of the requests without a reply, by id.
    pending: BTreeMap<String, Vec<(RequestEffect, String)>>,
    requests: u64,
    barrier: String,
    /// Whether it had a user when the simulation last settled.
    has_user: bool,
    /// Whether the hub has kicked or revoked it, for certain or possibly.
    is_ended_by_hub: bool,
    may_be_ended_by_hub: bool,
}

impl fmt::Debug for ClientModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let surface = self.client.as_ref().map(|client| client.surface);
        f.debug_struct("ClientModel")
            .field("user", &self.user)
            .field("surface", &surface)
            .field("pending", &self.pending)
            .field("barrier", &self.barrier)
            .finish_non_exhaustive()
    }
}

impl ClientModel {
    pub(super) fn of(user: &'static str) -> Self {
        Self {
            user,
            client: None,
            is_reading: true,
            revoked_before: 0,
            values: ReceivedValues::default(),
            connection: 0,
            tokens: Vec::new(),
            rooms: BTreeSet::new(),
            joined: BTreeSet::new(),
            joining: BTreeSet::new(),
            left: BTreeSet::new(),
            certain: BTreeSet::new(),
            recoverable_chats: BTreeSet::new(),
            recoverable: None,
            recovering: None,
            last: None,
            replays: 0,
            pending: BTreeMap::new(),
            requests: 0,
            barrier: String::new(),
            has_user: false,
            is_ended_by_hub: false,
            may_be_ended_by_hub: false,
        }
    }

    /// The number of its connection.
    pub(super) fn connection(&self) -> u64 {
        self.connection
    }

    /// The user that it can authenticate as, while it may be a guest.
    pub(super) fn guest(&self) -> Option<&'static str> {
        (!self.has_user).then_some(self.user)
    }

    /// Whether every publication to the room reaches it, at once or after a recovery.
    pub(super) fn is_certainly_in(&self, room: &str) -> bool {
        self.certain.contains(room)
    }

    /// Its rooms may change now: nothing is certain.
    pub(super) fn clear_certainty(&mut self, publications: &mut Publications) {
        self.joined.clear();
        self.certain.clear();
        publications.expect_none(self.connection);
    }

    /// The hub kicks or revokes its user now.
    pub(super) fn end_by_hub(&mut self, publications: &mut Publications) {
        self.clear_certainty(publications);
        if self.client.is_some() {
            self.is_ended_by_hub |= self.has_user;
            self.may_be_ended_by_hub = true;
        }
        if let Some(recoverable) = &mut self.recoverable {
            recoverable.is_ended = true;
        }
        self.values.recovery_token = None;
        self.recoverable_chats.clear();
    }

    /// Sends a request and applies its effect.
    pub(super) fn ask(
        &mut self,
        event: &'static str,
        data: &str,
        effect: RequestEffect,
        has_id: bool,
        publications: &mut Publications,
    ) {
        let Some(client) = &self.client else { return };
        let surface = client.surface;
        self.requests += 1;
        let correlation = has_id.then(|| Bytes::from((1_000 + self.requests).to_string()));
        let tag = data.split('~').nth(1).map(|number| format!("~{number}~")).unwrap_or_default();
        let effect = self.apply(effect, &tag, super::requests::is_on(event, surface), publications);
        if let Some(id) = &correlation {
            let id = String::from_utf8_lossy(id).into_owned();
            self.pending.entry(id).or_default().push((effect, tag));
        }
        if let Some(client) = &self.client {
            client.send(Inbound::Request(Request { event: event.into(), data: data.into(), correlation }));
        }
    }

    /// Applies the effect of a request. Returns the effect to apply at its reply.
    fn apply(
        &mut self,
        effect: RequestEffect,
        tag: &str,
        is_known_event: bool,
        publications: &mut Publications,
    ) -> RequestEffect {
        let is_known_event = is_known_event && !self.tokens.is_empty();
        match &effect {
            RequestEffect::Join(rooms, is_again) if is_known_event => {
                let new = rooms.iter().filter(|&room| self.rooms.insert(room.clone()));
                self.joining.extend(new.cloned());
                self.left.retain(|room| !rooms.contains(room));
                self.replays += u32::from(*is_again);
            }
            RequestEffect::Leave(rooms) if is_known_event => {
                for room in rooms {
                    self.joined.remove(room);
                    self.certain.remove(room);
                    self.left.insert(room.clone());
                    publications.expect_none_in_room(self.connection, room);
                }
            }
            RequestEffect::Publish(room) => {
                let may = |token: &&str| permissions::may_publish(token, room, self.rooms.contains(room));
                let is_allowed = is_known_event && self.tokens.iter().any(may);
                let target =
                    if is_allowed { PossibleReceivers::Room(room.clone()) } else { PossibleReceivers::PublisherOnly };
                publications.publish(tag, target, Some((self.user, self.connection)));
            }
            RequestEffect::DirectMessage(user) => {
                publications.publish(tag, PossibleReceivers::User(user.clone()), Some((self.user, self.connection)))
            }
            RequestEffect::Echo => {
                publications.publish(tag, PossibleReceivers::PublisherOnly, Some((self.user, self.connection)))
            }
            // A user stays the same user; a guest becomes one.
            RequestEffect::Authenticate(token) if permissions::user_of(token) == Some(self.user) => {
                self.clear_certainty(publications);
                self.tokens.push(token);
            }
            RequestEffect::Recover if is_known_event => {
                self.clear_certainty(publications);
                self.replays += 1;
                self.rooms.extend(self.recoverable_chats.iter().cloned());
            }
            RequestEffect::None | RequestEffect::CreateToken => {}
            RequestEffect::Join(..)
            | RequestEffect::Leave(_)
            | RequestEffect::Authenticate(_)
            | RequestEffect::Recover => return RequestEffect::None,
        }
        effect
    }

    /// Sends a message that may not be a request.
    pub(super) fn send(&mut self, inbound: Inbound) {
        let correlation = match &inbound {
            Inbound::Request(request) => request.correlation.as_ref(),
            Inbound::Malformed { correlation, .. } => correlation.as_ref(),
            Inbound::Closing => None,
        };
        if let Some(id) = correlation {
            let id = String::from_utf8_lossy(id).into_owned();
            self.pending.entry(id).or_default().push((RequestEffect::None, String::new()));
        }
        if let Some(client) = &self.client {
            client.send(inbound);
        }
    }

    /// The connection ends, with a disconnect or without. A session on `/` can be recovered later.
    pub(super) fn disconnect(&mut self, how: u8, publications: &mut Publications) {
        let Some(client) = self.client.take() else { return };
        if how & 1 == 1 {
            client.send(Inbound::Closing);
        } else if how & 2 == 2 {
            client.handle.note_end(Close::Left);
        }
        client.handle.detach();
        let (rooms, tokens) = (std::mem::take(&mut self.rooms), std::mem::take(&mut self.tokens));
        if !self.may_be_ended_by_hub {
            self.recoverable_chats.extend(rooms.iter().filter(|room| room.starts_with("chat:")).cloned());
        }
        // After a possible kick or revocation, nothing about the session is certain.
        let is_certain = self.is_ended_by_hub || !self.may_be_ended_by_hub;
        self.recoverable = client.pid.clone().filter(|_| is_certain && !tokens.is_empty()).map(|pid| {
            let (last, connection, is_ended) = (self.last, self.connection, self.is_ended_by_hub);
            RecoverableSession { pid, last, rooms, tokens, connection, is_ended }
        });
        match &self.recoverable {
            Some(recoverable) if !recoverable.is_ended && self.has_no_pending() => {
                publications.suspend(self.connection)
            }
            _ => self.clear_certainty(publications),
        }
        self.pending.clear();
        self.left.clear();
        self.joining.clear();
        (self.is_reading, self.has_user) = (true, false);
        (self.is_ended_by_hub, self.may_be_ended_by_hub) = (false, false);
    }

    /// Opens a connection, which may recover an earlier session.
    pub(super) async fn connect(&mut self, worker: &Worker, input: &mut Input<'_>, publications: &mut Publications) {
        let choice = input.next();
        let surface = [Surface::Raw, Surface::Root, Surface::Chat][usize::from(choice) % 3];
        let token = if choice & 0x10 == 0 { self.user } else { narrow_token(self.user) };
        let is_guest = choice & 0x20 != 0 && surface == Surface::Root;
        let recovering = self.recoverable.take().filter(|_| surface == Surface::Root && choice & 0x40 != 0);
        let issued_at = worker.hub().clock().now_ms();
        let auth_state = if is_guest {
            AuthState::Guest
        } else {
            let identity = permissions::identity_of(token).expect("a valid token");
            AuthState::Known(Arc::new(Identity { issued_at: Some(issued_at), ..identity }))
        };
        let pending = recovering
            .as_ref()
            .map(|recoverable| RecoveryRequest { pid: RecoveryToken::read(&recoverable.pid), last: recoverable.last });
        if recovering.is_none() {
            self.clear_certainty(publications);
            self.connection = publications.next_connection();
        } else if !is_guest && recovering.as_ref().is_some_and(|recoverable| recoverable.tokens.last() != Some(&token))
        {
            // Another token may have other rooms.
            self.clear_certainty(publications);
        }
        let opened = FuzzClient::open(worker, surface, auth_state, pending).await;
        let is_refused = !is_guest && issued_at < self.revoked_before;
        assert_eq!(opened.is_err(), is_refused, "{:?}", opened.err());
        let Ok(client) = opened else {
            self.clear_certainty(publications);
            return;
        };
        self.client = Some(client);
        self.tokens = if is_guest { Vec::new() } else { vec![token] };
        self.has_user = !is_guest;
        self.last = recovering.as_ref().and_then(|recoverable| recoverable.last);
        self.recovering = recovering;
    }

    /// The hub reports whether it recovered the session.
    fn recovery_reported(&mut self, is_recovered: bool, publications: &mut Publications) {
        let recoverable = self.recovering.take().expect("a requested recovery");
        if is_recovered {
            assert!(!recoverable.is_ended, "{} recovered a session that was kicked or revoked", self.user);
            self.rooms = recoverable.rooms;
            self.connection = recoverable.connection;
            publications.resume(self.connection);
            if self.tokens.is_empty() {
                self.tokens = recoverable.tokens;
            }
        } else {
            self.clear_certainty(publications);
            self.connection = publications.next_connection();
            self.last = None;
        }
    }

    /// Checks the received events. `chats` has the current and the earlier states of the chats.
    pub(super) fn receive_all(&mut self, chats: &[&FuzzChats], publications: &mut Publications) {
        let Some(client) = &mut self.client else { return };
        let events = client.take();
        let (has_ended, closed) = (client.has_ended(), client.handle.closed());
        for event in events {
            self.receive(&event, chats, publications);
        }
        if closed.is_some() {
            let is_by_hub = matches!(closed, Some(Close::DisconnectedByBackend | Close::TokenRevoked));
            assert!(
                !is_by_hub || self.may_be_ended_by_hub,
                "{} was closed without a disconnect by a backend or a revocation",
                self.user
            );
            self.is_ended_by_hub |= is_by_hub;
            self.disconnect(0, publications);
        } else {
            assert!(!has_ended, "the session of {} ended without a reason", self.user);
        }
    }

    /// Whether all its requests have replies.
    pub(super) fn has_no_pending(&self) -> bool {
        self.pending.values().all(Vec::is_empty)
    }

    /// Whether it received the barrier. A guest receives no broadcast.
    pub(super) fn has_received_barrier(&self, barrier: &str) -> bool {
        self.barrier == barrier || self.tokens.is_empty()
    }

    /// Nothing is in progress: it is in its joined and permitted rooms.
    pub(super) fn settle_model(&mut self, chats: &FuzzChats) {
        if self.client.is_none() {
            return;
        }
        assert!(!self.is_ended_by_hub, "{} was kicked or revoked and is still connected", self.user);
        self.pending.clear();
        if let Some(last) = self.tokens.pop() {
            self.tokens = vec![last];
        }
        (self.has_user, self.may_be_ended_by_hub) = (!self.tokens.is_empty(), false);
        let Self { tokens, left, rooms, .. } = self;
        rooms.retain(|room| {
            !left.contains(room) && tokens.iter().any(|token| permissions::may_subscribe(token, room, chats))
        });
        left.clear();
        self.joined.retain(|room| rooms.contains(room));
        self.certain = self.joined.clone();
    }
}

/// The narrower token of a user, if there is one.
fn narrow_token(user: &'static str) -> &'static str {
    match user {
        "bob" => "bob-narrow_token",
        "carol" => "carol-narrow_token",
        other => other,
    }
}
