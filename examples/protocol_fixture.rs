//! Echo endpoints on the hub's own transport code, for the conformance suites of its protocols.
//!
//! `cargo run --example protocol_fixture -- PORT` listens on 127.0.0.1, without tokens, limits or greetings:
//!
//! * `GET /ws-echo`: a raw WebSocket that sends every text and binary message back, up to 16 MiB and 65,536 fragments
//!   (for Autobahn's test suite);
//! * `/engine.io/`: Engine.IO that sends every message back (for the suite of socketio/engine.io-protocol);
//! * `/socket.io/`: Socket.IO with the namespaces `/` and `/custom` (for the suite of socketio/socket.io-protocol).
//!   Both emit `auth` with the CONNECT payload; on `/`, `message` is answered by `message-back`, and `message-with-ack`
//!   is acknowledged, with the same arguments.
//!
//! Ping interval 300 ms, ping timeout 200 ms, max payload 1,000,000 bytes, connect timeout 1,000 ms, CORS `*`.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::TcpListener;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, io};

use actix::Actor;
use actix_codec::Framed;
use actix_http::{HttpService, Request, RequestHead, h1};
use actix_rt::net::TcpStream;
use actix_rt::time::sleep;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::http::Method;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::{App, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use hubbub::admission::HandshakeRequest;
use hubbub::codec::engineio as eio;
use hubbub::codec::socketio::{self, Namespace, Packet, Whole};
use hubbub::http_stream::linger::Lingering;
use hubbub::request_id::HttpRequestId;
use hubbub::socketio::context::{EngineSettings, OutboxBound};
use hubbub::socketio::engine::{Engine, EngineMessage, PacketHandler};
use hubbub::socketio::namespace_auth::{ConnectFuture, ConnectRefusal, NamespaceAuth};
use hubbub::socketio::namespace_member::{NamespaceMember, NamespaceSender};
use hubbub::socketio::namespaces::Namespaces;
use hubbub::socketio::router::{
    AdmissionFuture, AdmittedClient, EngineRouter, EngineWorker, HandshakeAuth, PacketHandlerFactory,
};
use hubbub::socketio::{polling, websocket};
use hubbub::websocket::assembler::MessageAssembler;
use hubbub::websocket::{Flusher, SocketMessage, SocketReader, SocketWriter, handshake};
use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::connection::sweeper::HeartbeatSweeper;
use hubbub_actors::connection::{ConnectionSpec, SessionTable};
use hubbub_actors::limits::traffic::TrafficLimit;
use hubbub_actors::model::close::Close;
use hubbub_actors::model::ids::SessionId;
use hubbub_actors::publication::{MessageKind, Payload};
use hubbub_actors::runtime::clock::Clock;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt;

/// The suites race requests on several connections and expect the first to be processed first. One thread keeps that
/// order.
const WORKERS: usize = 1;
const ECHO_MAX: usize = 16 * 1024 * 1024;
const OUTBOX: OutboxCapacity = OutboxCapacity { bytes: 4 * ECHO_MAX, entries: 100_000 };
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// Time between the answer to a CONNECT and `auth`.
const AUTH_DELAY: Duration = Duration::from_millis(10);
const PING_INTERVAL_MS: u32 = 300;
const MAX_PAYLOAD: usize = 1_000_000;

fn settings() -> EngineSettings {
    EngineSettings {
        ping_interval_ms: PING_INTERVAL_MS,
        ping_timeout_ms: 200,
        max_payload: MAX_PAYLOAD,
        // Unlimited: Autobahn's suite measures how fast frames are echoed.
        traffic: TrafficLimit::default(),
        outbox: OutboxBound::Fixed(OUTBOX),
        mailbox: 10_000,
    }
}

fn main() -> ExitCode {
    let Some(port) = env::args().nth(1).and_then(|port| port.parse().ok()) else {
        eprintln!("usage: protocol_fixture PORT");
        return ExitCode::from(2);
    };
    match actix_rt::System::new().block_on(serve(port)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("protocol_fixture: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("listening on {}", listener.local_addr()?);
    let endpoints = Endpoints {
        engine: EngineRouter::new(settings(), Box::new(AdmitEveryone), WORKERS),
        socket: EngineRouter::new(settings(), Box::new(AdmitEveryone), WORKERS),
        workers: Arc::default(),
    };
    Server::build().workers(WORKERS).listen("fixture", listener, move || service(endpoints.clone()))?.run().await
}

#[derive(Clone)]
struct Endpoints {
    engine: Arc<EngineRouter>,
    socket: Arc<EngineRouter>,
    workers: Arc<AtomicUsize>,
}

struct AdmitEveryone;

impl HandshakeAuth for AdmitEveryone {
    fn admit(&self, _: &RequestHead, _: bool) -> AdmissionFuture {
        Box::pin(std::future::ready(Ok(AdmittedClient::default())))
    }
}

/// The state of one worker.
struct FixtureWorker {
    session_table: Rc<SessionTable>,
    flusher: Rc<Flusher>,
    engine: Rc<EngineWorker>,
    socket: Rc<EngineWorker>,
}

impl FixtureWorker {
    fn start(endpoints: &Endpoints) -> Self {
        let number = endpoints.workers.fetch_add(1, Ordering::Relaxed);
        let session_table = Rc::new(SessionTable::new(number, Arc::default(), Clock::System));
        HeartbeatSweeper::new(session_table.clone(), Clock::System, PING_INTERVAL_MS.into()).start();
        let flusher = Flusher::start(|| eprintln!("the flusher died"));
        let shared = || (session_table.clone(), flusher.clone(), Clock::System, Lingering::default());
        let engine = EngineWorker::open(&endpoints.engine, number, shared(), Box::new(EchoFactory));
        let socket = EngineWorker::open(&endpoints.socket, number, shared(), Box::new(EchoNamespacesFactory));
        Self { session_table, flusher, engine, socket }
    }

    async fn upgrade(&self, request: &Request, socket: TcpStream, early: BytesMut) {
        let id = HttpRequestId::of(request.head().headers());
        let handshake = HandshakeRequest { id: &id, head: request.head(), is_host_last: false };
        match request.path() {
            "/engine.io/" => websocket::open(&self.engine, &handshake, socket, early).await,
            "/socket.io/" => websocket::open(&self.socket, &handshake, socket, early).await,
            _ => self.echo(request, socket, early).await,
        }
    }

    async fn echo(&self, request: &Request, mut socket: TcpStream, early: BytesMut) {
        if handshake::check(request.head()).is_err()
            || socket
                .write_all(&handshake::acceptance(request.head(), handshake::first_protocol(request.head().headers())))
                .await
                .is_err()
        {
            return;
        }
        let elapsed = Clock::System.elapsed_ms();
        let connection = self.session_table.connect(ConnectionSpec { bound: OUTBOX, heartbeat: None, elapsed });
        let (reading, writing) = socket.into_split();
        let writer = SocketWriter::new(writing, connection.clone(), self.flusher.clone());
        let mut reader = SocketReader::new(
            reading,
            writer,
            None,
            Clock::System,
            MessageAssembler::new(ECHO_MAX),
            early,
            TrafficLimit::default(),
        );
        actix_rt::spawn(async move {
            while let Some(message) = poll_fn(|cx| Pin::new(&mut reader).poll_next(cx)).await {
                match message {
                    SocketMessage::Text(text) => connection.send(Payload::message(MessageKind::Text, text)),
                    SocketMessage::Binary(bytes) => connection.send(Payload::message(MessageKind::Binary, bytes)),
                    SocketMessage::Closing => {}
                }
            }
        });
    }
}

fn service(
    endpoints: Endpoints,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = actix_http::error::DispatchError, InitError = ()>
{
    let app = App::new()
        .wrap(from_fn(async |request, next: actix_web::middleware::Next<_>| {
            let preflight = *actix_web::dev::ServiceRequest::method(&request) == Method::OPTIONS;
            if preflight {
                return Ok(request.into_response(HttpResponse::NoContent().finish()).map_into_right_body());
            }
            next.call(request).await.map(actix_web::dev::ServiceResponse::map_into_left_body)
        }))
        .wrap(
            DefaultHeaders::new()
                .add(("Access-Control-Allow-Origin", "*"))
                .add(("Access-Control-Allow-Headers", "*"))
                .add(("Access-Control-Allow-Methods", "GET, POST")),
        )
        .configure(polling::routes("/engine.io", endpoints.engine.clone()))
        .configure(polling::routes("/socket.io", endpoints.socket.clone()))
        .into_factory()
        .map_err(|error: actix_web::Error| error.error_response());
    HttpService::build()
        .on_connect_ext(|socket: &TcpStream, _| drop(hubbub::websocket::prepare(socket, Duration::from_secs(60))))
        .upgrade(upgrades(&endpoints))
        .h1(map_config(app, |()| AppConfig::default()))
        .tcp()
}

type UpgradeParts = (Request, Framed<TcpStream, h1::Codec>);

fn upgrades(
    endpoints: &Endpoints,
) -> impl ServiceFactory<UpgradeParts, Config = (), Response = (), Error = Infallible, InitError = ()> + use<> {
    let worker = Rc::new(FixtureWorker::start(endpoints));
    fn_service(move |(request, framed): UpgradeParts| {
        let worker = worker.clone();
        Box::pin(async move {
            let parts = framed.into_parts();
            worker.upgrade(&request, parts.io, parts.read_buf).await;
            Ok(())
        }) as Pin<Box<dyn Future<Output = _>>>
    })
}

/// `/engine.io/`: sends every message back.
struct EchoFactory;

struct Echo(Rc<Engine>);

impl PacketHandlerFactory for EchoFactory {
    fn create(&self, engine: &Rc<Engine>, _: AdmittedClient) -> Rc<dyn PacketHandler> {
        Rc::new(Echo(engine.clone()))
    }
}

impl PacketHandler for Echo {
    fn receive(&self, message: EngineMessage) {
        self.0.send(match message {
            EngineMessage::Text(text) => eio::message([&text[..]]),
            EngineMessage::Binary(bytes) => Payload::message(MessageKind::Binary, bytes),
        });
    }

    fn is_busy(&self) -> bool {
        false
    }

    fn is_idle(&self) -> bool {
        true
    }

    fn end(&self) {}
}

/// `/socket.io/`: the namespaces `/` and `/custom`.
struct EchoNamespacesFactory;

impl PacketHandlerFactory for EchoNamespacesFactory {
    fn create(&self, engine: &Rc<Engine>, _: AdmittedClient) -> Rc<dyn PacketHandler> {
        Namespaces::new(engine, Box::new(EchoNamespaces), CONNECT_TIME, MAX_PAYLOAD, None)
    }
}

struct EchoNamespaces;

impl NamespaceAuth for EchoNamespaces {
    fn connect(&self, namespace: &Namespace, auth: Option<Bytes>) -> Result<ConnectFuture, ConnectRefusal> {
        if !matches!(namespace.as_str(), "/" | "/custom") {
            return Err(ConnectRefusal::invalid_namespace());
        }
        let sid = SessionId::random().to_string();
        let member: Rc<dyn NamespaceMember> = Rc::new(EchoMember { sid, auth, sender: Default::default() });
        Ok(Box::pin(std::future::ready(Ok(member))))
    }
}

struct EchoMember {
    sid: String,
    auth: Option<Bytes>,
    sender: std::cell::OnceCell<NamespaceSender>,
}

impl NamespaceMember for EchoMember {
    fn sid(&self) -> String {
        self.sid.clone()
    }

    fn start(self: Rc<Self>, sender: NamespaceSender) {
        let auth = self.auth.as_deref().unwrap_or(b"{}");
        let frame = socketio::emit_parts(sender.namespace(), &[b"[\"auth\",", auth, b"]"], None, &[]);
        let engine = sender.engine().clone();
        // The suites wait for one message at a time and lose a second one from the same read.
        actix_rt::spawn(async move {
            sleep(AUTH_DELAY).await;
            engine.send(frame);
        });
        let _ = self.sender.set(sender);
    }

    fn receive(&self, whole: Whole) {
        let Some(sender) = self.sender.get().filter(|sender| sender.namespace() == "/") else { return };
        let Packet::Event { namespace, event, ack, .. } = whole.packet else { return };
        let Ok(arguments) = serde_json::from_str::<Vec<&RawValue>>(&event.text) else { return };
        let mut answer = Vec::from(b"[");
        if event.name == "message" {
            answer.extend(b"\"message-back\"");
        }
        for argument in arguments.into_iter().skip(1) {
            if answer.len() > 1 {
                answer.push(b',');
            }
            answer.extend(argument.get().as_bytes());
        }
        answer.push(b']');
        match (&*event.name, ack) {
            ("message", _) => sender.engine().send(socketio::emit(&namespace, &answer, None, &whole.attachments)),
            ("message-with-ack", Some(id)) => {
                sender.engine().send(socketio::ack(&namespace, id, &answer, &whole.attachments));
            }
            _ => {}
        }
    }

    fn is_busy(&self) -> bool {
        false
    }

    fn close_after_replies(&self, _: Close) {}

    fn end(&self, _: Option<Close>) {}
}
