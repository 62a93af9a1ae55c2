//! Hands each upgrade request to its surface, and holds the services that the surfaces of one worker share.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use actix_http::RequestHead;
use actix_rt::net::TcpStream;
use actix_web::web::Data;
use bytes::BytesMut;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::refusal_log::counts::RefusedAt;
use hubbub_actors::worker::Worker;

use crate::admission::{self, ClientInfo, HandshakeRequest};
use crate::error::Shape;
use crate::socketio::router::{EngineRouter, EngineWorker};
use crate::state::SharedState;
use crate::websocket::Flusher;
use crate::{socketio, ws};

/// The services that the surfaces of one worker share.
pub(super) struct WorkerServices {
    worker: Worker,
    flusher: Rc<Flusher>,
    engine: Rc<EngineWorker>,
}

thread_local! {
    /// The services of this thread's worker, shared by its listening sockets.
    static SERVICES: RefCell<Weak<WorkerServices>> = const { RefCell::new(Weak::new()) };
}

impl WorkerServices {
    /// The services of this thread's worker, started by the first call. `None` if the thread replaces the one of a worker that
    /// died: the worker's rooms are lost, and the hub is about to end.
    pub(super) fn of_thread(state: &Data<SharedState>, router: &Arc<EngineRouter>) -> Option<Rc<Self>> {
        let known =
            SERVICES.with_borrow(Weak::upgrade).filter(|services| Arc::ptr_eq(services.worker.hub(), &state.hub));
        if known.is_some() {
            return known;
        }
        let worker = Worker::start(&state.hub)?;
        let hub = state.hub.clone();
        let flusher = Flusher::start(move || hub.report_dead("flusher"));
        let engine = socketio::namespace_sessions::open_worker(router, state, &worker, &flusher);
        let services = Rc::new(Self { worker, flusher, engine });
        SERVICES.set(Rc::downgrade(&services));
        Some(services)
    }
}

/// The shape of the refusal of an upgrade request.
pub(super) fn shape(state: &SharedState, head: &RequestHead) -> Shape {
    Shape::of_path(state.policies().base.route(head.uri.path()).unwrap_or_default())
}

/// Hands an upgrade request to the surface of its path.
///
/// # Errors
/// Why it is refused. The refusal is logged.
pub(super) async fn hand_over(
    state: &SharedState,
    services: Option<&WorkerServices>,
    request: &HandshakeRequest<'_>,
    socket: &mut Option<TcpStream>,
    early: BytesMut,
) -> Result<(), Fault> {
    let policies = state.policies();
    let route = policies.base.route(request.head.uri.path());
    let at = match route {
        Some("/ws") => RefusedAt::Raw,
        Some("/socket.io") => RefusedAt::SocketIo,
        _ => RefusedAt::Http,
    };
    let refused = |at, fault: Fault| {
        ClientInfo::of(state, &policies, request.head).refuse_upgrade(state, at, request, &fault);
        fault
    };
    let WorkerServices { worker, flusher, engine } = services
        .ok_or_else(|| refused(RefusedAt::Http, Fault::internal().caused_by("the worker of this thread died")))?;
    admission::check_host(&policies, request.head, route).map_err(|fault| refused(at, fault))?;
    match at {
        RefusedAt::Raw => ws::open(state, worker, flusher, request, socket, early).await,
        RefusedAt::SocketIo => {
            if let Some(socket) = socket.take() {
                socketio::websocket::open(engine, request, socket, early).await;
            }
            Ok(())
        }
        _ => Err(refused(at, Fault::new(Code::NotFound, "No WebSocket endpoint at this path"))),
    }
}
