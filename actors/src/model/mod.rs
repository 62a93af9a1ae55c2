//! The domain: ids, identities, clients, surfaces, faults and close reasons. No wire format, no actor.

pub mod availability;
pub mod client;
pub mod close;
pub mod fault;
pub mod identity;
pub mod ids;
pub mod message;
pub mod position;
pub mod surface;
pub mod topic_pattern;
