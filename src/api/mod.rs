//! Everything that is asked over plain HTTP: the table of endpoints, and what all of them share.
//!
//! A request passes the [`middleware`] (request id, CORS, the shape of errors, metrics), and under `/api` also the
//! [`guard`] (key, limits, signature, `Idempotency-Key`); what reaches a handler was let in. A handler parses, asks the
//! hub, and returns an answer or a [`Fault`]; it knows no status but success. One resource
//! a file. This module knows nothing of WebSockets beyond saying where they are spoken.

mod audit;
mod batch;
pub(crate) mod body;
mod call;
mod chats;
mod cors;
mod endpoint;
mod events;
mod guard;
mod health;
mod history;
mod info;
mod json;
mod metrics;
mod middleware;
mod presence;
mod push;
mod revoke;
mod rooms;
mod routing;
mod sessions;
mod status;
mod timestamps;
mod users;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::{App, Error, web};
use hubbub_actors::model::fault::{Code, Fault};

use crate::error::HttpError;
use crate::state::State;
use endpoint::{api, at};
use timestamps::iso;

pub(crate) use self::middleware::RefusedFor;

/// What a handler returns.
type Answer = Result<actix_web::HttpResponse, HttpError>;

/// The endpoints, one a line. `at` is open to everyone, `api` is behind the gate.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(at("/").get(info::root))
        .service(at("/health").get(health::health))
        .service(at("/health/live").get(health::live))
        .service(at("/health/ready").get(health::ready))
        .service(at("/status").get(status::community))
        .service(at("/info").get(info::info))
        .service(at("/metrics").get(metrics::metrics))
        .service(at("/ws").get(info::not_an_upgrade))
        .service(at("/sessions").post(sessions::sign_in))
        .service(at("/sessions/refresh").post(sessions::refresh))
        .service(at("/sessions/{session}").delete(sessions::end))
        .service(api("/api/push").post(push::push))
        .service(api("/api/broadcast").post(push::broadcast))
        .service(api("/api/room").post(push::room))
        .service(api("/api/disconnect").post(push::disconnect))
        .service(api("/api/revoke").post(revoke::revoke))
        .service(api("/api/batch").post(batch::batch))
        .service(api("/api/users").post(users::add))
        .service(api("/api/status").get(status::push))
        .service(api("/api/events").get(events::list))
        .service(api("/api/rooms").get(rooms::list))
        .service(api("/api/rooms/{room:.+}/history").get(history::history))
        .service(api("/api/rooms/{room:.+}").get(rooms::one))
        .service(api("/api/chats/{chat:.+}").put(chats::put).get(chats::get).delete(chats::delete))
        .service(api("/api/presence/{user:.+}").get(presence::presence));
}

/// The whole HTTP app, as it is served and as it is tested. More endpoints can be added with `configure`; they get the
/// border for free.
pub fn app(
    state: web::Data<State>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(state)
        .wrap(actix_web::middleware::from_fn(middleware::border))
        .configure(routes)
        .default_service(web::to(nothing_here))
}

async fn nothing_here() -> Answer {
    Err(Fault::new(Code::NotFound, "There is nothing here").into())
}

#[cfg(test)]
mod tests;
