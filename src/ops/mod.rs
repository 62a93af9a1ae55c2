//! What operators and monitors read from the hub over plain HTTP: health, what the hub is, its metrics, its status. No
//! handler here changes anything, and none needs a key; the route table is in [`crate::api`].

pub(crate) mod health;
pub(crate) mod info;
pub(crate) mod metrics;
pub(crate) mod status;
