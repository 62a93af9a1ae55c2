//! `GET /ws`: the raw WebSocket. Checks the request and opens the session before it answers, so that no event after the
//! response is lost.

use std::rc::Rc;
use std::sync::Arc;

use actix_http::RequestHead;
use actix_rt::net::TcpStream;
use bytes::BytesMut;
use futures_core::Stream;
use hubbub_actors::connection::{Connection, ConnectionSpec};
use hubbub_actors::hub::LimitKey;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::surface::{Surface, Transport};
use hubbub_actors::refusal_log::counts::RefusedAt;
use hubbub_actors::registry::Admission;
use hubbub_actors::session::{AuthState, Inbound, RateUsage, Session, SessionStart};
use hubbub_actors::worker::Worker;
use tokio::io::AsyncWriteExt;

use crate::admission::{ClientInfo, HandshakeRequest};
use crate::codec::raw::{self, RAW};
use crate::policies::Policies;
use crate::state::SharedState;
use crate::websocket::assembler::MessageAssembler;
use crate::websocket::{Flusher, SocketMessage, SocketReader, SocketWriter, handshake};
use crate::{admission, bearer};

/// Answers an upgrade request on a socket that the hub owns. Returns a logged fault for the caller to answer with.
///
/// # Errors
/// The reason of the refusal. The body shows the order of the checks.
pub async fn open(
    state: &SharedState,
    worker: &Worker,
    flusher: &Rc<Flusher>,
    request: &HandshakeRequest<'_>,
    socket: &mut Option<TcpStream>,
    early: BytesMut,
) -> Result<(), Fault> {
    let head = request.head;
    let policies = state.policies();
    let client = ClientInfo::of(state, &policies, head);
    let admitted = admit(state, &policies, worker, head, &client).await;
    let (admission, session, connection) =
        admitted.inspect_err(|fault| client.refuse_upgrade(state, RefusedAt::Raw, request, fault))?;
    let handle = session.handle().clone();
    let Some(mut socket) = socket.take() else { return Ok(()) };
    let headers = head.headers();
    let protocol = handshake::token_protocol(headers).or_else(|| handshake::first_protocol(headers));
    if socket.write_all(&handshake::acceptance(head, protocol)).await.is_err() {
        return Ok(());
    }
    let (reading, writing) = socket.into_split();
    let writer = SocketWriter::new(writing, connection, flusher.clone());
    handle.attach(writer.clone());
    let assembler = MessageAssembler::of_text(policies.config.server.max_frame_size);
    let (clock, traffic) = (state.hub.clock().clone(), state.traffic.clone());
    let reader = SocketReader::new(reading, writer, Some(handle), clock, assembler, early, traffic);
    session.run(ReaderStream { reader, _admission: admission });
    Ok(())
}

/// The checks before the upgrade: handshake, origin, address limit, token, permissions, capacity.
async fn admit(
    state: &SharedState,
    policies: &Policies,
    worker: &Worker,
    head: &RequestHead,
    client: &ClientInfo,
) -> Result<(Admission, Session, Rc<Connection>), Fault> {
    handshake::check(head)?;
    admission::check_origin(state, policies, head)?;
    let most = policies.config.limits.raw.connections_per_minute;
    admission::count(state, policies, client.address.as_ref(), |ip| LimitKey::Connect(Surface::Raw, ip), most).await?;
    let identity = identify(state, policies, head).await?;
    let _ = client.user.set(identity.user.clone());
    identity.require(&policies.config.auth.required_permissions)?;
    let admission = state.hub.registry().admit()?;
    let settings = state.hub.settings();
    let connection = worker.session_table().connect(ConnectionSpec {
        bound: settings.outbox,
        heartbeat: Some(settings.heartbeat.clone()),
        elapsed: state.hub.clock().begin_ms(),
    });
    let opening = SessionStart {
        surface: Surface::Raw,
        encoder: &RAW,
        auth: AuthState::Known(Arc::new(identity)),
        transport: Transport::WebSocket,
        peer: client.peer.clone(),
        slot: None,
        connection: connection.clone(),
        rate_usage: RateUsage::default(),
        recovery: None,
    };
    Ok((admission, Session::open(worker, opening).await?, connection))
}

/// Identifies the user by the token in the header, else the subprotocol, else the query.
async fn identify(state: &SharedState, policies: &Policies, head: &RequestHead) -> Result<Identity, Fault> {
    let headers = head.headers();
    let token = bearer::token(headers)
        .or_else(|| handshake::token_protocol(headers).map(|protocol| handshake::token_in(protocol).to_owned()))
        .or_else(|| admission::token_in_query(head))
        .filter(|token| !token.is_empty())
        .ok_or_else(|| Fault::new(Code::InvalidToken, "Authentication token is missing").by("token"))?;
    policies.tokens.verify(&token, state.now_ms()).await
}

/// The messages of a reader as requests to the session. Exists as long as the connection.
struct ReaderStream {
    reader: SocketReader,
    _admission: Admission,
}

impl Stream for ReaderStream {
    type Item = Inbound;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Inbound>> {
        std::pin::Pin::new(&mut self.reader).poll_next(cx).map(|message| {
            message.map(|message| match message {
                SocketMessage::Text(bytes) | SocketMessage::Binary(bytes) => raw::decode(bytes),
                SocketMessage::Closing => Inbound::Closing,
            })
        })
    }
}
