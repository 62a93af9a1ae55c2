//! Engine.IO over HTTP long polling: a GET opens a session or waits for its packets, a POST sends packets.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use hubbub_actors::model::fault::{Code, Fault};

use super::error::EngineError;
use super::query::{self, EngineQuery, EngineTransport};
use super::router::EngineRouter;
use crate::error::RefusalCause;
use crate::http_stream::Exchange;
use crate::request_body;

/// The response at the paths where the reference server serves the client library.
const NO_CLIENT_LIBRARY: &str = "The hub does not serve the client library: run `npm install socket.io-client`, or load it \
    from a CDN, for example https://cdn.socket.io/4.8.1/socket.io.min.js";

/// Serves the endpoint at `path`, with and without a trailing slash.
pub fn routes(path: &str, router: Arc<EngineRouter>) -> impl FnOnce(&mut web::ServiceConfig) {
    // One resource a path: a resource of several paths costs the router a regular expression.
    let paths = [format!("{path}/"), path.to_owned()];
    // The library's builds and their source maps: `socket.io.js`, `socket.io.esm.min.js.map` and the like.
    let library = format!("{path}/{{build:socket\\.io(\\.[a-z]+)*\\.js(\\.map)?}}");
    move |cfg| {
        let router = web::Data::from(router);
        for path in paths {
            cfg.service(web::resource(path).app_data(router.clone()).default_service(web::to(answer)));
        }
        cfg.service(web::resource(library).default_service(web::to(no_client_library)));
    }
}

async fn no_client_library() -> Result<HttpResponse, crate::error::HttpError> {
    Err(Fault::new(Code::NotFound, NO_CLIENT_LIBRARY).into())
}

async fn answer(request: HttpRequest, payload: Payload, router: web::Data<EngineRouter>) -> HttpResponse {
    match handle(&request, payload, &router).await {
        Ok(body) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "text/plain; charset=UTF-8"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(body),
        Err(refusal) => {
            if !query::names_session(request.query_string()) {
                let client = router.client(request.head());
                router.note_refused(&client, &refusal.fault);
            }
            let mut answer = HttpResponse::build(refusal.status);
            for header in refusal.headers() {
                answer.insert_header(header);
            }
            let mut answer = answer.body(refusal.body());
            answer.extensions_mut().insert(RefusalCause(refusal.fault));
            answer
        }
    }
}

async fn handle(request: &HttpRequest, payload: Payload, router: &EngineRouter) -> Result<Vec<u8>, EngineError> {
    let parsed = EngineQuery::parse(request.query_string())?;
    if parsed.transport == EngineTransport::WebSocket {
        return Err(EngineError::bad_request("the transport websocket needs an upgrade"));
    }
    match (request.method(), parsed.sid()?) {
        (&Method::GET, None) => {
            let client = router.admit(request.head(), false).await?;
            router.open(client).await
        }
        (&Method::GET, Some(sid)) => {
            let exchange = request.conn_data::<Rc<Exchange>>();
            router.poll(sid, exchange.map(|exchange| &**exchange)).await.inspect(|_| mark_known(request))
        }
        (&Method::POST, Some(sid)) => {
            let posting = router.begin_post(sid).await?;
            mark_known(request);
            let result = posting.finish(|most| body(request, payload, most)).await;
            result.map(|()| b"ok".to_vec())
        }
        _ => Err(EngineError::bad_method()),
    }
}

/// The client has a session with a traffic budget, so its next request needs no turn of the pacer.
fn mark_known(request: &HttpRequest) {
    if let Some(exchange) = request.conn_data::<Rc<Exchange>>() {
        exchange.mark_known();
    }
}

async fn body(request: &HttpRequest, payload: Payload, most: usize) -> Result<Bytes, EngineError> {
    request_body::read(request, payload, most).await.map_err(|fault| match fault.code {
        Code::PayloadTooLarge => EngineError::too_large(most),
        Code::RequestTimeout => EngineError::too_slow(),
        _ => EngineError::of(&fault),
    })
}
