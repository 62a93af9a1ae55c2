//! One of the clients: what it asked, and what it may hear; what it hears is judged in [`hearing`].

mod hearing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hubbub_actors::model::close::Close;
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::RecoveryToken;
use hubbub_actors::model::surface::Surface;
use hubbub_actors::session::{AuthState, Inbound, RecoveryRequest, Request};
use hubbub_actors::worker::Worker;

use super::super::inside::Client;
use super::Input;
use super::asks::{Known, Means};
use super::ledger::{Audience, Ledger};
use super::rights::{self, Chats};

/// A session on `/` that may be gone on with.
#[derive(Debug, Clone)]
struct Parked {
    pid: String,
    last: Option<u64>,
    rooms: BTreeSet<String>,
    tokens: Vec<&'static str>,
    /// The number of its connection, which goes on with it.
    connection: u64,
    /// It was kicked or revoked: it never comes back.
    is_over: bool,
}

/// A client, connected or not.
pub(super) struct Slot {
    pub(super) user: &'static str,
    pub(super) client: Option<Client>,
    pub(super) is_reading: bool,
    /// Tokens that were issued before this moment are refused.
    pub(super) revoked_before: i64,
    pub(super) known: Known,
    connection: u64,
    /// The tokens that it may be going by; the last one was shown last.
    tokens: Vec<&'static str>,
    /// Rooms that it may be in.
    rooms: BTreeSet<String>,
    /// Rooms whose joins were answered, unless something happened since.
    joined: BTreeSet<String>,
    /// Rooms that it was not in and asked to join: the answer comes before what is said there.
    awaited: BTreeSet<String>,
    /// Rooms that it asked to leave.
    left: BTreeSet<String>,
    /// Rooms that it is in without a doubt.
    sure: BTreeSet<String>,
    /// Rooms that a session on `/chat` was in that could be recovered.
    parked_chats: BTreeSet<String>,
    suspended: Option<Parked>,
    /// What it wants to go on with, until it is told whether it does.
    returning: Option<Parked>,
    last: Option<u64>,
    /// How often it asked to be told again what it was told.
    telling: u32,
    /// How many answers each request is still owed, and what it means.
    asked: BTreeMap<String, Vec<(Means, String)>>,
    requests: u64,
    sign: String,
    /// It had a user when all was last quiet.
    has_user: bool,
    /// It was kicked or revoked, and has to go; or may have been.
    is_put_out: bool,
    may_be_put_out: bool,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let surface = self.client.as_ref().map(|client| client.surface);
        f.debug_struct("Slot")
            .field("user", &self.user)
            .field("surface", &surface)
            .field("asked", &self.asked)
            .field("sign", &self.sign)
            .finish_non_exhaustive()
    }
}

impl Slot {
    pub(super) fn of(user: &'static str) -> Self {
        Self {
            user,
            client: None,
            is_reading: true,
            revoked_before: 0,
            known: Known::default(),
            connection: 0,
            tokens: Vec::new(),
            rooms: BTreeSet::new(),
            joined: BTreeSet::new(),
            awaited: BTreeSet::new(),
            left: BTreeSet::new(),
            sure: BTreeSet::new(),
            parked_chats: BTreeSet::new(),
            suspended: None,
            returning: None,
            last: None,
            telling: 0,
            asked: BTreeMap::new(),
            requests: 0,
            sign: String::new(),
            has_user: false,
            is_put_out: false,
            may_be_put_out: false,
        }
    }

    /// The number of its connection.
    pub(super) fn connection(&self) -> u64 {
        self.connection
    }

    /// The user that it may become, while it may have none.
    pub(super) fn guest(&self) -> Option<&'static str> {
        (!self.has_user).then_some(self.user)
    }

    /// Whether everything said in a room reaches it, at once or when it comes back.
    pub(super) fn is_surely_in(&self, room: &str) -> bool {
        self.sure.contains(room)
    }

    /// Its rooms may change by what happens now.
    pub(super) fn is_unsure(&mut self, ledger: &mut Ledger) {
        self.joined.clear();
        self.sure.clear();
        ledger.forgive_all(self.connection);
    }

    /// Its user is kicked or revoked now.
    pub(super) fn put_out(&mut self, ledger: &mut Ledger) {
        self.is_unsure(ledger);
        if self.client.is_some() {
            self.is_put_out |= self.has_user;
            self.may_be_put_out = true;
        }
        if let Some(suspended) = &mut self.suspended {
            suspended.is_over = true;
        }
        self.known.recovery_token = None;
        self.parked_chats.clear();
    }

    /// Sends a request; what it means holds from now on.
    pub(super) fn ask(&mut self, event: &'static str, data: &str, means: Means, is_named: bool, ledger: &mut Ledger) {
        let Some(client) = &self.client else { return };
        let surface = client.surface;
        self.requests += 1;
        let correlation = is_named.then(|| Bytes::from((1_000 + self.requests).to_string()));
        let mark = data.split('~').nth(1).map(|number| format!("~{number}~")).unwrap_or_default();
        let means = self.will(means, &mark, super::asks::is_on(event, surface), ledger);
        if let Some(id) = &correlation {
            let id = String::from_utf8_lossy(id).into_owned();
            self.asked.entry(id).or_default().push((means, mark));
        }
        let data = Bytes::copy_from_slice(data.as_bytes());
        if let Some(client) = &self.client {
            client.send(Inbound::Request(Request { event: event.into(), data, correlation }));
        }
    }

    /// Notes what a request means that is understood or not; what its answer will mean.
    fn will(&mut self, means: Means, mark: &str, is_understood: bool, ledger: &mut Ledger) -> Means {
        let is_understood = is_understood && !self.tokens.is_empty();
        match &means {
            Means::Join(rooms, is_again) if is_understood => {
                let new = rooms.iter().filter(|&room| self.rooms.insert(room.clone()));
                self.awaited.extend(new.cloned());
                self.left.retain(|room| !rooms.contains(room));
                self.telling += u32::from(*is_again);
            }
            Means::Leave(rooms) if is_understood => {
                for room in rooms {
                    self.joined.remove(room);
                    self.sure.remove(room);
                    self.left.insert(room.clone());
                    ledger.forgive_room(self.connection, room);
                }
            }
            Means::Say(room) => {
                let may = |token: &&str| rights::may_say(token, room, self.rooms.contains(room));
                let is_let = is_understood && self.tokens.iter().any(may);
                let audience = if is_let { Audience::Room(room.clone()) } else { Audience::Nobody };
                ledger.publish(mark, audience, Some((self.user, self.connection)));
            }
            Means::Tell(user) => ledger.publish(mark, Audience::User(user.clone()), Some((self.user, self.connection))),
            Means::Echo => ledger.publish(mark, Audience::Nobody, Some((self.user, self.connection))),
            // Who is somebody stays that; of a guest this makes somebody.
            Means::Be(token) if rights::user_of(token) == Some(self.user) => {
                self.is_unsure(ledger);
                self.tokens.push(token);
            }
            Means::Recover if is_understood => {
                self.is_unsure(ledger);
                self.telling += 1;
                self.rooms.extend(self.parked_chats.iter().cloned());
            }
            Means::Nothing | Means::Token => {}
            Means::Join(..) | Means::Leave(_) | Means::Be(_) | Means::Recover => return Means::Nothing,
        }
        means
    }

    /// Sends what may be no request.
    pub(super) fn send(&mut self, inbound: Inbound) {
        let correlation = match &inbound {
            Inbound::Request(request) => request.correlation.as_ref(),
            Inbound::Malformed { correlation, .. } => correlation.as_ref(),
            Inbound::Closing => None,
        };
        if let Some(id) = correlation {
            let id = String::from_utf8_lossy(id).into_owned();
            self.asked.entry(id).or_default().push((Means::Nothing, String::new()));
        }
        if let Some(client) = &self.client {
            client.send(inbound);
        }
    }

    /// The connection ends: its client says so, or it is gone. A session on `/` may be gone on with.
    pub(super) fn cut(&mut self, how: u8, ledger: &mut Ledger) {
        let Some(client) = self.client.take() else { return };
        if how & 1 == 1 {
            client.send(Inbound::Closing);
        } else if how & 2 == 2 {
            client.handle.note_end(Close::Left);
        }
        client.handle.detach();
        let (rooms, tokens) = (std::mem::take(&mut self.rooms), std::mem::take(&mut self.tokens));
        if !self.may_be_put_out {
            self.parked_chats.extend(rooms.iter().filter(|room| room.starts_with("chat:")).cloned());
        }
        // Of one that was perhaps put out nothing is known.
        let is_known = self.is_put_out || !self.may_be_put_out;
        self.suspended = client.pid.clone().filter(|_| is_known && !tokens.is_empty()).map(|pid| {
            let (last, connection, is_over) = (self.last, self.connection, self.is_put_out);
            Parked { pid, last, rooms, tokens, connection, is_over }
        });
        match &self.suspended {
            Some(suspended) if !suspended.is_over && self.is_answered() => ledger.is_away(self.connection),
            _ => self.is_unsure(ledger),
        }
        self.asked.clear();
        self.left.clear();
        self.awaited.clear();
        (self.is_reading, self.has_user) = (true, false);
        (self.is_put_out, self.may_be_put_out) = (false, false);
    }

    /// A new connection, which may go on with a session of before.
    pub(super) async fn connect(&mut self, worker: &Worker, input: &mut Input<'_>, ledger: &mut Ledger) {
        let how = input.next();
        let surface = [Surface::Raw, Surface::Root, Surface::Chat][usize::from(how) % 3];
        let token = if how & 0x10 == 0 { self.user } else { few(self.user) };
        let is_guest = how & 0x20 != 0 && surface == Surface::Root;
        let returning = self.suspended.take().filter(|_| surface == Surface::Root && how & 0x40 != 0);
        let issued_at = worker.hub().clock().now_ms();
        let auth_state = if is_guest {
            AuthState::Guest
        } else {
            let holder = rights::holder(token).expect("a token that holds");
            AuthState::Known(Arc::new(Identity { issued_at: Some(issued_at), ..holder }))
        };
        let asked = returning
            .as_ref()
            .map(|suspended| RecoveryRequest { pid: RecoveryToken::read(&suspended.pid), last: suspended.last });
        if returning.is_none() {
            self.is_unsure(ledger);
            self.connection = ledger.next_connection();
        } else if !is_guest && returning.as_ref().is_some_and(|suspended| suspended.tokens.last() != Some(&token)) {
            // By another token it may hear of other rooms.
            self.is_unsure(ledger);
        }
        let opened = Client::open(worker, surface, auth_state, asked).await;
        let is_refused = !is_guest && issued_at < self.revoked_before;
        assert_eq!(opened.is_err(), is_refused, "{:?}", opened.err());
        let Ok(client) = opened else {
            self.is_unsure(ledger);
            return;
        };
        self.client = Some(client);
        self.tokens = if is_guest { Vec::new() } else { vec![token] };
        self.has_user = !is_guest;
        self.last = returning.as_ref().and_then(|suspended| suspended.last);
        self.returning = returning;
    }

    /// It is told whether it goes on with the session of before.
    fn is_told(&mut self, goes_on: bool, ledger: &mut Ledger) {
        let suspended = self.returning.take().expect("it came back");
        if goes_on {
            assert!(!suspended.is_over, "{} goes on with a session that was put out", self.user);
            self.rooms = suspended.rooms;
            self.connection = suspended.connection;
            ledger.is_back(self.connection);
            if self.tokens.is_empty() {
                self.tokens = suspended.tokens;
            }
        } else {
            self.is_unsure(ledger);
            self.connection = ledger.next_connection();
            self.last = None;
        }
    }

    /// Reads what came. What the chats were and are says who may hear of them.
    pub(super) fn listen(&mut self, chats: &[&Chats], ledger: &mut Ledger) {
        let Some(client) = &mut self.client else { return };
        let came = client.take();
        let (is_gone, closed) = (client.is_gone(), client.handle.closed());
        for heard in came {
            self.hear(&heard, chats, ledger);
        }
        if closed.is_some() {
            let is_force = matches!(closed, Some(Close::Kicked | Close::TokenRevoked));
            assert!(!is_force || self.may_be_put_out, "nobody put {} out", self.user);
            self.is_put_out |= is_force;
            self.cut(0, ledger);
        } else {
            assert!(!is_gone, "the session of {} ended without a reason", self.user);
        }
    }

    /// Whether nothing is owed to it.
    pub(super) fn is_answered(&self) -> bool {
        self.asked.values().all(Vec::is_empty)
    }

    /// Whether it heard the sign. Who has no user hears nothing that goes to everybody.
    pub(super) fn has_heard(&self, sign: &str) -> bool {
        self.sign == sign || self.tokens.is_empty()
    }

    /// Nothing is under way: it is in the rooms that it joined and may hear.
    pub(super) fn is_quiet(&mut self, chats: &Chats) {
        if self.client.is_none() {
            return;
        }
        assert!(!self.is_put_out, "{} was put out and is there", self.user);
        self.asked.clear();
        if let Some(last) = self.tokens.pop() {
            self.tokens = vec![last];
        }
        (self.has_user, self.may_be_put_out) = (!self.tokens.is_empty(), false);
        let Self { tokens, left, rooms, .. } = self;
        rooms.retain(|room| !left.contains(room) && tokens.iter().any(|token| rights::may_hear(token, room, chats)));
        left.clear();
        self.joined.retain(|room| rooms.contains(room));
        self.sure = self.joined.clone();
    }
}

/// A narrower token of a user, where there is one.
fn few(user: &'static str) -> &'static str {
    match user {
        "bob" => "bob-few",
        "carol" => "carol-few",
        other => other,
    }
}
