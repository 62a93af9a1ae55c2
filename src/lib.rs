//! Hubbub: an actor-based realtime hub. This crate is its edge: sockets, HTTP, tokens and configuration. Rooms and sessions
//! are in the crate `hubbub_actors`, which knows none of these.
//!
//! # The life of one message
//!
//! A client on `/ws` publishes with `Broadcast`:
//!
//! 1. [`SocketReader`](websocket::SocketReader) reads bytes from the socket, within the limits of bytes and frames.
//!    [`MessageAssembler`](websocket::assembler::MessageAssembler) joins their frames to whole messages.
//! 2. `ReaderStream` in [`ws`] passes each message to [`codec::raw::decode`]. The result is an
//!    [`Inbound`](hubbub_actors::session::Inbound): the name of an event, its data, and the client's `id`.
//! 3. The stream feeds the actor [`Session`](hubbub_actors::session::Session), which implements `StreamHandler<Inbound>`. Its
//!    module `dispatch` finds the event in the [table](hubbub_actors::events::table).
//! 4. `dispatch` checks in this order: the surface, the rate limit, whether the hub accepts work, whether the session
//!    has a user, the text. It parses the data, and checks the token's claim `topics.publish`. Then it calls the
//!    [`Handle`](hubbub_actors::session::Handle) of the event.
//! 5. The handler checks the `client_id` and the topic's access [rules](hubbub_actors::rooms::rules), calls `Rooms::publish`
//!    ([`rooms`](hubbub_actors::rooms)) without the sender's session, and returns
//!    [`Outcome::Async`](hubbub_actors::session::Outcome::Async). `dispatch` reserves a
//!    [`ReplySlot`](hubbub_actors::connection::ReplySlot) for the reply.
//! 6. The room's [`RoomShard`](hubbub_actors::rooms::shard::RoomShard) puts the publication in order, stores it in the history,
//!    sends it to each worker with members, and replies with the number of recipients.
//! 7. The [`Fanout`](hubbub_actors::rooms::fanout::Fanout) of a worker takes the frame of each member's format from
//!    [`Publication::frame`](hubbub_actors::publication::Publication::frame), which encodes it once for all workers.
//!    [`EncodedPublication`](hubbub_actors::connection::encoded::EncodedPublication) shares the frame on one worker.
//!    [`SessionHandle::hand_over`](hubbub_actors::connection::SessionHandle::hand_over) puts it into the
//!    [`Outbox`](hubbub_actors::connection::outbox::Outbox) of the member.
//! 8. A new frame wakes the outbox's `OutboxSink`, which queues itself. The worker's [`Flusher`](websocket::Flusher)
//!    calls the [`SocketWriter`](websocket::SocketWriter) of every outbox with new frames, once per turn of the event
//!    loop.
//!
//! The sender's `Ack`: when the shard has replied (6), the session encodes the `Ack` and puts it into the reply slot.
//! It enters the sender's outbox after the replies to all earlier requests, and leaves as in 8.
//!
//! On Socket.IO ([`socketio`]), packets of a WebSocket or of polling bodies take the place of 1 and 2, and a poll can take the
//! place of 8. A command of a backend ([`api`]) enters at 6, through [`Hub`](hubbub_actors::hub::Hub).
//!
//! # Layout
//!
//! Imports flow one way: from each line to the lines below it, and within a line from left to right.
//!
//! * `main`, [`cli`]: commands and their output.
//! * [`serve`]: listens, composes the hub, serves, reloads, shuts down.
//! * [`api`]: the HTTP API and the middleware of all requests. [`ops`]: the endpoints for operators.
//! * [`ws`], [`socketio`]: the surfaces. They never import each other. [`api`] reads the session id of [`socketio`] requests.
//! * [`openapi`]: typed endpoints and their description.
//! * [`websocket`]: handshake, reader and writer. [`admission`], [`bearer`]: which clients may connect, and their tokens.
//! * [`state`]: the shared state. [`telemetry`]: metrics. [`policies`]: the rules that a reload replaces.
//! * [`request_body`], [`http_stream`]: plain HTTP connections within bounds. [`error`]: faults as HTTP. [`notices`]:
//!   log lines that clients can cause.
//! * [`accounts`], [`config`], [`auth`], [`upstream`]: accounts, configuration, tokens, and the services that the hub calls.
//! * [`codec`], [`peer`], [`request_id`], [`logging`]: they import no other module.

pub mod accounts;
pub mod admission;
pub mod api;
pub mod auth;
pub mod bearer;
pub mod cli;
pub mod codec;
pub mod config;
pub mod error;
pub mod http_stream;
pub mod logging;
pub mod notices;
pub mod openapi;
pub mod ops;
pub mod peer;
pub mod policies;
pub mod request_body;
pub mod request_id;
pub mod serve;
pub mod socketio;
pub mod state;
pub mod telemetry;
pub mod upstream;
pub mod websocket;
pub mod ws;
