//! The endpoints for operators and monitors over plain HTTP: health, information about the hub, metrics, status. No
//! handler here changes anything, and none needs a key; the route table is in [`crate::api`].

pub(crate) mod health;
pub(crate) mod info;
pub(crate) mod metrics;
pub(crate) mod status;
