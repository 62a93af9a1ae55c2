//! The HTTP API: the route table, the middleware, and one file for each resource.
//!
//! A request passes the [`middleware`] (request id, CORS, the shape of errors, metrics), and under `/api` also the
//! [`guard`] (key, limits, signature, `Idempotency-Key`). A handler parses the request, calls the hub, and returns a
//! response or a [`Fault`]; it sets no status but success. The handlers of the operators' endpoints are in [`crate::ops`].
//!
//! To add a route: write the handler and its [`openapi::Operation`] in the file of its resource, and a row in [`endpoints`].
//! Then renew the description and its page: `hubbub openapi --write docs/openapi.json`, and the same with
//! `--format markdown --write docs/http-api.md` (`cargo test --test hub openapi` compares both). Tests of the whole app with a manual clock are in `src/api/tests/`:
//! `guarded.rs` for what the guard does, `routes.rs` for the responses. Tests over sockets are in `tests/`: `push/` for
//! commands and reads of rooms, `raw/history/pages.rs` for histories, `raw_http.rs` and `community_http.rs` for operators,
//! `accounts.rs`, `chats.rs` and `revocation.rs`.

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

use crate::error::HandlerResult;
use crate::openapi;
use crate::ops::{health, info, metrics, status};
use crate::state::SharedState;
use endpoint::{Endpoint, guarded, public};

/// The routes, one per line: the path, and each method with its handler and its operation. `public` needs no API key; `guarded`
/// is behind the guard.
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
        public("/sessions/{session}").delete(sessions::end, &sessions::END),
        guarded("/api/push").post(push::push, &push::PUSH),
        guarded("/api/broadcast").post(push::broadcast, &push::BROADCAST),
        guarded("/api/room").post(push::room, &push::ROOM),
        guarded("/api/disconnect").post(push::disconnect, &push::DISCONNECT),
        guarded("/api/revoke").post(revoke::revoke, &revoke::REVOKE),
        guarded("/api/batch").post(batch::batch, &batch::BATCH),
        guarded("/api/users").post(users::add, &users::ADD),
        guarded("/api/status").get(status::push, &status::PUSH),
        guarded("/api/events").get(events::list, &events::LIST),
        guarded("/api/rooms").get(rooms::list, &rooms::LIST),
        guarded("/api/rooms/{room:.+}/history").get(history::history, &history::HISTORY),
        guarded("/api/rooms/{room:.+}").get(rooms::one, &rooms::ONE),
        guarded("/api/chats/{chat:.+}")
            .put(chats::put, &chats::PUT)
            .get(chats::get, &chats::GET)
            .delete(chats::delete, &chats::DELETE),
        guarded("/api/presence/{user:.+}").get(presence::presence, &presence::PRESENCE),
    ]
}

/// Adds the routes to an app.
pub fn routes(cfg: &mut web::ServiceConfig) {
    for endpoint in endpoints() {
        cfg.service(endpoint);
    }
}

/// The descriptions of the routes, in their order.
pub fn described() -> Vec<openapi::Route> {
    endpoints().into_iter().flat_map(Endpoint::into_routes).collect()
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
