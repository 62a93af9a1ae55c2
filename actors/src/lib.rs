//! The actors of Hubbub.

pub mod clock;
pub mod close;
pub mod delivery;
pub mod events;
pub mod fault;
pub mod hub;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod mailbox;
pub mod outbox;
pub mod pattern;
pub mod presence;
pub mod registry;
pub mod rooms;
pub mod seat;
pub mod session;
pub mod stats;
pub mod worker;
