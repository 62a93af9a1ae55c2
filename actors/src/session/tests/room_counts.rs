//! The number of rooms is exact after any sequence of joins, leaves and disconnects.

use super::*;
use crate::recovery::messages::DropRecords;
use crate::rooms::publication_log::RoomCursor;
use crate::rooms::{Entering, SuspendSession, SuspendedRoom};

const ROOMS: usize = 10;
const ROOMS_OF_USER: usize = 4;
const USERS: usize = 4;

/// A repeatable random sequence (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }

    /// A room that other clients use too, or a chat.
    fn room(&mut self) -> String {
        match self.below(20) {
            chat @ 0..4 => format!("chat:c{chat}"),
            _ => format!("r{}", self.below(14)),
        }
    }
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("u{number}"), "user").unwrap()
}

struct Clients {
    hub: TestHub,
    second: Worker,
    clients: Vec<TestClient>,
    random: Random,
}

impl Clients {
    async fn of(seed: u64) -> Self {
        let hub = TestHub::with(GRACE_MS, None, |settings| {
            settings.workers = 2;
            settings.mailbox = 4_096;
            settings.outbox = OutboxCapacity { bytes: 1 << 20, entries: 10_000 };
            (settings.rooms, settings.rooms_per_user, settings.rooms_per_session) = (ROOMS, ROOMS_OF_USER, 6);
            settings.messages_per_minute = MessagesPerMinute::default();
        });
        let second = Worker::start(&hub.inner).unwrap();
        for number in 0..4 {
            let id = ChatId::parse(&format!("c{number}"), "id").unwrap();
            let chat = Chat::new(id, String::new(), String::new(), 0).unwrap();
            hub.put_chat(Chat { public: true, ..chat }).await.unwrap();
        }
        Self { hub, second, clients: Vec::new(), random: Random(seed) }
    }

    async fn connect(&mut self) {
        let worker = [&self.hub.worker, &self.second][self.random.below(2)].clone();
        let surface = [Surface::Raw, Surface::Chat][self.random.below(2)];
        let name = format!("u{}", self.random.below(USERS));
        self.clients.push(TestHub::open_on(&worker, surface, &name).await);
    }

    async fn act(&mut self) {
        let choice = self.random.below(20);
        if self.clients.len() < 3 || choice == 0 {
            return self.connect().await;
        }
        let index = self.random.below(self.clients.len());
        let room = self.random.room();
        let data = format!(r#"{{"room":"{room}"}}"#);
        let client = &self.clients[index];
        match choice {
            1 => drop(self.clients.swap_remove(index)),
            2 => client.ask("connection:create-session", "{}", None).await,
            3..9 => client.ask("room:leave", &data, None).await,
            9..11 => {
                // Join, leave and join again before the first reply.
                client.ask("room:join", &data, None).await;
                client.ask("room:leave", &data, None).await;
                client.ask("room:join", &data, None).await;
            }
            _ => client.ask("room:join", &data, None).await,
        }
    }

    /// Waits until no request is pending, and checks all counts.
    async fn check(&self) {
        let is_idle = |client: &TestClient| {
            client.requests.capacity() == client.requests.max_capacity() && !client.handle.has_pending_replies()
        };
        wait_until(|| self.clients.iter().all(is_idle)).await;
        let hub = &self.hub;
        for _ in 0..3 {
            hub.rooms().flush().await;
            sleep(Duration::from_millis(1)).await;
        }
        let counts = hub.rooms().counts();
        assert!(counts.get().0 <= ROOMS && counts.most_of_a_user() <= ROOMS_OF_USER, "{counts:?}");
        assert_eq!(counts.get().0 as u64, hub.stats().rooms.get());
        self.clients.iter().for_each(|client| drop(client.take()));
        for room in hub.rooms().list(crate::rooms::PageRange { offset: 0, limit: 100 }).await.unwrap().0 {
            let target = PublishTarget::Room(room.room.clone());
            assert_eq!(self.hub.publish(target, "news").await, room.sessions);
            hub.rooms().flush().await;
            let received = |client: &&TestClient| client.take().contains(&"news 1".to_owned());
            let recipients = self.clients.iter().filter(received).count();
            assert_eq!(recipients, room.sessions, "all members of {} receive a publication", room.room);
        }
    }

    /// Ends all sessions, suspended ones included.
    async fn end(mut self) {
        self.clients.clear();
        let hub = self.hub.inner.clone();
        let gone = async {
            while hub.stats().sessions.get() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
            for number in 0..USERS {
                hub.recovery().post_departure(DropRecords::User(user(number)));
            }
            while hub.rooms().counts().get() != (0, 0) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(timeout(DEADLINE, gone).await.is_ok(), "{:?}", hub.rooms().counts());
        assert_eq!(hub.stats().rooms.get(), 0);
    }
}

#[actix::test]
async fn counts_never_exceed_the_limits_and_return_to_zero() {
    for seed in [0x9E37_79B9_7F4A_7C15, 0xD605_1D5D_3B5A_91C7, 0x2545_F491_4F6C_DD1D] {
        let mut clients = Clients::of(seed).await;
        for _ in 0..40 {
            for _ in 0..1 + clients.random.below(30) {
                clients.act().await;
                for _ in 0..clients.random.below(4) {
                    tokio::task::yield_now().await;
                }
            }
            clients.check().await;
        }
        clients.end().await;
    }
}

#[actix::test]
async fn a_leave_after_a_refused_join_keeps_the_membership_of_others() {
    let hub = TestHub::with(GRACE_MS, None, |settings| (settings.rooms, settings.rooms_per_session) = (1, 10));
    let (alice, bob) = (hub.client(Surface::Raw, "alice").await, hub.client(Surface::Raw, "bob").await);
    let room = |name| RoomName::parse(name, "room").unwrap();
    let (rooms, addr) = (hub.rooms(), alice.handle.addr());
    let refused = async |name| {
        let entering = Entering { identity: Arc::new(identity("alice")), connected_at: 0, addr };
        let joined = rooms.join(room(name), entering, Some(0), None).unwrap().await.unwrap();
        assert_eq!(joined.unwrap_err().limit, Some("limits.rooms"));
    };
    let ask = async |event, name: &str| {
        bob.ask(event, &format!(r#"{{"room":"{name}"}}"#), Some("1")).await;
        bob.receive::<1>().await;
    };
    ask("room:join", "x").await;
    for is_suspended in [false, true] {
        // Bob's session creates the room before Alice's session receives the refusal.
        refused("r").await;
        ask("room:leave", "x").await;
        ask("room:join", "r").await;
        let user = identity("alice").user;
        if is_suspended {
            let (sender, cursors) = tokio::sync::oneshot::channel();
            let suspended = SuspendedRoom { room: room("r"), number: 0, messages: None };
            let then = Box::new(|cursors: Vec<RoomCursor>| sender.send(cursors.len()).unwrap());
            rooms.suspend(SuspendSession {
                user,
                addr,
                rooms: vec![suspended],
                cursors: Vec::new(),
                is_draining: false,
                then,
            });
            assert_eq!(cursors.await.unwrap(), 0, "the record has no room that refused the session");
        } else {
            rooms.leave(room("r"), user, addr, true).unwrap().await.unwrap();
        }
        assert_eq!(hub.publish(PublishTarget::Room(room("r")), "news").await, 1);
        assert_eq!(bob.receive().await, ["news 1"]);
        ask("room:leave", "r").await;
        ask("room:join", "x").await;
    }
    assert_eq!(rooms.counts().get(), (1, 1));
}

#[actix::test]
async fn the_room_limit_of_one_user_leaves_rooms_for_others() {
    let hub = TestHub::with(GRACE_MS, None, |settings| {
        (settings.rooms, settings.rooms_per_user, settings.rooms_per_session) = (10, 3, 100);
    });
    let (greedy, again) = (hub.client(Surface::Raw, "greedy").await, hub.client(Surface::Raw, "greedy").await);
    let subscribe = async |client: &TestClient, topics: &str| {
        client.ask("Subscribe", &format!(r#"{{"topics":{topics}}}"#), None).await;
        let [status] = client.receive().await;
        status
    };
    subscribe(&greedy, r#"["a","b"]"#).await;
    let denied = r#"{"topic":"d","code":"LIMIT_REACHED","details":{"limit":"limits.rooms_per_user"}}"#;
    let status = subscribe(&again, r#"["c","d","a"]"#).await;
    assert!(status.contains(r#""topics":["c","a"]"#) && status.contains(&format!("[{denied}]")), "{status}");
    let bob = hub.client(Surface::Raw, "bob").await;
    assert!(subscribe(&bob, r#"["a","fresh"]"#).await.contains(r#""topics":["a","fresh"],"denied":[]"#));
    // `a` stays open for Bob, and still counts for the user that created it.
    drop(greedy);
    again.ask("room:leave", r#"{"room":"a"}"#, Some("1")).await;
    again.receive::<1>().await;
    let status = subscribe(&again, r#"["d","e"]"#).await;
    assert!(status.contains(r#""topics":["d"]"#), "{status}");
}
