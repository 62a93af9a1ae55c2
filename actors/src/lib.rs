//! The actors of Hubbub.

pub mod clock;
pub mod fault;
pub mod identity;
pub mod ids;
pub mod pattern;
