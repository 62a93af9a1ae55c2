//! Suspended sessions: their connection was cut, and they may resume. [`Recovery`] has a record of each, with its token
//! or its private id (pid), its rooms and their cursors, and its expiry. What the client missed is in the
//! [log](crate::rooms::publication_log) of the room actor.
//!
//! [`tokens`] is the pure table, [`directory`] the actor, [`persisted`] the form on the disk over a planned restart.
//!
//! # Guarantees
//!
//! A session recovered by a token receives every message that its chats accepted since the cut, each once and
//! up to `recovery.queue`: the room actor reads the log and joins the rooms between two publications. Messages
//! that were not yet written to the connection, or not yet polled, are included. A message written to a connection that
//! was already dead may be lost; `message:history` has it.
//!
//! A session recovered by its private id receives every delivery of all its rooms after the last publication
//! that its client received, each once and in order. Otherwise the client learns that the session is not recovered.
//!
//! # The life of a recovered session
//!
//! `docs/architecture.md` has the steps of each kind of recovery, with the files.
//!
//! On `/` the offset is the [`Publication::number`](crate::publication::Publication::number), not the offset in a topic's
//! history.
//!
//! Over a planned restart, `Hub::store_sessions` writes the records and their part of the log to the store, in the form
//! of `persisted`. In the next process, `Hub::open_sessions` passes the log to the room actor and posts `Restore` to
//! [`Recovery`].

pub(crate) mod directory;
pub(crate) mod messages;
pub(crate) mod persisted;
pub mod tokens;

pub use self::directory::{Recovery, SUSPENDED_MAX};
pub(crate) use self::messages::{ClaimedRecord, CloseRoom, CountTokens, Discard, GiveUp, Issue, Redeem, Suspend};
