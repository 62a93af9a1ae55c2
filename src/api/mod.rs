//! The HTTP API: the route table, the middleware, and one file for each resource.
//!
//! A request passes the [`middleware`] (request id, CORS, the shape of errors, metrics), and under `/api` also the
//! [`guard`] (key, limits, scope, signature, `Idempotency-Key`). A handler parses the request, calls the hub, and returns a
//! response or a [`Fault`]; it sets no status but success. The handlers of the operators' endpoints are in [`crate::ops`].
//!
//! `docs/contributing.md` has the steps to add a route. Tests of the whole app with a manual clock are in `src/api/tests/`:
//! `guarded.rs` for what the guard does, `routes.rs` for the responses. Tests over sockets are in `tests/`: `openapi/` for
//! the description, `push/` for commands and reads of rooms, `raw/history/pages.rs` for histories, `raw_http.rs` and
//! `community_http.rs` for operators, `accounts.rs`, `chats.rs` and `revocation.rs`.

mod audit;
mod batch;
mod call;
mod chats;
mod cors;
mod description;
mod endpoint;
mod events;
mod guard;
mod history;
mod json;
mod middleware;
mod presence;
mod push;
mod push_command;
mod request;
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
use crate::openapi;
use crate::ops::{health, info, metrics, status};
use crate::state::SharedState;
use endpoint::{Endpoint, guarded, public};

/// The routes, one per line: the path, and each method with its handler and its operation. `public` needs no API key; `guarded`
/// is behind the guard, and needs a key with its scope. Reading needs [`Scope::to_read`] of it.
///
/// The order is significant: the first route with a matching path answers, and `{room:.+}` matches slashes too. So
/// `/{room:.+}/history` comes before `/{room:.+}`, and takes names away from it: the room `a/history` is requested as
/// `/api/rooms/a%2Fhistory`.
fn endpoints() -> Vec<Endpoint> {
    vec![
        public("/").get(info::root, &info::ROOT),
        public("/health").get(health::health, &health::HEALTH),
        public("/health/live").get(health::live, &health::LIVE),
        public("/health/ready").get(health::ready, &health::READY),
        public("/status").get(status::community, &status::COMMUNITY),
        public("/info").get(info::info, &info::INFO),
        public("/metrics").get(metrics::metrics, &metrics::METRICS),
        public("/openapi.json").get(description::description, &description::DESCRIPTION),
        public("/ws").get(info::not_an_upgrade, &info::CONNECT),
        public("/sessions").post(sessions::sign_in, &sessions::SIGN_IN),
        public("/sessions/refresh").post(sessions::refresh, &sessions::REFRESH),
        public("/sessions/{session_id}").delete(sessions::end, &sessions::END),
        guarded("/api/push", Scope::Push).post(push::push, &push::PUSH),
        guarded("/api/broadcast", Scope::Push).post(push::broadcast, &push::BROADCAST),
        guarded("/api/room", Scope::Push).post(push::room, &push::ROOM),
        guarded("/api/disconnect", Scope::Sessions).post(push::disconnect, &push::DISCONNECT),
        guarded("/api/revoke", Scope::Sessions).post(revoke::revoke, &revoke::REVOKE),
        guarded("/api/batch", Scope::Push).post(batch::batch, &batch::BATCH),
        guarded("/api/users", Scope::Users).post(users::add, &users::ADD),
        guarded("/api/status", Scope::StatusRead).get(status::push, &status::PUSH),
        guarded("/api/events", Scope::EventsRead).get(events::list, &events::LIST),
        guarded("/api/rooms", Scope::RoomsRead).get(rooms::list, &rooms::LIST),
        guarded("/api/rooms/{room:.+}/history", Scope::RoomsRead).get(history::history, &history::HISTORY),
        guarded("/api/rooms/{room:.+}", Scope::RoomsRead).get(rooms::one, &rooms::ONE),
        guarded("/api/chats/{chatId:.+}", Scope::Chats)
            .put(chats::put, &chats::PUT)
            .get(chats::get, &chats::GET)
            .delete(chats::delete, &chats::DELETE),
        guarded("/api/presence/{userId:.+}", Scope::PresenceRead).get(presence::presence, &presence::PRESENCE),
    ]
}

/// Adds the routes to an app. The router tries them in this order, and a path with parameters costs it a regular
/// expression: these come last.
pub fn routes(cfg: &mut web::ServiceConfig) {
    let (with_parameters, fixed): (Vec<_>, Vec<_>) = endpoints().into_iter().partition(Endpoint::has_parameters);
    for endpoint in fixed.into_iter().chain(with_parameters) {
        cfg.service(endpoint);
    }
}

/// The descriptions of the routes, in their order.
pub fn described() -> Vec<openapi::Route> {
    endpoints().into_iter().flat_map(Endpoint::into_routes).collect()
}

/// The whole HTTP app, as it is served and as it is tested. `first` adds endpoints that the router tries before the others.
pub fn app(
    state: web::Data<SharedState>,
    first: impl FnOnce(&mut web::ServiceConfig),
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
        .configure(first)
        .configure(routes)
        .default_service(web::to(not_found))
}

async fn not_found() -> HandlerResult {
    Err(Fault::new(Code::NotFound, "No endpoint at this path").into())
}

#[cfg(test)]
mod tests;
