//! The actors of Hubbub: sessions, rooms, presence, limits. This crate knows no HTTP, no socket and no token format.
//!
//! # Who owns what
//!
//! | owner | where | owns |
//! |---|---|---|
//! | [`session::Session`] | one a connection, on Socket.IO one a namespace of it, on the worker that accepted it | who the client is, the rooms it joined, its own limits |
//! | [`rooms::shard::RoomShard`] | one a worker; a room belongs to one, by the hash of its name | who is in, in which order messages go, what is kept of them |
//! | [`rooms::fanout::Fanout`] | one a worker | that worker's members of every room |
//! | [`connection::sweeper::HeartbeatSweeper`] | one a worker | the heartbeats and expiries of that worker's sessions |
//! | [`presence::Presence`] | one | who is online, and what others are still to be told of it |
//! | [`limits::RateLimit`] | one | what connections share: limits by address, by API key and by user |
//! | [`monitor::Monitor`] | one | what happened to connections lately, and their figures |
//! | [`store::Store`] | threads of its own | what must not be forgotten: accounts, sign-ins, chats, messages, notifications; over a planned restart histories and sessions that may come back |
//! | [`notifications`] | numbers and a table | which notifications are on their way to the disk; a user's are numbered by the shard of the user's room |
//! | [`registry::Registry`] | a table | how many connections there may be, and where each user's sessions are |
//! | [`chats::writer::ChatWriter`] | one | changes of chats, one at a time |
//! | rooms that clients made, by `rooms::counts` | `limits.rooms`; `limits.rooms_per_user` of a user | refused, `LIMIT_REACHED` | `hubbub_rooms` |
//! | [`chats::Chats`] | a table | who may join which chat; who is in one is its shard's, in a [`chats::members`] |
//! | [`recovery::Recovery`] | one | which token recovers which session that was cut off |
//! | [`revocations::Revoked`] | a table | which tokens no longer hold |
//! | [`idempotency::Idempotency`] | a table for each kind of name | what became of requests that their senders named |
//! | [`connection::SessionHandle`] | one a session, never leaves its worker's thread | what waits to be written, what is owed, when it ends; a connection of several sessions has one too, into which theirs empty |
//!
//! A session asks shards, presence and limits by message; shards and presence ask fan-outs; nobody asks a session: it is reached by
//! what is put on its seat, and told when a chat it is in may be closed to it. HTTP handlers enter through [`hub::Hub`], by the same messages.
//!
//! # What is guaranteed
//!
//! * **Order.** A room has one order, its shard's. Every member sees its messages in that order.
//! * **Exactly once.** A member gets every message that its shard accepted between the answer to its join and the answer
//!   to its leave, once. The answer to a join comes before the first of them.
//! * **What was missed** in a room that keeps [history](rooms::history) comes to a raw client that says since when: all of
//!   it, once, in its order, between the answer to its join and what is live; or the answer says that it does not.
//! * **Notifications** that were answered as accepted are on the disk, and reach each session of their user once: see
//!   [`notifications`].
//! * **Answers** leave in the order of the requests, but for those of the [application](application::Application),
//!   which leave when they come.
//! * **Messages of chats** that were acknowledged are on the disk; so are receipts. Those in the chat do not wait for
//!   that. Who was cut off and comes back gets what was said meanwhile: see [`recovery`].
//! * **What was missed over a cut** comes to a client on `/` that says what it got last: all of it, once, in its order,
//!   before what is live; or it is told that it does not. So it does over a planned restart.
//! * **Nothing accepted is dropped.** A fan-out that is full makes its shard wait; the shard's mailbox then fills, and
//!   publishers are refused with [`model::fault::Code::Overloaded`]. The one exception is a client that does not read: when its
//!   outbox is full it is closed, and what it had not read is given up and counted.
//!
//! # Queues
//!
//! | queue | bound | when full | metric |
//! |---|---|---|---|
//! | [`runtime::mailbox::Mailbox`] of each central actor | `limits.mailbox` messages | refused, `OVERLOADED`; a shard waits for a fan-out | `hubbub_mailbox_depth{actor}`, `hubbub_overloads_total` |
//! | [`connection::outbox::Outbox`] of each session | `limits.outbox_bytes` and one message, `limits.outbox_frames` | session closed, 1008 | `hubbub_sessions_closed_total{reason="slow_consumer"}` |
//! | [`revocations::Revoked`] | [`revocations::REVOCATIONS_MAX`] from outside | one older than any token of the hub gives way, else refused, `OVERLOADED` | |
//! | [`presence::pending::PendingChanges`] | [`presence::pending::WAITING_MAX`] users, [`presence::pending::PATIENCE_MS`] | nobody is told of the change | `hubbub_presence_changes_total{outcome="suppressed"}` |
//! | [`monitor::event_log::EventLog`] | [`monitor::event_log::EVENTS_MAX`] events | the oldest goes | |
//! | what is told the monitor | its mailbox, and [`monitor::sampling`] of what strangers do | not remembered | `hubbub_observations_lost_total{reason}` |
//! | [`store::Store`]'s writer and readers | [`store::WRITES_MAX`], [`store::READS_MAX`] jobs | refused, `OVERLOADED` | `hubbub_mailbox_depth{actor}` |
//! | notifications on their way to the disk | as the store's writes, and [`store::KEPT_MAX`] unread and read ones of each user on it | refused, `OVERLOADED`; on the disk the oldest goes | `hubbub_notifications_pruned_total` |
//! | messages of each chat on the disk | [`store::MESSAGES_KEPT_MAX`] | the oldest goes | |
//! | who is in a [chat](chats::members), and types there | as the sessions in it; what is told of it is paced | told later, all at once; of receipts, the author alone | `hubbub_chat_receipts_narrowed_total` |
//! | sessions that were cut off | [`recovery::SUSPENDED_MAX`], [`recovery::tokens::SUSPENDED_OF_USER_MAX`] of a user, for `recovery.window_secs` | the one cut off first goes | `hubbub_sessions_evicted_total` |
//! | what is [`connection::kept`] for each of those | `recovery.queue` messages, half of `limits.outbox_bytes` | the oldest goes, and its client is told how many | `hubbub_parked_messages` |
//! | the [`connection::tail`] of each session on `/` that says what it got | `recovery.queue` deliveries, half of `limits.outbox_bytes` | the oldest goes; who lacks it is told that it is not recovered | `hubbub_sessions_not_recovered_total` |
//! | what is [`connection::retained`] for all of them | `recovery.bytes`, its share for each worker | those who were cut off first give theirs up, then those who are there | `hubbub_recovery_bytes`, `hubbub_sessions_evicted_total` |
//! | notifications that a session has [`connection::noted`] | [`connection::noted::NOTED_MAX`] | what was missed comes at the next connect | |
//! | [`chats::Chats`] | [`chats::CHATS_MAX`], [`store::PARTICIPANTS_MAX`], [`chats::PARTICIPANTS_TOTAL_MAX`] | refused, `LIMIT_REACHED` | |
//! | the edge's mailbox for Socket.IO requests, one a worker | `limits.mailbox` messages | refused, 503 | `hubbub_mailbox_depth{actor="engines-N"}` |
//! | what is remembered of publishes with a `client_id` | [`hub::CLIENT_IDS`], of a user and in all | the same user's oldest answer goes, then the oldest of all | `hubbub_client_ids_forgotten_total` |
//! | what rooms keep for those who missed it | the rule of each; `limits.history_bytes`, its share for each shard | the oldest message goes; the history untouched for longest goes whole | `hubbub_history_bytes`, `hubbub_histories_evicted_total` |
//! | promised answers of each session | [`connection::PENDING_REPLIES_MAX`]; one that may be large; none while its outbox is half full | its transport stops reading | |
//! | its questions to the application | [`connection::UNORDERED_REPLIES_MAX`] | refused, `OVERLOADED` | `hubbub_overloads_total` |
//!
//! # Layout
//!
//! Imports go one way: [`hub`] and [`worker`] → [`session`], [`application`], [`chats`], [`rooms`], [`presence`], [`limits`], [`monitor`],
//! [`recovery`], [`registry`], [`revocations`], [`idempotency`] → [`notifications`] → [`store`], [`connection::sweeper`], [`connection`], [`connection::kept`], [`connection::handed`], [`connection::tail`], [`connection::copies`], [`connection::retained`], [`connection::noted`], [`runtime::hash`], [`connection::outbox`], [`publication`], [`runtime::mailbox`], [`runtime::work_queue`] → [`shutdown::schedule`], [`events`],
//! [`model::fault`], [`model::identity`], [`model::client`], [`model::ids`], [`runtime::clock`], [`runtime::latency`], [`runtime::histogram`].

pub mod application;
pub mod chats;
pub mod connection;
pub mod events;
pub mod hub;
pub mod idempotency;
pub mod limits;
pub mod model;
pub mod monitor;
pub mod notifications;
pub mod presence;
pub mod publication;
pub mod recovery;
pub mod refusal_log;
pub mod registry;
pub mod revocations;
pub mod rooms;
pub mod runtime;
pub mod session;
pub mod shutdown;
pub mod store;
pub mod worker;
