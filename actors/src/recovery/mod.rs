//! Suspended sessions: their connection was cut, and they may resume. The slot of such a session stays on its worker
//! and buffers deliveries. [`Recovery`] knows the session's token and its expiry.
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
//! A session recovered by its private id receives every delivery of all its rooms after the offset of its client,
//! each once and in order. Otherwise the client learns that the session is not recovered.

pub(crate) mod directory;
pub(crate) mod messages;
pub(crate) mod persisted;
pub mod tokens;

pub use self::directory::{Recovery, SUSPENDED_MAX};
pub(crate) use self::messages::{CountTokens, Discard, GiveUp, Issue, Redeem, Suspend};
