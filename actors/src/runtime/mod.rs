//! What every actor runs on: mailboxes, queues, clocks, counters. It knows nothing of the domain.

pub mod backoff;
pub mod clock;
pub mod count;
pub mod counters;
pub mod hash;
pub mod histogram;
pub mod latency;
pub mod log_line;
pub mod mailbox;
pub mod minute;
pub(crate) mod shrink;
pub mod work_queue;
