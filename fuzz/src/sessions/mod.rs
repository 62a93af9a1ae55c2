//! Sequences of what three clients with different rights do, against the real sessions, rooms and central actors of a hub:
//! requests of every event by name, bytes that are no request, cuts and returns; with what backends and operators do
//! meanwhile. What must hold:
//!
//! * no actor dies, and no session but by a reason;
//! * every request that names itself is answered once, or its session is closed;
//! * nobody hears what the rules deny, is said by who may not, or was published where the session is not;
//! * what was accepted reaches every session that is surely in the room, once;
//! * a room has one order, the same for all who hear it;
//! * a kick and a revocation end what they say, and nothing of it comes back.
//!
//! The clock stands still but where the sequence moves it. Only the threads of the store may differ between two runs.

mod asks;
mod client;
mod ledger;
mod rights;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::events::{NAMES, Surface};
use hubbub_actors::hub::{Hub, Settings, Target};
use hubbub_actors::model::ids::{ChatId, EventName, NotificationId, RoomName, UserId};
use hubbub_actors::notifications::Notification;
use hubbub_actors::presence;
use hubbub_actors::revocations::Revoked;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::session::Inbound;
use hubbub_actors::store::{Chat, Revocation, Role, Store};
use hubbub_actors::worker::Worker;

use super::inside::{self, DEADLINE, Names};
use client::Slot;
use ledger::{Audience, Ledger};
use rights::{CHATS, Chats, ROOMS, USERS};

/// Steps of one sequence.
const STEPS_MAX: usize = 60;

/// The bytes that a sequence is made of; where they end there are zeros.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.next()) % bound
    }

    fn piece(&mut self) -> &[u8] {
        let length = self.below(64).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece
    }
}

/// What the bytes say that happens.
pub(crate) fn sessions(bytes: &[u8]) {
    inside::run(async {
        let directory = inside::directory();
        let mut world = World::start(directory.path()).await;
        let mut input = Input(bytes);
        for _ in 0..STEPS_MAX {
            if input.0.is_empty() {
                break;
            }
            world.step(&mut input).await;
        }
        world.settle().await;
        world.ledger.check_orders();
        let store = world.hub.store().clone();
        drop(world);
        store.close().await;
    });
}

struct World {
    hub: Arc<Hub>,
    worker: Worker,
    clock: Clock,
    slots: [Slot; 3],
    chats: Chats,
    /// What the chats were since all was last quiet.
    chats_before: Vec<Chats>,
    ledger: Ledger,
}

impl World {
    async fn start(directory: &std::path::Path) -> Self {
        let clock = Clock::manual(2_000_000);
        let settings = Settings {
            rules: rights::rules(),
            outbox: OutboxCapacity { bytes: 32_768, frames: 128 },
            rooms: 12,
            rooms_per_session: 6,
            payload_max: 1_000,
            topics_per_request: 4,
            presence: presence::Settings { linger_ms: 0, ..Default::default() },
            clock: clock.clone(),
            ..super::settings::settings()
        };
        // Its own clock: a write during which hours pass would seem to hang.
        let store = Store::open(directory, Role::Hub, Clock::manual(0)).expect("a store");
        let hub = Hub::start(settings, Arc::new(Names(rights::holder)), None, store, Revoked::new(0));
        let chats = Chats::from([("general", (true, Vec::new())), ("club", (false, vec!["alice", "bob"]))]);
        let made = chats.iter().map(|(id, access)| chat(id, access)).collect();
        hub.open_chats(made).await.expect("chats");
        let worker = Worker::start(&hub).expect("a worker");
        let slots = USERS.map(Slot::of);
        Self { hub, worker, clock, slots, chats, chats_before: Vec::new(), ledger: Ledger::default() }
    }

    /// One step of the sequence, after which the actors may be still at work.
    async fn step(&mut self, input: &mut Input<'_>) {
        let number = input.below(self.slots.len());
        match input.below(16) {
            0..=6 => self.ask(number, input),
            7 => self.send_bytes(number, input),
            8 => self.slots[number].cut(input.next(), &mut self.ledger),
            9 => self.connect(number, input).await,
            10 => self.publish(input).await,
            11 => self.change_chat(input).await,
            12 => self.end_by_force(number, input).await,
            13 => self.clock.advance(i64::from(input.next()) * 50),
            14 => self.settle().await,
            _ => self.slots[number].is_reading ^= true,
        }
        for _ in 0..input.below(4) {
            tokio::task::yield_now().await;
        }
        self.listen(false);
    }

    fn ask(&mut self, number: usize, input: &mut Input<'_>) {
        let mark = self.ledger.next_mark();
        let slot = &mut self.slots[number];
        slot.known.guest = slot.guest();
        let asks::Ask { event, data, means } = asks::ask(input, &slot.known, &mark);
        let is_named = input.next() & 7 != 0 || !matches!(means, asks::Means::Nothing);
        let room = if let asks::Means::Say(room) = &means { room.clone() } else { String::new() };
        slot.ask(event, &data, means, is_named, &mut self.ledger);
        let members =
            self.slots.iter().enumerate().filter(|(other, slot)| *other != number && slot.is_surely_in(&room));
        let reply_slot = members.map(|(_, slot)| slot.connection()).collect();
        self.ledger.owe(&mark, reply_slot);
    }

    /// Bytes that are no request by the name of an event that changes anything.
    fn send_bytes(&mut self, number: usize, input: &mut Input<'_>) {
        let slot = &mut self.slots[number];
        let Some(client) = &slot.client else { return };
        let named = NAMES[input.below(NAMES.len())];
        let piece: Vec<u8> =
            input.piece().iter().map(|&byte| if b"~^".contains(&byte) { b'-' } else { byte }).collect();
        let message = match input.below(3) {
            0 => piece,
            _ if client.surface == Surface::Raw => {
                [b"{\"id\":7,\"type\":\"", named.as_bytes(), b"\",\"data\":", &piece, b"}"].concat()
            }
            _ => [b"27[\"", named.as_bytes(), b"\",", &piece, b"]"].concat(),
        };
        let Some(inbound) = inside::read(client.surface, &message) else { return };
        if let Inbound::Request(request) = &inbound
            && asks::MEMBERSHIP.contains(&&*request.event)
        {
            return;
        }
        slot.send(inbound);
    }

    async fn connect(&mut self, number: usize, input: &mut Input<'_>) {
        let Self { slots, worker, ledger, .. } = self;
        slots[number].cut(input.next(), ledger);
        slots[number].connect(worker, input, ledger).await;
        // Whether it goes on with a session of before is what it hears first.
        self.listen(true);
    }

    /// What a backend publishes, to whom the rules mean nothing.
    async fn publish(&mut self, input: &mut Input<'_>) {
        let mark = self.ledger.next_mark();
        let room = ROOMS[input.below(ROOMS.len())];
        let user = USERS[input.below(USERS.len())];
        let user_id = UserId::parse(user, "user").expect("a user");
        let data = Bytes::from(format!("\"{mark}\""));
        match input.below(4) {
            0 => {
                self.ledger.publish(&mark, Audience::User(user.into()), None);
                let id = input.below(3).to_string();
                let data = format!(r#"{{"id":"{id}","mark":"{mark}"}}"#);
                let id = NotificationId::parse(&id, "id").expect("an id");
                let notified = self.hub.notify(user_id, Notification { id, data: data.into() }).await;
                let (_, kept) = notified.expect("nothing is full");
                kept.await.expect("it is on the disk");
            }
            1 => {
                self.ledger.publish(&mark, Audience::User(user.into()), None);
                self.send(Target::User(user_id), data).await;
            }
            2 => {
                self.ledger.publish(&mark, Audience::Everybody, None);
                self.send(Target::Everybody, data).await;
            }
            _ => {
                let audience = match room.strip_prefix("user:") {
                    Some(user) => Audience::User(user.into()),
                    None if room == "$all" => Audience::Everybody,
                    None => Audience::Room(room.into()),
                };
                self.ledger.publish(&mark, audience, None);
                let reply_slot = self.slots.iter().filter(|slot| slot.is_surely_in(room)).map(Slot::connection);
                self.ledger.owe(&mark, reply_slot.collect());
                self.ledger.accepted(&mark);
                self.send(Target::Room(RoomName::parse(room, "room").expect("a room")), data).await;
            }
        }
    }

    async fn send(&self, target: Target, data: Bytes) {
        self.hub.publish(target, EventName::of_hub("pushed"), data).await.expect("nothing is full");
    }

    async fn change_chat(&mut self, input: &mut Input<'_>) {
        let id = CHATS[input.below(CHATS.len())];
        self.chats_before.push(self.chats.clone());
        let mut asked = input.next();
        if asked & 1 == 1 {
            self.hub.delete_chat(ChatId::parse(id, "id").expect("a chat")).await.expect("a store");
            self.chats.remove(id);
        } else {
            let mut participants = USERS.to_vec();
            participants.retain(|_| {
                asked >>= 1;
                asked & 1 == 1
            });
            let access = (asked & 0x18 == 0x18, participants);
            self.hub.put_chat(chat(id, &access)).await.expect("a store");
            self.chats.insert(id, access);
        }
        for slot in &mut self.slots {
            slot.is_unsure(&mut self.ledger);
        }
    }

    /// Kicks a user, or revokes what the user showed.
    async fn end_by_force(&mut self, number: usize, input: &mut Input<'_>) {
        let slot = &mut self.slots[number];
        let user = UserId::parse(slot.user, "user").expect("a user");
        slot.put_out(&mut self.ledger);
        if input.next() & 1 == 1 {
            self.hub.disconnect(&user).await.expect("nothing is full");
        } else {
            let now = self.clock.now_ms();
            slot.revoked_before = now + 1;
            self.hub.revoke(&Revocation::of_user(&user, now + 1, now)).await;
        }
    }

    /// Reads what came; of those that do not read only where `all` are read.
    fn listen(&mut self, all: bool) {
        let chats: Vec<&Chats> = self.chats_before.iter().chain([&self.chats]).collect();
        for slot in &mut self.slots {
            if all || slot.is_reading {
                slot.listen(&chats, &mut self.ledger);
            }
        }
        assert_eq!(self.hub.find_dead(), None, "an actor died");
    }

    /// Waits until every request is answered and everything published is delivered; then nothing is uncertain any more.
    async fn settle(&mut self) {
        self.wait_until("every request is answered", |slot| slot.is_answered()).await;
        // What was published before this comes before it, and everybody hears it.
        for round in 0..2 {
            let sign = self.ledger.next_sign();
            self.send(Target::Everybody, Bytes::from(format!("\"{sign}\""))).await;
            self.wait_until("everybody hears", |slot| slot.has_heard(&sign)).await;
            if round == 0 {
                // What this made sessions do, such as leaving rooms, is done by the second round.
                self.wait_until("every request is answered", |slot| slot.is_answered()).await;
            }
        }
        self.chats_before.clear();
        for slot in &mut self.slots {
            slot.is_quiet(&self.chats);
        }
        self.ledger.check_owed();
    }

    async fn wait_until(&mut self, what: &str, is_so: impl Fn(&Slot) -> bool) {
        let begun = Instant::now();
        for turn in 0.. {
            self.listen(true);
            if self.slots.iter().all(|slot| slot.client.is_none() || is_so(slot)) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{what}: waited in vain for {:?}", self.slots);
            if turn < 100 {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
    }
}

fn chat(id: &str, (public, participants): &(bool, Vec<&'static str>)) -> Chat {
    let id = ChatId::parse(id, "id").expect("a chat");
    let participants = participants.iter().map(|user| UserId::parse(user, "user").expect("a user")).collect();
    let chat = Chat::new(id, String::new(), String::new(), 1_000_000).expect("a chat");
    Chat { public: *public, ..chat }.with_participants(participants).expect("few participants")
}
