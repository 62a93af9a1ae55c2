//! The HTTP API: the route table, the middleware, and one file for each resource.
//!
//! A request passes the [`middleware`] (request id, CORS, the shape of errors, metrics), and under `/api` also the
//! [`guard`] (key, limits, scope, signature, `Idempotency-Key`). A handler parses the request, calls the hub, and returns a
//! response or a [`Fault`]; it sets no status but success. The handlers of the operators' endpoints are in [`crate::ops`].
//!
//! To add a route: write the handler in the file of its resource, a row in [`routes`], and a row in `docs/backends.md`
//! (`cargo test --test hub documents` compares both). Tests of the whole app with a manual clock are in `src/api/tests/`:
//! `guarded.rs` for what the guard does, `routes.rs` for the responses. Tests over sockets are in `tests/`: `push/` for
//! commands and reads of rooms, `raw/history/pages.rs` for histories, `raw_http.rs` and `community_http.rs` for operators,
//! `accounts.rs`, `chats.rs` and `revocation.rs`.

mod audit;
mod batch;
mod call;
mod chats;
mod cors;
mod endpoint;
mod events;
mod guard;
mod history;
mod json;
mod middleware;
mod presence;
mod push;
mod push_command;
mod revoke;
mod rooms;
mod routing;
mod sessions;
mod timestamps;
mod users;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::{App, Error, web};
use hubbub_actors::model::fault::{Code, Fault};

use crate::auth::scope::Scope;
use crate::error::HandlerResult;
use crate::ops::{health, info, metrics, status};
use crate::state::SharedState;
use endpoint::{guarded, public};
use timestamps::iso;

/// The routes, one per line. `public` needs no API key; `guarded` is behind the guard, and needs a key with its scope. Reading
/// needs [`Scope::to_read`] of it.
///
/// The order is significant: the first route with a matching path answers, and `{room:.+}` matches slashes too. So
/// `/{room:.+}/history` comes before `/{room:.+}`, and takes names away from it: the room `a/history` is requested as
/// `/api/rooms/a%2Fhistory`.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(public("/").get(info::root))
        .service(public("/health").get(health::health))
        .service(public("/health/live").get(health::live))
        .service(public("/health/ready").get(health::ready))
        .service(public("/status").get(status::community))
        .service(public("/info").get(info::info))
        .service(public("/metrics").get(metrics::metrics))
        .service(public("/ws").get(info::not_an_upgrade))
        .service(public("/sessions").post(sessions::sign_in))
        .service(public("/sessions/refresh").post(sessions::refresh))
        .service(public("/sessions/{session}").delete(sessions::end))
        .service(guarded("/api/push", Scope::Push).post(push::push))
        .service(guarded("/api/broadcast", Scope::Push).post(push::broadcast))
        .service(guarded("/api/room", Scope::Push).post(push::room))
        .service(guarded("/api/disconnect", Scope::Sessions).post(push::disconnect))
        .service(guarded("/api/revoke", Scope::Sessions).post(revoke::revoke))
        .service(guarded("/api/batch", Scope::Push).post(batch::batch))
        .service(guarded("/api/users", Scope::Users).post(users::add))
        .service(guarded("/api/status", Scope::StatusRead).get(status::push))
        .service(guarded("/api/events", Scope::EventsRead).get(events::list))
        .service(guarded("/api/rooms", Scope::RoomsRead).get(rooms::list))
        .service(guarded("/api/rooms/{room:.+}/history", Scope::RoomsRead).get(history::history))
        .service(guarded("/api/rooms/{room:.+}", Scope::RoomsRead).get(rooms::one))
        .service(guarded("/api/chats/{chat:.+}", Scope::Chats).put(chats::put).get(chats::get).delete(chats::delete))
        .service(guarded("/api/presence/{user:.+}", Scope::PresenceRead).get(presence::presence));
}

/// The whole HTTP app, as it is served and as it is tested. Endpoints that are added with `configure` get the middleware too.
pub fn app(
    state: web::Data<SharedState>,
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
        .wrap(actix_web::middleware::from_fn(middleware::handle))
        .configure(routes)
        .default_service(web::to(not_found))
}

async fn not_found() -> HandlerResult {
    Err(Fault::new(Code::NotFound, "No endpoint at this path").into())
}

#[cfg(test)]
mod tests;
