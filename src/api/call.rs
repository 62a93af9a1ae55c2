//! The caller and the id of a plain HTTP request, as the log names them.

use std::cell::OnceCell;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::http::{Method, Uri};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use hubbub_actors::model::fault::Fault;
use hubbub_actors::refusal_log::Refusal as Refused;
use hubbub_actors::refusal_log::counts::RefusedAt;

use crate::auth::api_key::ApiKey;
use crate::auth::scope::Scope;
use crate::error::HttpError;
use crate::policies::Policies;
use crate::request_id::HttpRequestId;
use crate::socketio::sid;
use crate::state::SharedState;

/// A request as the log names it. The middleware makes it, the guard adds the key, and handlers take it as an argument.
#[derive(Debug, Clone)]
pub(super) struct Call(Rc<CallData>);

#[derive(Debug)]
struct CallData {
    id: HttpRequestId,
    address: Option<IpAddr>,
    /// `None` for a request that could not be read. Its substitute has a method and a path that the hub made up.
    target: Option<(Method, Uri)>,
    is_socket_io: bool,
    key: OnceCell<ApiKey>,
    user: OnceCell<String>,
}

impl Call {
    /// The call of `request`. `is_whole` is false for the substitute of an unreadable request.
    pub(super) fn of(policies: &Policies, request: &HttpRequest, is_whole: bool) -> Self {
        let address = request.peer_addr().map(|peer| policies.proxies.client_address(peer.ip(), request.headers()).ip);
        Self(Rc::new(CallData {
            id: HttpRequestId::of(request.headers()),
            address,
            is_socket_io: is_whole && policies.base.route(request.path()) == Some("/socket.io"),
            target: is_whole.then(|| (request.method().clone(), request.uri().clone())),
            key: OnceCell::new(),
            user: OnceCell::new(),
        }))
    }

    /// Its id.
    pub(super) fn id(&self) -> &HttpRequestId {
        &self.0.id
    }

    /// The client's address, behind trusted proxies.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// The path as the caller sent it.
    pub(super) fn path(&self) -> Option<&str> {
        self.0.target.as_ref().map(|(_, uri)| uri.path())
    }

    /// The name of its API key, if it has one.
    pub(super) fn key(&self) -> Option<&str> {
        self.0.key.get().map(|key| &*key.name)
    }

    /// The user of its token, if it has one.
    pub(super) fn user(&self) -> Option<&str> {
        self.0.user.get().map(String::as_str)
    }

    /// Sets the API key.
    pub(super) fn set_key(&self, key: &ApiKey) {
        let _ = self.0.key.set(key.clone());
    }

    /// Sets the user.
    pub(super) fn set_user(&self, user: &str) {
        let _ = self.0.user.set(user.to_owned());
    }

    /// Refuses a call with an API key that lacks the scope `needed`.
    ///
    /// # Errors
    /// [`Code::Forbidden`](hubbub_actors::model::fault::Code::Forbidden).
    pub(super) fn check_scope(&self, needed: Scope) -> Result<(), Fault> {
        self.0.key.get().map_or(Ok(()), |key| key.check_scope(needed))
    }

    /// Logs that the request is refused.
    pub(super) fn log_refused(&self, state: &SharedState, fault: &Fault) {
        state.hub.log_refusal(&self.refused(fault));
    }

    /// Logs that a command of the batch is refused; `item` is its index.
    pub(super) fn log_item_refused(&self, state: &SharedState, item: usize, fault: &Fault) {
        state.hub.log_refusal(&Refused { item: Some(item), ..self.refused(fault) });
    }

    fn refused<'a>(&'a self, fault: &'a Fault) -> Refused<'a> {
        let facts = &*self.0;
        let uri = facts.target.as_ref().map(|(_, uri)| uri);
        let surface = if facts.is_socket_io { RefusedAt::SocketIo } else { RefusedAt::Http };
        let sid = uri.filter(|_| facts.is_socket_io).and_then(|uri| sid::short_of_query(uri.query()?));
        Refused {
            request: Some(facts.id.as_str()),
            connection: sid,
            address: facts.address,
            user: self.user(),
            key: self.key(),
            target: facts.target.as_ref().map(|(method, uri)| (method.as_str(), uri.path())),
            ..Refused::new(surface.as_str(), fault)
        }
    }
}

impl FromRequest for Call {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let call = request.extensions().get::<Self>().cloned();
        ready(call.ok_or_else(|| Fault::internal().caused_by("the middleware did not run").into()))
    }
}
