//! The actors of Hubbub: sessions, rooms, presence, limits. This crate knows no HTTP, no socket and no token format.
//!
//! # Vocabulary
//!
//! | word | meaning |
//! |---|---|
//! | connection | one WebSocket, or one Engine.IO session by polling; on Socket.IO it carries one session per namespace |
//! | session | one client in one namespace, or one client on `/ws`; an actor |
//! | session handle | the output side of a session, shared by its actor, its fan-out and its transport |
//! | surface | the protocol of a session: `/ws`, `/` or `/chat` |
//! | room | a named set of members; a topic is a room that clients join by name |
//! | member | a session in a room. Exception: a `MembersPage` lists users |
//! | room actor | the actor that orders the publications of all rooms: [`rooms::actor::RoomActor`] |
//! | fan-out | the actor that delivers publications to the members on one worker |
//! | worker | one thread with its event loop, sessions and fan-out |
//! | slot | the place of a session in the table of its worker: [`connection::SlotId`]; a reply slot and a slot of a limit are others |
//! | publication | an event on its way to the members of a room |
//! | encoder | turns events and replies into the bytes of one wire format |
//! | outbox | the frames that a session has not written yet; a frame is the bytes of one message in one wire format |
//! | reply slot | the reserved place of a reply, which keeps replies in the order of the requests |
//! | number | grows with each publication of the hub: [`publication::Publication::number`]; the "offset" of Socket.IO on `/` |
//! | offset, epoch | the position of a publication in a topic's history, and the name of that numbering |
//! | history | the publications of a topic that the hub keeps |
//! | publication log | the publications that sessions may recover: [`rooms::publication_log`]. The lines of the process are another log |
//! | watched room | a room with a session that may be recovered, or with the record of a suspended one |
//! | suspended session | a session without a connection that its client can still recover |
//! | record | what the hub keeps of a suspended session: its identity, and its rooms with a cursor each |
//! | cursor | the number of the last publication of a room before those that a session may have missed |
//! | recovery token | the secret by which a client on `/chat` or `/ws` recovers its session |
//! | private id | the secret by which a client on `/` recovers its session: the `pid` of Socket.IO |
//! | guest | a session on `/` that started without a token |
//! | presence | which users are online, and with which status |
//! | listener | a session that receives presence events |
//! | document | the written protocol of one kind of client: raw, push, community, chat or Laravel; a family is the events of one file of `events/`: of a document, or of a part of one; an event of no document goes to raw or chat |
//! | fault | an error with a stable code; the edge chooses the status or the close code |
//! | refusal | a request or a connection that the hub rejects; one line of the log |
//! | drain | the ordered end of all sessions before the hub stops |
//!
//! # Owners
//!
//! | owner | instances | owns |
//! |---|---|---|
//! | [`session::Session`] | one per session, on the worker that accepted its connection | the identity, the rooms and the rate limits of a session |
//! | [`rooms::actor::RoomActor`] | one, on the first worker | members, order and history of all rooms, and the log |
//! | [`rooms::fanout::Fanout`] | one per worker | the members of every room on that worker |
//! | [`connection::sweeper::HeartbeatSweeper`] | one per worker | heartbeats and token expiries of the worker's sessions |
//! | [`presence::Presence`] | one | online users, and presence changes that are not announced yet |
//! | [`limits::RateLimit`] | one | limits that connections share: by address, API key and user |
//! | [`monitor::Monitor`] | one | recent connection events, and their metrics |
//! | [`store::Store`] | its own threads | accounts, sign-ins, chats, messages, notifications; over a planned restart also histories and suspended sessions |
//! | [`notifications`] | counters and a table | notifications that are being written to the disk |
//! | [`registry::Registry`] | a table | the number of connections, and the live sessions of each user |
//! | [`chats::writer::ChatWriter`] | one | changes of chats, one at a time |
//! | [`chats::Chats`] | a table | which users may join which chat; the room actor has the members, in [`rooms::chat_members`] |
//! | [`recovery::Recovery`] | one | recovery tokens and the suspended sessions of each |
//! | [`revocations::Revoked`] | a table | revoked tokens |
//! | [`idempotency::Idempotency`] | a table for each kind of key | results of requests that carry an idempotency key or a `client_id` |
//! | [`connection::Connection`] | one per physical connection, on its worker's thread | its outbox and its heartbeat |
//! | [`connection::SessionHandle`] | one per session, on its worker's thread | reply slots, expiry |
//!
//! Sessions ask the room actor, presence, recovery and limits by message. These ask fan-outs, except for limits. Nothing
//! asks a session: the hub reaches it through its handle, and sends it a message when its access to a chat changes.
//! HTTP handlers enter through [`hub::Hub`], by the same messages.
//!
//! # Guarantees
//!
//! * **Order.** The room actor gives the hub one order. Every member receives the publications of its rooms in that order.
//! * **Exactly once.** A member receives every publication that the room actor accepts between the reply to its join and the
//!   reply to its leave, each exactly once. The reply to the join precedes the first publication.
//! * **History.** A raw client that joins a topic with `since` receives all later publications, once, in order, between the
//!   reply to its join and live publications. If the [history](rooms::history) is incomplete, the reply says so.
//! * **Notifications** are on the disk before the hub accepts them, and reach each session of their user once: see
//!   [`notifications`].
//! * **Replies** leave in the order of the requests. Replies of the [application](application::Application) leave when they
//!   arrive.
//! * **Chat messages** and receipts are on the disk before they are acknowledged. Delivery does not wait for the
//!   disk. A recovered session receives the messages that it missed: see [`recovery`].
//! * **Recovery on `/`.** A client that names the number of its last event receives all missed events, once, in order,
//!   before live events. If the hub cannot provide them, it says so. This holds over a planned restart.
//! * **No accepted publication is dropped.** While a worker lags too far behind the order, the hub refuses publications to its
//!   members with [`model::fault::Code::Overloaded`]. Exception: a client with a full outbox is disconnected,
//!   and its unwritten messages are counted as dropped.
//!
//! # Queues
//!
//! | queue | bound | when full | metric |
//! |---|---|---|---|
//! | [`runtime::mailbox::Mailbox`] of each central actor | `limits.mailbox` messages | refused, `OVERLOADED` | `hubbub_mailbox_depth{actor}`, `hubbub_overloads_total` |
//! | what waits for each worker, in `rooms::fanout::mailboxes` | `limits.lag` publications and joins, `limits.lag_bytes` | publications to its members and joins of topics are refused, `OVERLOADED` | `hubbub_mailbox_depth{actor="lag-N"}`, `hubbub_lag_bytes` |
//! | [`connection::outbox::Outbox`] of each connection | `limits.outbox_bytes` and one entry, `limits.outbox_frames` | the connection is closed, 1008 | `hubbub_sessions_closed_total{reason="slow_consumer"}` |
//! | rooms made by clients, in `rooms::counts` | `limits.rooms`; `limits.rooms_per_user` for each user | refused, `LIMIT_REACHED` | `hubbub_rooms` |
//! | [`revocations::Revoked`] | [`revocations::REVOCATIONS_MAX`] requested by backends | evicts one older than every valid token, else refused, `OVERLOADED` | |
//! | [`presence::pending::PendingChanges`] | [`presence::pending::WAITING_MAX`] users, [`presence::pending::WAIT_MAX_MS`] | the change is not announced | `hubbub_presence_changes_total{outcome="suppressed"}` |
//! | [`monitor::event_log::EventLog`] | [`monitor::event_log::EVENTS_MAX`] events | evicts the oldest | |
//! | observations of the monitor | its mailbox, and [`monitor::sampling`] for anonymous clients | not recorded | `hubbub_observations_lost_total{reason}` |
//! | writer and readers of [`store::Store`] | [`store::WRITES_MAX`], [`store::READS_MAX`] jobs | refused, `OVERLOADED` | `hubbub_mailbox_depth{actor}` |
//! | notifications | the store's writes; [`store::KEPT_MAX`] unread and as many read ones of each user on the disk | refused, `OVERLOADED`; on the disk the oldest is deleted | `hubbub_notifications_pruned_total` |
//! | messages of each chat on the disk | [`store::MESSAGES_KEPT_MAX`] | the oldest is deleted | |
//! | [members](rooms::chat_members) and typists of a chat | its sessions; announcements are paced | announced later, together; receipts go to the author alone | `hubbub_chat_receipts_narrowed_total` |
//! | suspended sessions | [`recovery::SUSPENDED_MAX`], [`recovery::tokens::SUSPENDED_OF_USER_MAX`] for each user, [`recovery::tokens::SUSPENDED_ROOMS_MAX`] rooms, for `recovery.window_secs` | evicts the longest suspended | `hubbub_sessions_evicted_total` |
//! | attempts of one client that wait for its session, in [`recovery`] | 8 | refuses the oldest: the client continues as a new session | |
//! | the [log](rooms::publication_log) for sessions that may recover | of each room `recovery.queue` publications and half of `limits.outbox_bytes`; `recovery.bytes` in all; `recovery.window_secs` | evicts the oldest of the room, then the oldest of all; a session on `/` that lacks one is not recovered, a session with a token learns the number | `hubbub_buffered_messages`, `hubbub_recovery_bytes`, `hubbub_recovery_evicted_total` |
//! | [`connection::noted`]: notifications of a session | [`connection::noted::NOTED_MAX`] | later ones are delivered at the next connect | |
//! | [`chats::Chats`] | [`chats::CHATS_MAX`], [`store::PARTICIPANTS_MAX`], [`chats::PARTICIPANTS_TOTAL_MAX`] | refused, `LIMIT_REACHED` | |
//! | Socket.IO requests, one mailbox per worker at the edge | `limits.mailbox` messages | refused, 503 | `hubbub_mailbox_depth{actor="engines-N"}` |
//! | results of publishes with a `client_id` | [`hub::CLIENT_IDS`], for each user and in all | evicts the user's oldest, then the oldest of all | `hubbub_client_ids_forgotten_total` |
//! | histories | the rule of each topic; `limits.history_bytes` | evicts the oldest publication; then kept positions of empty rooms, then the whole history unused for longest | `hubbub_history_bytes`, `hubbub_histories_evicted_total` |
//! | reply slots of each session | [`connection::PENDING_REPLIES_MAX`]; one for a large reply; none while its outbox is half full | its transport stops reading | |
//! | requests of a session to the application | [`connection::UNORDERED_REPLIES_MAX`] | refused, `OVERLOADED` | `hubbub_overloads_total` |
//!
//! # Layout
//!
//! Imports flow down this list:
//!
//! * `testkit`, for unit tests only: a hub with one worker, and clients that read text.
//! * [`shutdown`]: the order in which the hub stops.
//! * [`session`], [`worker`]: the session actor, and the shared parts of a worker.
//! * [`hub`]: the facade, and the start of all actors.
//! * [`chats`], [`recovery`], [`presence`], [`rooms`]: the central actors.
//! * [`monitor`], [`limits`], [`idempotency`], [`registry`]: events, limits, stored results, lookup of sessions.
//! * [`notifications`], [`revocations`]: tables over the store. [`connection`]: the output side of a session.
//! * [`store`], [`publication`], [`refusal_log`]: the disk; encoded events; the log of refusals.
//! * [`runtime::counters`], [`refusal_log::counts`]: the counters of the hub, also of each event and each kind of refusal.
//! * [`application`], [`events`]: requests to the application; the event table and its wire structs.
//! * [`shutdown::schedule`], [`facts`], [`runtime`], [`model`]: the rate of a drain; domain facts; mailboxes and clocks; the
//!   domain.

pub mod application;
pub mod chats;
pub mod connection;
pub mod events;
pub mod facts;
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
#[cfg(test)]
mod testkit;
pub mod worker;
