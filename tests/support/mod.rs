//! The support of the tests: a running [`Hub`], an [`http`] client, WebSocket clients of messages ([`Client`]) and of
//! bytes ([`Wire`]), a Socket.IO client ([`Sio`]), one of the chat system ([`member`]), a [`Proxy`] that breaks
//! connections by repeatable random numbers ([`rng`]), valid and invalid [`token`]s, and waits with a deadline.
//! It knows the hub's protocols, not its code; only [`Hub::with_manual_clock`] runs that code inside the test.
#![allow(dead_code, reason = "a toolbox: a part may be unused for a while")]

pub(crate) mod account;
pub(crate) mod blocks;
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
pub(crate) mod tables;
pub(crate) mod token;
pub(crate) mod tools;
pub(crate) mod upstream;
pub(crate) mod wait;
pub(crate) mod wire;

pub(crate) use client::Client;
pub(crate) use hub::{API_KEY, Hub, JWT_SECRET};
pub(crate) use proxy::Proxy;
pub(crate) use socketio::{Sio, SioTransport};
pub(crate) use upstream::{MockUpstream, UpstreamReply};
pub(crate) use wait::{DEADLINE, eventually, wait_until};
pub(crate) use wire::Wire;
