//! Engine.IO over plain HTTP: a GET opens a session or waits for what it says, a POST says something to it.

use std::sync::Arc;
use std::time::Duration;

use actix_rt::time::timeout;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::house::Switchboard;
use super::query::{Ask, Transport};
use super::refusal::Refusal;

/// How long the body of a request may take to come.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The endpoint `path`, with and without a slash behind it.
pub fn routes(path: &str, switchboard: Arc<Switchboard>) -> impl FnOnce(&mut web::ServiceConfig) {
    let paths = [format!("{path}/"), path.to_owned()];
    move |cfg| {
        let switchboard = web::Data::from(switchboard);
        cfg.service(web::resource(paths.to_vec()).app_data(switchboard).default_service(web::to(answer)));
    }
}

async fn answer(request: HttpRequest, payload: Payload, switchboard: web::Data<Switchboard>) -> HttpResponse {
    match handle(&request, payload, &switchboard).await {
        Ok(body) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "text/plain; charset=UTF-8"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(body),
        Err(refusal) => {
            let mut answer = HttpResponse::build(refusal.status);
            for header in refusal.headers() {
                answer.insert_header(header);
            }
            answer.body(refusal.body())
        }
    }
}

async fn handle(request: &HttpRequest, payload: Payload, switchboard: &Switchboard) -> Result<Vec<u8>, Refusal> {
    let ask = Ask::parse(request.query_string())?;
    if ask.transport == Transport::WebSocket {
        return Err(Refusal::bad_request("the transport websocket needs an upgrade"));
    }
    match (request.method(), ask.sid()?) {
        (&Method::GET, None) => {
            let caller = switchboard.admit(request.head()).await?;
            switchboard.open(caller).await
        }
        (&Method::GET, Some(sid)) => switchboard.poll(sid).await,
        (&Method::POST, Some(sid)) => {
            let posting = switchboard.begin_post(sid).await?;
            let heard = posting.finish(request.headers(), |most| body(payload, most)).await;
            heard.map(|()| b"ok".to_vec())
        }
        _ => Err(Refusal::bad_method()),
    }
}

async fn body(payload: Payload, most: usize) -> Result<Bytes, Refusal> {
    match timeout(BODY_TIME, payload.to_bytes_limited(most)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(error))) => Err(Refusal::bad_request(&error.to_string())),
        Ok(Err(_)) => Err(Refusal::too_large(most)),
        Err(_) => Err(Refusal::too_slow()),
    }
}
