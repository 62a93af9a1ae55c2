//! Infrastructure that all actors share: mailboxes, queues, clocks, counters. It has no domain rules.

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
