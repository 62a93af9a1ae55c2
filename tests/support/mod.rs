//! What the tests stand on: a running [`Hub`], an [`http`] client, a WebSocket client of frames
//! ([`Client`]) and one of bytes ([`Wire`]), a Socket.IO client ([`Sio`]),
//! one of the chat system ([`chat_client`]), a [`Proxy`] that spoils connections by [`rng`] that can be repeated,
//! [`token`]s right and wrong, and waiting with a deadline.
//! It knows the hub's contract with the world and nothing of its code.
#![allow(dead_code, reason = "a vocabulary for tests: each part is there whether or not a test needs it today")]

pub(crate) mod account;
pub(crate) mod chat_client;
pub(crate) mod client;
pub(crate) mod http;
pub(crate) mod hub;
pub(crate) mod page;
pub(crate) mod port;
pub(crate) mod proxy;
pub(crate) mod rng;
pub(crate) mod run;
pub(crate) mod socketio;
pub(crate) mod token;
pub(crate) mod tools;
pub(crate) mod upstream;
pub(crate) mod wait;
pub(crate) mod wire;

pub(crate) use client::Client;
pub(crate) use hub::{API_KEY, Hub, JWT_SECRET};
pub(crate) use proxy::Proxy;
pub(crate) use socketio::{Sio, Transport};
pub(crate) use upstream::{Reply, Upstream};
pub(crate) use wait::{DEADLINE, eventually, wait_until};
pub(crate) use wire::Wire;
