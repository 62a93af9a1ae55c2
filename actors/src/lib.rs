//! The actors of Hubbub.

pub mod clock;
pub mod fault;
pub mod hub;
pub mod identity;
pub mod ids;
pub mod pattern;
pub mod stats;
