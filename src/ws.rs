//! `GET /ws`: the raw WebSocket. Judges the request, seats the session, and only then answers, so that nothing sent
//! to the client from that moment on is lost.

use std::rc::Rc;
use std::sync::Arc;

use actix_http::RequestHead;
use actix_rt::net::TcpStream;
use bytes::BytesMut;
use futures_core::Stream;
use hubbub_actors::events::{Surface, Transport};
use hubbub_actors::fault::{Code, Fault};
use hubbub_actors::hub::LimitKey;
use hubbub_actors::identity::Identity;
use hubbub_actors::refusal_log::counts::RefusedAt;
use hubbub_actors::registry::Admission;
use hubbub_actors::session::{Drawn, Inbound, Opening, Session, Standing};
use hubbub_actors::worker::Worker;
use tokio::io::AsyncWriteExt;

use crate::door::{Handshake, Visitor};
use crate::pipe::assembler::Assembler;
use crate::pipe::{Flusher, Inlet, Message, Pipe, handshake};
use crate::policies::Policies;
use crate::state::State;
use crate::wire::raw::{self, RAW};
use crate::{bearer, door};

/// Answers an upgrade request on a socket that is ours now. A fault comes back for the caller to answer with; it is
/// logged.
///
/// # Errors
/// Why the request is refused: see the order of the checks in the body.
pub async fn open(
    state: &State,
    worker: &Worker,
    flusher: &Rc<Flusher>,
    request: &Handshake<'_>,
    socket: &mut Option<TcpStream>,
    early: BytesMut,
) -> Result<(), Fault> {
    let head = request.head;
    let policies = state.policies();
    let visitor = Visitor::of(state, &policies, head);
    let admitted = admit(state, &policies, worker, head, &visitor).await;
    let (admission, session) =
        admitted.inspect_err(|fault| visitor.refuse_upgrade(state, RefusedAt::Raw, request, fault))?;
    let seat = session.seat().clone();
    let Some(mut socket) = socket.take() else { return Ok(()) };
    let headers = head.headers();
    let protocol = handshake::token_protocol(headers).or_else(|| handshake::first_protocol(headers));
    if socket.write_all(&handshake::acceptance(head, protocol)).await.is_err() {
        return Ok(());
    }
    let (reading, writing) = socket.into_split();
    let pipe = Pipe::new(writing, seat, flusher.clone());
    let assembler = Assembler::of_text(policies.config.server.max_frame_size);
    let inlet = Inlet::new(reading, pipe, state.hub.clock().clone(), assembler, early, state.traffic.clone());
    session.run(Requests { inlet, _admission: admission });
    Ok(())
}

/// The checks before the upgrade: the handshake, the origin, address limit, token, permissions, capacity.
async fn admit(
    state: &State,
    policies: &Policies,
    worker: &Worker,
    head: &RequestHead,
    visitor: &Visitor,
) -> Result<(Admission, Session), Fault> {
    handshake::judge(head)?;
    door::knock(state, policies, head)?;
    let most = policies.config.limits.raw.connections_per_minute;
    door::count(state, policies, visitor.address.as_ref(), |ip| LimitKey::Connect(Surface::Raw, ip), most).await?;
    let identity = identify(state, policies, head).await?;
    let _ = visitor.user.set(identity.user.clone());
    identity.require(&policies.config.auth.required_permissions)?;
    let admission = state.hub.registry().admit()?;
    let heartbeat = Some(state.hub.settings().heartbeat);
    let opening = Opening {
        surface: Surface::Raw,
        wire: &RAW,
        standing: Standing::Known(Arc::new(identity)),
        transport: Transport::WebSocket,
        peer: visitor.peer.clone(),
        held: None,
        heartbeat,
        drawn: Drawn::default(),
        returning: None,
    };
    Ok((admission, Session::open(worker, opening).await?))
}

/// Whose connection it is: by the header, else the subprotocol, else the query.
async fn identify(state: &State, policies: &Policies, head: &RequestHead) -> Result<Identity, Fault> {
    let headers = head.headers();
    let token = bearer::token(headers)
        .or_else(|| handshake::token_protocol(headers).map(|protocol| handshake::token_in(protocol).to_owned()))
        .or_else(|| door::token_in_query(head))
        .filter(|token| !token.is_empty())
        .ok_or_else(|| Fault::new(Code::InvalidToken, "Authentication token is missing").by("token"))?;
    policies.tokens.verify(&token, state.now_ms()).await
}

/// The messages of an inlet as requests to the session. Lives as long as the connection.
struct Requests {
    inlet: Inlet,
    _admission: Admission,
}

impl Stream for Requests {
    type Item = Inbound;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Inbound>> {
        std::pin::Pin::new(&mut self.inlet).poll_next(cx).map(|message| {
            message.map(|message| match message {
                Message::Text(bytes) | Message::Binary(bytes) => raw::decode(bytes),
                Message::Closing => Inbound::Closing,
            })
        })
    }
}
