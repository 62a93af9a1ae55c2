//! Suspended sessions: their connection was cut, and they may resume. The slot of such a session stays on its worker
//! and buffers deliveries. [`Recovery`] knows the session's token, or its private id (pid), and the expiry.
//!
//! [`tokens`] is the pure table, [`directory`] the actor, [`persisted`] the form on the disk over a planned restart.
//!
//! # Guarantees
//!
//! A session recovered by a token receives every message that its chats' shards accepted since the cut, each once and
//! up to `recovery.queue`: a shard moves a chat from the suspended slot to the new one between two messages. Messages
//! that were not yet written to the connection, or not yet polled, are included. A message written to a connection that
//! was already dead may be lost; `message:history` has it.
//!
//! A session recovered by its private id receives every delivery of all its rooms after the last publication
//! that its client received, each once and in order. Otherwise the client learns that the session is not recovered.
//!
//! # The life of a recovered session
//!
//! On `/`, by private id and offset (Socket.IO's connection state recovery). The offset is the
//! [`Publication::number`](crate::publication::Publication::number), not the offset in a topic's history.
//!
//! 1. If its encoder [is numbered](crate::publication::Encoder::is_numbered), [`Session::open`] gives the session a private
//!    id, and [`SessionHandle::remember`] starts its [`Tail`]. `src/socketio/recovery_clients.rs` chooses these clients.
//! 2. Once the session has a user, it posts `Issue`. The [`TokenTable`] holds the id's hash with [`By::Pid`].
//! 3. Each event has its number as its last argument. [`SessionHandle::hand_over`] adds each sent publication to the
//!    `Tail`.
//! 4. The connection is cut. [`SessionHandle::end_connection`] lets the `Tail` take later publications; they are
//!    not sent.
//! 5. The input of the actor ends, and `Session::depart` calls `Session::suspend`, which takes the session out of the counts
//!    of its rooms and posts `Suspend` to [`Recovery`]. The slot stays in all rooms, and the [`Fanout`]
//!    still delivers to it. [`Recovery`] releases the slot after `recovery.window_secs`, or earlier by a bound.
//! 6. The client reconnects with a [`RecoveryRequest`]. `RecoveryAttempt::redeem` sends `Redeem` with
//!    [`RecoveryClaim::Pid`], and gets the [`SuspendedSession`]. A session that is still live ends first.
//! 7. [`Session::open`] opens a session with the same id, and `Session::recover` replaces the suspended slot in each
//!    room by `Rooms::join` with `instead_of`. Publications that arrive now wait behind a [`ReplySlot`].
//! 8. [`Rooms`](crate::rooms::Rooms) releases the old slot and returns [`Remains::Tail`]. [`tail::lacking`] selects the
//!    publications after the client's offset. If one is missing, the session gets a new private id, keeps its session id, and
//!    leaves its rooms.
//! 9. The greeting and the missed publications fulfil the `ReplySlot`; live publications follow.
//!    [`SessionHandle::catch_up`] adds the missed ones to the new `Tail`.
//!
//! On `/chat` and `/ws`, by recovery token:
//!
//! 1. The client sends [`CreateSession`]. The session posts `Issue` with [`By::Token`], and
//!    [`SessionHandle::provide`] adds an empty [`Kept`] and a [`Handed`].
//! 2. [`SessionHandle::hand_over`] adds each `message:new` to `Handed` until it is written.
//! 3. The connection is cut. [`SessionHandle::end_connection`] (on `/ws`, [`SessionHandle::suspend`] in step 4) moves the
//!    unwritten messages from `Handed` to `Kept`.
//! 4. The actor ends: `Session::suspend` posts `Suspend` to [`Recovery`]. The slot stays in its chats only, and `Kept`
//!    takes their later messages. [`Recovery`] releases the slot as on `/`.
//! 5. The client opens another session with another id, and sends [`Recover`] with the token. A session that is still
//!    live ends first. The handler sends `Redeem` with [`RecoveryClaim::Token`]. The session handles no other request
//!    until the reply.
//! 6. `Session::resume` replaces the suspended slot in each chat. Messages that arrive now wait behind a [`ReplySlot`].
//! 7. The old slot is released and returns [`Remains::Messages`]. `Session::queued_messages` omits messages that the new
//!    session received as a member.
//! 8. The reply, [`RecoveredSession`], has the messages and the next token; live messages follow.
//!
//! Over a planned restart, `Hub::store_sessions` writes the suspended sessions and their [`Remains`] to the store, in
//! the form of `persisted`. In the next process, `Hub::open_sessions` restores their slots and posts `Restore` to
//! [`Recovery`].
//!
//! [`ReplySlot`]: crate::connection::ReplySlot
//! [`Fanout`]: crate::rooms::fanout::Fanout
//! [`Handed`]: crate::connection::handed::Handed
//! [`Kept`]: crate::connection::kept::Kept
//! [`Remains`]: crate::connection::Remains
//! [`Remains::Messages`]: crate::connection::Remains::Messages
//! [`Remains::Tail`]: crate::connection::Remains::Tail
//! [`SessionHandle::catch_up`]: crate::connection::SessionHandle::catch_up
//! [`SessionHandle::end_connection`]: crate::connection::SessionHandle::end_connection
//! [`SessionHandle::suspend`]: crate::connection::SessionHandle::suspend
//! [`SessionHandle::hand_over`]: crate::connection::SessionHandle::hand_over
//! [`SessionHandle::provide`]: crate::connection::SessionHandle::provide
//! [`SessionHandle::remember`]: crate::connection::SessionHandle::remember
//! [`Tail`]: crate::connection::tail::Tail
//! [`tail::lacking`]: crate::connection::tail::lacking
//! [`CreateSession`]: crate::events::chat::connection::CreateSession
//! [`Recover`]: crate::events::chat::connection::Recover
//! [`RecoveredSession`]: crate::events::chat::connection::RecoveredSession
//! [`RecoveryRequest`]: crate::session::RecoveryRequest
//! [`Session::open`]: crate::session::Session::open
//! [`By::Pid`]: tokens::By::Pid
//! [`By::Token`]: tokens::By::Token
//! [`RecoveryClaim::Pid`]: tokens::RecoveryClaim::Pid
//! [`RecoveryClaim::Token`]: tokens::RecoveryClaim::Token
//! [`SuspendedSession`]: tokens::SuspendedSession
//! [`TokenTable`]: tokens::TokenTable

pub(crate) mod directory;
pub(crate) mod messages;
pub(crate) mod persisted;
pub mod tokens;

pub use self::directory::{Recovery, SUSPENDED_MAX};
pub(crate) use self::messages::{CountTokens, Discard, GiveUp, Issue, Redeem, Suspend};
