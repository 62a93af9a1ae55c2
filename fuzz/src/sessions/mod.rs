//! Sequences of actions of three clients with different permissions, against the real sessions, rooms and central actors of
//! a hub: requests of every event, invalid bytes, disconnects and recoveries. Backends and operators act in between. The
//! invariants:
//!
//! * no actor dies, and no session ends without a reason;
//! * every request with an id has one reply, or its session is closed;
//! * no client receives a publication that the rules deny, or of a room that it has not joined;
//! * every accepted publication reaches each session that is certainly in the room, once;
//! * a room has one order for all its members;
//! * a kick or a revocation ends its sessions, and none of them can be recovered.
//!
//! The clock is manual, and the sequence advances it. Only the store's threads can differ between two runs.

mod client;
mod permissions;
mod publications;
mod requests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::events::table::CLIENT;
use hubbub_actors::hub::{Hub, PublishTarget, Settings};
use hubbub_actors::model::ids::{ChatId, EventName, NotificationId, RoomName, UserId};
use hubbub_actors::model::surface::Surface;
use hubbub_actors::notifications::Notification;
use hubbub_actors::presence;
use hubbub_actors::revocations::Revoked;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::session::Inbound;
use hubbub_actors::store::{Chat, Revocation, Role, Store};
use hubbub_actors::worker::Worker;

use super::in_process::{self, DEADLINE, NamedTokens};
use client::ClientModel;
use permissions::{CHATS, FuzzChats, ROOMS, USERS};
use publications::{PossibleReceivers, Publications};

/// The maximum number of steps in a sequence.
const STEPS_MAX: usize = 60;

/// The bytes that generate a sequence. After their end, all bytes are zero.
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

/// Runs the sequence of these bytes.
pub(crate) fn sessions(bytes: &[u8]) {
    in_process::run(async {
        let directory = in_process::directory();
        let mut simulation = Simulation::start(directory.path()).await;
        let mut input = Input(bytes);
        for _ in 0..STEPS_MAX {
            if input.0.is_empty() {
                break;
            }
            simulation.step(&mut input).await;
        }
        simulation.settle().await;
        simulation.publications.check_orders();
        let store = simulation.hub.store().clone();
        drop(simulation);
        store.close().await;
    });
}

struct Simulation {
    hub: Arc<Hub>,
    worker: Worker,
    clock: Clock,
    models: [ClientModel; 3],
    chats: FuzzChats,
    /// The earlier states of the chats, since the simulation last settled.
    earlier_chats: Vec<FuzzChats>,
    publications: Publications,
}

impl Simulation {
    async fn start(directory: &std::path::Path) -> Self {
        let clock = Clock::manual(2_000_000);
        let settings = Settings {
            rules: permissions::rules(),
            outbox: OutboxCapacity { bytes: 32_768, entries: 128 },
            rooms: 12,
            rooms_per_session: 6,
            payload_max: 1_000,
            topics_per_request: 4,
            presence: presence::PresenceSettings { linger_ms: 0, ..Default::default() },
            clock: clock.clone(),
            ..super::settings::settings()
        };
        let store = Store::open(directory, Role::Hub, clock.clone()).expect("a store");
        let hub = Hub::start(settings, Arc::new(NamedTokens(permissions::identity_of)), None, store, Revoked::new(0));
        let chats = FuzzChats::from([("general", (true, Vec::new())), ("club", (false, vec!["alice", "bob"]))]);
        let chats_to_open = chats.iter().map(|(id, access)| chat(id, access)).collect();
        hub.open_chats(chats_to_open).await.expect("chats");
        let worker = Worker::start(&hub).expect("a worker");
        let models = USERS.map(ClientModel::of);
        Self { hub, worker, clock, models, chats, earlier_chats: Vec::new(), publications: Publications::default() }
    }

    /// Runs one step. The actors may still be working after it.
    async fn step(&mut self, input: &mut Input<'_>) {
        let number = input.below(self.models.len());
        match input.below(16) {
            0..=6 => self.send_request(number, input),
            7 => self.send_bytes(number, input),
            8 => self.models[number].disconnect(input.next(), &mut self.publications),
            9 => self.connect(number, input).await,
            10 => self.publish(input).await,
            11 => self.change_chat(input).await,
            12 => self.end_sessions(number, input).await,
            13 => self.clock.advance(i64::from(input.next()) * 50),
            14 => self.settle().await,
            _ => self.models[number].is_reading ^= true,
        }
        for _ in 0..input.below(4) {
            tokio::task::yield_now().await;
        }
        self.receive(false);
    }

    fn send_request(&mut self, number: usize, input: &mut Input<'_>) {
        let tag = self.publications.next_tag();
        let model = &mut self.models[number];
        model.values.guest = model.guest();
        let requests::GeneratedRequest { event, data, effect } = requests::generate(input, &model.values, &tag);
        let has_id = input.next() & 7 != 0 || !matches!(effect, requests::RequestEffect::None);
        let room = if let requests::RequestEffect::Publish(room) = &effect { room.clone() } else { String::new() };
        model.ask(event, &data, effect, has_id, &mut self.publications);
        let members =
            self.models.iter().enumerate().filter(|(other, model)| *other != number && model.is_certainly_in(&room));
        let expected = members.map(|(_, model)| model.connection()).collect();
        self.publications.expect_deliveries(&tag, expected);
    }

    /// Sends arbitrary bytes, except requests that change a membership.
    fn send_bytes(&mut self, number: usize, input: &mut Input<'_>) {
        let model = &mut self.models[number];
        let Some(client) = &model.client else { return };
        let named = CLIENT[input.below(CLIENT.len())].name;
        let piece: Vec<u8> =
            input.piece().iter().map(|&byte| if b"~^".contains(&byte) { b'-' } else { byte }).collect();
        let message = match input.below(3) {
            0 => piece,
            _ if client.surface == Surface::Raw => {
                [b"{\"id\":7,\"type\":\"", named.as_bytes(), b"\",\"data\":", &piece, b"}"].concat()
            }
            _ => [b"27[\"", named.as_bytes(), b"\",", &piece, b"]"].concat(),
        };
        let Some(inbound) = in_process::decode(client.surface, &message) else { return };
        if let Inbound::Request(request) = &inbound
            && requests::MEMBERSHIP.contains(&&*request.event)
        {
            return;
        }
        model.send(inbound);
    }

    async fn connect(&mut self, number: usize, input: &mut Input<'_>) {
        let Self { models, worker, publications, .. } = self;
        models[number].disconnect(input.next(), publications);
        models[number].connect(worker, input, publications).await;
        // The first event reports whether the hub recovered an earlier session.
        self.receive(true);
    }

    /// Publishes as a backend, which the topic rules do not restrict.
    async fn publish(&mut self, input: &mut Input<'_>) {
        let tag = self.publications.next_tag();
        let room = ROOMS[input.below(ROOMS.len())];
        let user = USERS[input.below(USERS.len())];
        let user_id = UserId::parse(user, "user").expect("a user");
        let data = Bytes::from(format!("\"{tag}\""));
        match input.below(4) {
            0 => {
                self.publications.publish(&tag, PossibleReceivers::User(user.into()), None);
                let id = input.below(3).to_string();
                let data = format!(r#"{{"id":"{id}","tag":"{tag}"}}"#);
                let id = NotificationId::parse(&id, "id").expect("an id");
                let notified = self.hub.notify(user_id, Notification { id, data: data.into() }).await;
                let (_, stored) = notified.expect("nothing is full");
                stored.await.expect("it is on the disk");
            }
            1 => {
                self.publications.publish(&tag, PossibleReceivers::User(user.into()), None);
                self.send(PublishTarget::User(user_id), data).await;
            }
            2 => {
                self.publications.publish(&tag, PossibleReceivers::Everyone, None);
                self.send(PublishTarget::Everybody, data).await;
            }
            _ => {
                let target = match room.strip_prefix("user:") {
                    Some(user) => PossibleReceivers::User(user.into()),
                    None if room == "$all" => PossibleReceivers::Everyone,
                    None => PossibleReceivers::Room(room.into()),
                };
                self.publications.publish(&tag, target, None);
                let expected =
                    self.models.iter().filter(|model| model.is_certainly_in(room)).map(ClientModel::connection);
                self.publications.expect_deliveries(&tag, expected.collect());
                self.publications.accepted(&tag);
                self.send(PublishTarget::Room(RoomName::parse(room, "room").expect("a room")), data).await;
            }
        }
    }

    async fn send(&self, target: PublishTarget, data: Bytes) {
        self.hub.publish(target, EventName::of_hub("pushed"), data).await.expect("nothing is full");
    }

    async fn change_chat(&mut self, input: &mut Input<'_>) {
        let id = CHATS[input.below(CHATS.len())];
        self.earlier_chats.push(self.chats.clone());
        let mut bits = input.next();
        if bits & 1 == 1 {
            self.hub.delete_chat(ChatId::parse(id, "id").expect("a chat")).await.expect("a store");
            self.chats.remove(id);
        } else {
            let mut participants = USERS.to_vec();
            participants.retain(|_| {
                bits >>= 1;
                bits & 1 == 1
            });
            let access = (bits & 0x18 == 0x18, participants);
            self.hub.put_chat(chat(id, &access)).await.expect("a store");
            self.chats.insert(id, access);
        }
        for model in &mut self.models {
            model.clear_certainty(&mut self.publications);
        }
    }

    /// Kicks a user, or revokes its tokens.
    async fn end_sessions(&mut self, number: usize, input: &mut Input<'_>) {
        let model = &mut self.models[number];
        let user = UserId::parse(model.user, "user").expect("a user");
        model.end_by_hub(&mut self.publications);
        if input.next() & 1 == 1 {
            self.hub.disconnect(&user).await.expect("nothing is full");
        } else {
            let now = self.clock.now_ms();
            model.revoked_before = now + 1;
            self.hub.revoke(&Revocation::of_user(&user, now + 1, now)).await;
        }
    }

    /// Reads the events of all clients; of clients that do not read only with `all`.
    fn receive(&mut self, all: bool) {
        let chats: Vec<&FuzzChats> = self.earlier_chats.iter().chain([&self.chats]).collect();
        for model in &mut self.models {
            if all || model.is_reading {
                model.receive_all(&chats, &mut self.publications);
            }
        }
        assert_eq!(self.hub.find_dead(), None, "an actor died");
    }

    /// Waits until every request has its reply and every publication is delivered. Then nothing is uncertain.
    async fn settle(&mut self) {
        self.wait_until("every request has its reply", |model| model.has_no_pending()).await;
        // Every client receives the barrier, after all earlier publications.
        for round in 0..2 {
            let barrier = self.publications.next_barrier();
            self.send(PublishTarget::Everybody, Bytes::from(format!("\"{barrier}\""))).await;
            self.wait_until("every client has the barrier", |model| model.has_received_barrier(&barrier)).await;
            if round == 0 {
                // The second round waits for reactions of sessions, such as leaves.
                self.wait_until("every request has its reply", |model| model.has_no_pending()).await;
            }
        }
        self.earlier_chats.clear();
        for model in &mut self.models {
            model.settle_model(&self.chats);
        }
        self.publications.check_deliveries();
    }

    async fn wait_until(&mut self, condition: &str, is_met: impl Fn(&ClientModel) -> bool) {
        let started = Instant::now();
        for turn in 0.. {
            self.receive(true);
            if self.models.iter().all(|model| model.client.is_none() || is_met(model)) {
                return;
            }
            assert!(started.elapsed() < DEADLINE, "timeout: {condition}: {:?}", self.models);
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
    Chat { public: *public, ..chat }.with_participants(participants).expect("narrow_token participants")
}
