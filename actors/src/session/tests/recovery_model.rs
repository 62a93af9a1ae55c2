//! A session on `/` against a model, in random sequences of joins, leaves, publications, pending replies, cuts,
//! recoveries and kicks: its client gets exactly the publications of its rooms, in order, each once, or is notified.

use bytes::Bytes;

use super::publication_order::{open_with, start_hub_with};
use super::*;
use crate::connection::ReplySlot;
use crate::model::ids::RecoveryToken;
use crate::publication::Offset;
use crate::session::RecoveryRequest;

/// `recovery.queue` in these tests.
const QUEUE: usize = 12;

/// The rooms that the client is always in.
const ALWAYS: [&str; 2] = ["everybody", "own"];

/// The rooms that the client may join.
const OPTIONAL: [&str; 2] = ["a", "b"];

/// A repeatable random number below `most` (xorshift).
fn below(random: &mut u64, most: usize) -> usize {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random % most as u64) as usize
}

/// The client's view.
#[derive(Default)]
struct Model {
    /// The optional rooms that it is in, each with the length of `log` at the join.
    joined: Vec<(&'static str, usize)>,
    /// The publications of its rooms since its session began that it receives.
    expected: Vec<u32>,
    /// How many of them the client has.
    received: usize,
    /// The publications of its rooms since its session began, with its own ones: the room, and how many of `expected`
    /// there are with it.
    log: Vec<(&'static str, usize)>,
    /// The lengths of `expected` and `log` at the cut.
    cut_at: (usize, usize),
    last: Option<Offset>,
    /// The record of its session is deleted.
    is_kicked: bool,
}

impl Model {
    /// The client reads these lines.
    fn read(&mut self, lines: &[String], context: &str) {
        for line in lines {
            let Some((event, number)) = line.split_once(" @") else { continue };
            let id: u32 = event.strip_prefix("news ").unwrap().parse().unwrap();
            let next = self.expected.get(self.received);
            assert_eq!(Some(&id), next, "{context}: after {} of {:?}", self.received, self.expected);
            self.received += 1;
            self.last = Some(Offset::of(number.parse().unwrap()));
        }
    }

    fn is_in(&self, name: &str) -> bool {
        ALWAYS.contains(&name) || self.joined.iter().any(|(joined, _)| *joined == name)
    }

    /// The publications of the room `name` since `joined_at` that the client may have missed, its own ones included.
    fn missed_in(&self, name: &str, joined_at: usize) -> usize {
        let since = match self.received {
            // It has all that was for it before the cut.
            received if received == self.cut_at.0 => self.cut_at.1,
            0 => 0,
            received => self.log.partition_point(|(_, known)| *known < received) + 1,
        };
        self.log[since.max(joined_at)..].iter().filter(|(room, _)| *room == name).count()
    }

    /// Whether the hub has kept all that the client misses.
    fn is_kept(&self) -> bool {
        let rooms = ALWAYS.map(|name| (name, 0));
        let is_within = rooms.iter().chain(&self.joined).all(|&(name, at)| self.missed_in(name, at) <= QUEUE);
        !self.is_kicked && is_within && self.expected.len() - self.received <= QUEUE
    }

    /// The client is told that its session is over.
    fn restart(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }
}

struct Run {
    hub: TestHub,
    random: u64,
    model: Model,
    /// `None` while the connection is cut.
    client: Option<TestClient>,
    pid: RecoveryToken,
    /// Replies that hold back a room.
    pending: Vec<ReplySlot>,
    published: u32,
    /// Recoveries with missed publications, and recoveries that failed.
    outcomes: (u32, u32),
}

impl Run {
    fn room(name: &str) -> RoomName {
        match name {
            "everybody" => RoomName::everybody(),
            "own" => RoomName::of_user(&UserId::parse("alice", "user").unwrap()),
            name => RoomName::parse(name, "room").unwrap(),
        }
    }

    /// Somebody publishes, or the client itself: then it does not receive the publication.
    async fn publish(&mut self) {
        let name = ["everybody", "own", "a", "b", "c"][below(&mut self.random, 5)];
        let is_member = self.model.is_in(name);
        let is_own = is_member && self.client.is_some() && below(&mut self.random, 4) == 0;
        let sender = self.client.as_ref().filter(|_| is_own).map(|client| client.handle.sender());
        self.published += 1;
        let data = Bytes::from(self.published.to_string());
        let event = Event { name: EventName::of_hub("news"), topic: None, data, timestamp: 0, offset: None };
        let published = self.hub.inner.rooms().publish(Self::room(name), event, sender).unwrap();
        published.await.unwrap().unwrap();
        if is_member {
            self.model.expected.extend((!is_own).then_some(self.published));
            self.model.log.push((name, self.model.expected.len()));
        }
    }

    /// Joins or leaves a room, and reads until the reply.
    async fn toggle(&mut self, context: &str) {
        let Some(client) = &self.client else { return };
        let name = OPTIONAL[below(&mut self.random, OPTIONAL.len())];
        let is_member = self.model.is_in(name);
        let event = if is_member { "room:leave" } else { "room:join" };
        // The reply follows the pending ones.
        self.pending.drain(..).for_each(|slot| client.handle.fulfil(slot, None));
        client.ask(event, &format!(r#"{{"room":"{name}"}}"#), None).await;
        let ack = format!("{event}:ack");
        let lines = client.receive_until(|line| line.starts_with(&ack)).await;
        self.model.read(&lines, context);
        match is_member {
            true => self.model.joined.retain(|(joined, _)| *joined != name),
            false => self.model.joined.push((name, self.model.log.len())),
        }
    }

    /// A reply holds back one room of the client.
    fn hold(&mut self) {
        let Some(client) = &self.client else { return };
        let name = ["everybody", "own", "a", "b"][below(&mut self.random, 4)];
        let slot = client.handle.reserve(0);
        client.handle.defer([Self::room(name)], slot);
        self.pending.push(slot);
    }

    /// The client reads what is written; all of it with `is_complete`.
    async fn read(&mut self, is_complete: bool, context: &str) {
        let Some(client) = &self.client else { return };
        self.hub.inner.rooms().flush().await;
        if is_complete {
            self.pending.drain(..).for_each(|slot| client.handle.fulfil(slot, None));
        }
        self.model.read(&client.take(), context);
    }

    /// The client reads some of what is written, and the rest is lost with the connection.
    async fn cut(&mut self, context: &str) {
        let Some(client) = self.client.take() else { return };
        self.hub.inner.rooms().flush().await;
        let mut lines = client.take();
        lines.truncate(below(&mut self.random, lines.len() + 1));
        self.model.read(&lines, context);
        self.pending.clear();
        self.model.cut_at = (self.model.expected.len(), self.model.log.len());
        drop(client);
        wait_until(|| self.hub.stats().sessions.get() == 0).await;
    }

    async fn recover(&mut self, context: &str) {
        if self.client.is_some() {
            return;
        }
        let request = RecoveryRequest { pid: self.pid.clone(), last: self.model.last };
        let session = if below(&mut self.random, 3) == 0 && self.model.is_kept() {
            // An earlier attempt gets the session first, and its client reads nothing.
            let earlier = async {
                let client = TestClient::run(open_with(&self.hub, Some(request.clone())).await);
                assert_eq!(client.closed().await, Close::Recovered);
            };
            tokio::join!(earlier, open_with(&self.hub, Some(request.clone()))).1
        } else {
            open_with(&self.hub, Some(request)).await
        };
        assert_eq!(session.is_recovered(), self.model.is_kept(), "{context}: {}", self.model.expected.len());
        if session.is_recovered() {
            self.outcomes.0 += u32::from(self.model.received < self.model.expected.len());
        } else {
            self.outcomes.1 += 1;
            self.model.restart();
        }
        self.pid = session.pid().cloned().unwrap();
        self.client = Some(TestClient::run(session));
        self.hub.clock().advance(1);
    }

    async fn kick(&mut self) {
        let alice = UserId::parse("alice", "user").unwrap();
        self.hub.inner.disconnect(&alice).await.unwrap();
        if let Some(client) = self.client.take() {
            client.closed().await;
            self.pending.clear();
            drop(client);
            wait_until(|| self.hub.stats().sessions.get() == 0).await;
        }
        self.model.is_kicked = true;
    }

    async fn step(&mut self, context: &str) {
        match below(&mut self.random, 40) {
            0..=16 => self.publish().await,
            17..=21 => self.toggle(context).await,
            22..=23 => self.hold(),
            24..=28 => self.read(false, context).await,
            29..=33 => self.cut(context).await,
            34..=38 => self.recover(context).await,
            _ => self.kick().await,
        }
    }
}

#[actix::test]
async fn a_client_gets_exactly_the_publications_of_its_rooms_or_is_notified() {
    let mut outcomes = (0, 0);
    for seed in 1..=16 {
        let hub = start_hub_with(|settings| {
            settings.recovery.queue = QUEUE;
            settings.rooms_per_session = 10;
        });
        // A recovered session began earlier than its connection.
        hub.clock().advance(1);
        let session = open_with(&hub, None).await;
        let pid = session.pid().cloned().unwrap();
        let client = Some(TestClient::run(session));
        hub.clock().advance(1);
        let (model, pending) = (Model::default(), Vec::new());
        let mut run = Run { hub, random: seed, model, client, pid, pending, published: 0, outcomes: (0, 0) };
        for step in 0..150 {
            run.step(&format!("seed {seed}, step {step}")).await;
        }
        let context = format!("the end of seed {seed}");
        run.recover(&context).await;
        run.read(true, &context).await;
        assert_eq!(run.model.received, run.model.expected.len(), "{context}");
        // Nothing is kept without a session that may recover it.
        run.kick().await;
        run.hub.inner.rooms().flush().await;
        let stats = run.hub.stats();
        wait_until(|| stats.buffered_messages.get() == 0 && stats.recovery_bytes.get() == 0).await;
        outcomes = (outcomes.0 + run.outcomes.0, outcomes.1 + run.outcomes.1);
    }
    assert!(outcomes.0 > 50 && outcomes.1 > 20, "too few recoveries: {outcomes:?}");
}

#[actix::test]
async fn an_offset_that_was_never_given_out_skips_nothing_when_it_is_named_again() {
    let hub = start_hub_with(|_| {});
    hub.clock().advance(1);
    for last in [Offset::of(1), Offset::of(u64::MAX), Offset { number: u64::MAX, notice: Some(1) }] {
        let session = open_with(&hub, None).await;
        let mut pid = session.pid().cloned().unwrap();
        drop(TestClient::run(session));
        wait_until(|| hub.stats().sessions.get() == 0).await;
        for is_recovered in [false, true] {
            hub.publish(PublishTarget::Everybody, "news").await;
            hub.clock().advance(1);
            let session = open_with(&hub, Some(RecoveryRequest { pid, last: Some(last) })).await;
            assert_eq!(session.is_recovered(), is_recovered, "{last:?}");
            pid = session.pid().cloned().unwrap();
            let client = TestClient::run(session);
            hub.inner.rooms().flush().await;
            let news = client.take().iter().filter(|line| line.starts_with("news")).count();
            assert_eq!(news, usize::from(is_recovered), "{last:?}: what it missed since it named the offset");
            drop(client);
            wait_until(|| hub.stats().sessions.get() == 0).await;
        }
        hub.inner.disconnect(&UserId::parse("alice", "user").unwrap()).await.unwrap();
    }
}
