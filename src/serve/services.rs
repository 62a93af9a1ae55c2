//! The services of one worker: each connection is taken as an HTTP stream, upgrades go to the surfaces, and everything else
//! to the HTTP app.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::error::DispatchError;
use actix_http::{HttpService, Request, h1};
use actix_rt::net::TcpStream;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::web::Data;
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use super::upgrade::{self, WorkerServices};
use crate::admission::{self, HandshakeRequest};
use crate::http_stream::{self, Exchange, HttpStream, Listener};
use crate::peer::limit_key;
use crate::request_id::{HttpRequestId, REQUEST_ID};
use crate::socketio::router::EngineRouter;
use crate::state::SharedState;
use crate::{api, error, socketio, websocket};

/// How long actix-http keeps a connection without a request. The stream beneath it closes the connection before.
const KEEP_ALIVE: Duration = http_stream::KEEP_ALIVE.saturating_add(Duration::from_secs(15));

/// Bytes of responses that wait for a socket. One slice of a body can exceed it: a body that is a single slice is copied whole.
const WRITE_BUFFER: usize = 8_192;

/// The service of one worker for one listening socket.
pub(super) fn service(
    state: Data<SharedState>,
    router: Arc<EngineRouter>,
) -> impl actix_service::ServiceFactory<
    TcpStream,
    Config = (),
    Response = (),
    Error = actix_http::error::DispatchError,
    InitError = (),
> {
    let patience = Duration::from_secs(state.policies().config.server.client_timeout_secs.into());
    let base = state.policies().base.clone();
    let listener = Listener::new(state.connections.clone(), state.notices.clone(), base);
    // Requests of polling clients are the most frequent.
    let app = api::app(state.clone(), socketio::polling::routes("/socket.io", router.clone()))
        .into_factory()
        .map_err(|error: actix_web::Error| error.error_response());
    let http = HttpService::build()
        .keep_alive(KEEP_ALIVE)
        // The stream itself limits the time of a head.
        .client_request_timeout(Duration::ZERO)
        .h1_write_buffer_size(WRITE_BUFFER)
        .on_connect_ext(|stream: &HttpStream, data| drop(data.insert(stream.exchange().clone())))
        .upgrade(upgrades(state.clone(), &router))
        .h1(map_config(app, |()| AppConfig::default()));
    let accepts = move |socket: TcpStream| {
        let stream = accept(&state, &listener, socket, patience);
        std::future::ready(stream.ok_or(DispatchError::DisconnectTimeout))
    };
    fn_service(accepts).and_then(http)
}

/// Accepts a connection and returns the stream that the HTTP service reads from; `None` if it is refused.
fn accept(
    state: &SharedState,
    listener: &Listener,
    socket: TcpStream,
    patience: Duration,
) -> Option<(HttpStream, Option<SocketAddr>)> {
    if let Err(error) = websocket::prepare(&socket, patience) {
        log::debug!("a socket could not be set up: {error}");
    }
    let peer = socket.peer_addr().ok();
    let ip = peer.map(|peer| peer.ip().to_canonical());
    let counted = ip.filter(|ip| !ip.is_loopback() && !state.policies().proxies.trusts(*ip)).map(limit_key);
    match listener.accept(socket, counted) {
        Ok(stream) => Some((stream, peer)),
        Err((id, fault)) => {
            admission::note_refused_connection(state, ip, &id, &fault);
            None
        }
    }
}

type AcceptedUpgrade = (Request, Framed<HttpStream, h1::Codec>);

/// The service that hands each upgrade request to its surface.
fn upgrades(
    state: Data<SharedState>,
    router: &Arc<EngineRouter>,
) -> impl actix_service::ServiceFactory<
    AcceptedUpgrade,
    Config = (),
    Response = (),
    Error = std::convert::Infallible,
    InitError = (),
> + use<> {
    let services = WorkerServices::of_thread(&state, router);
    fn_service(move |(request, framed): AcceptedUpgrade| {
        let (state, services) = (state.clone(), services.clone());
        // Boxed, so that the connection's task does not stay that large after the session has its own task.
        Box::pin(async move {
            let (mut socket, early) = match take_socket(framed).await {
                Ok((socket, early)) => (Some(socket), early),
                // The client closed the connection.
                Err(_) => return Ok(()),
            };
            let peer = request.head().peer_addr.map(|peer| peer.ip());
            state.notices.forwarding(&state.policies().proxies, peer, request.head().headers());
            let id = HttpRequestId::of(request.head().headers());
            let is_host_last = request.conn_data::<Rc<Exchange>>().is_some_and(|exchange| exchange.is_host_last());
            let handshake = HandshakeRequest { id: &id, head: request.head(), is_host_last };
            let result = upgrade::hand_over(&state, services.as_deref(), &handshake, &mut socket, early).await;
            if let (Err(fault), Some(socket)) = (result, socket) {
                state.telemetry.count_request("GET", error::status(fault.code).as_u16());
                let (status, mut headers, body) = error::response_parts(&fault, upgrade::shape(&state, request.head()));
                headers.extend(id.as_str().parse().map(|id| (REQUEST_ID, id)));
                websocket::refuse(socket, &state.connections.lingering, status, headers, &body).await;
            }
            Ok(())
        }) as Pin<Box<dyn Future<Output = _>>>
    })
}

/// Returns the socket of an upgrade and the bytes that came after its head, after writing what was still buffered.
async fn take_socket(framed: Framed<HttpStream, h1::Codec>) -> io::Result<(TcpStream, BytesMut)> {
    let parts = framed.into_parts();
    let (mut socket, rest) = parts.io.into_parts();
    let mut early = parts.read_buf;
    early.unsplit(rest);
    socket.write_all(&parts.write_buf).await?;
    Ok((socket, early))
}
