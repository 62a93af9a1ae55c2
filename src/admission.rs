//! Admits clients to every surface: the shutdown and origin checks, the limit of connections per address, the host, and the
//! token of the query.

use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix_http::RequestHead;
use actix_http::header::{self, HeaderValue};
use actix_web::web::Query;
use actix_web::{HttpMessage as _, HttpRequest};
use hubbub_actors::hub::LimitKey;
use hubbub_actors::model::client::Peer;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::UserId;
use hubbub_actors::refusal_log::Refusal;
use hubbub_actors::refusal_log::counts::RefusedAt;

use crate::peer::{BasePath, ClientAddress, limit_key};
use crate::policies::Policies;
use crate::request_id::HttpRequestId;
use crate::state::SharedState;

/// A client that opens a connection.
#[derive(Debug, Default)]
pub struct ClientInfo {
    /// The client's address, if it is known.
    pub address: Option<ClientAddress>,
    /// The client as the hub's log names it.
    pub peer: Peer,
    /// The connection's name in the log before it has a session: the first characters of its `sid`.
    pub connection: Option<Box<str>>,
    /// The user, once a token was verified.
    pub user: OnceCell<UserId>,
}

impl ClientInfo {
    /// The client that sent a request with this head.
    pub fn of(state: &SharedState, policies: &Policies, head: &RequestHead) -> Self {
        let headers = &head.headers;
        let address = head.peer_addr.map(|peer| policies.proxies.client_address(peer.ip(), headers));
        let user_agent = headers.get(header::USER_AGENT).map(|value| value.as_bytes());
        let peer = state.hub.peer(address.as_ref().map(|address| address.ip), user_agent);
        Self { address, peer, ..Self::default() }
    }

    /// Counts that this client was refused at `at`.
    pub fn note_refused(&self, state: &SharedState, at: RefusedAt, fault: &Fault) {
        state.hub.note_refused(at, &self.peer, fault);
    }

    /// Logs that this client was refused; `with` adds fields.
    pub fn log_refused<'a>(
        &'a self,
        state: &SharedState,
        at: RefusedAt,
        fault: &'a Fault,
        with: impl FnOnce(Refusal<'a>) -> Refusal<'a>,
    ) {
        let refusal = Refusal {
            connection: self.connection.as_deref(),
            address: self.peer.address,
            user: self.user.get().map(UserId::as_str),
            ..Refusal::new(at.as_str(), fault)
        };
        state.hub.log_refusal(&with(refusal));
    }

    /// Counts and logs that the upgrade of this client is refused.
    pub fn refuse_upgrade(&self, state: &SharedState, at: RefusedAt, request: &HandshakeRequest<'_>, fault: &Fault) {
        self.note_refused(state, at, fault);
        self.log_refused(state, at, fault, |refusal| request.describe(refusal));
    }
}

/// An upgrade request, as the log names it.
#[derive(Debug, Clone, Copy)]
pub struct HandshakeRequest<'a> {
    /// Its id.
    pub id: &'a HttpRequestId,
    /// Its head.
    pub head: &'a RequestHead,
    /// `Host` was its last header line.
    pub is_host_last: bool,
}

impl HandshakeRequest<'_> {
    /// Adds this request to a log line.
    fn describe<'a>(&'a self, refusal: Refusal<'a>) -> Refusal<'a> {
        let target = Some((self.head.method.as_str(), self.head.uri.path()));
        Refusal { request: Some(self.id.as_str()), target, ..refusal }
    }
}

/// Counts and logs that a connection of `address` was refused. `id` is the request id in its response.
pub fn note_refused_connection(state: &SharedState, address: Option<IpAddr>, id: &HttpRequestId, fault: &Fault) {
    let at = RefusedAt::Http;
    state.hub.note_refused(at, &state.hub.peer(address, None), fault);
    state.hub.log_refusal(&Refusal { request: Some(id.as_str()), address, ..Refusal::new(at.as_str(), fault) });
}

/// Checks that the hub accepts clients, and that the origin is allowed.
///
/// # Errors
/// [`Code::ShuttingDown`] and
/// [`Code::OriginNotAllowed`].
pub fn check_origin(state: &SharedState, policies: &Policies, head: &RequestHead) -> Result<(), Fault> {
    state.hub.accepting()?;
    let text = |name| head.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if policies.origins.allows(text(header::ORIGIN), text(header::HOST)) {
        return Ok(());
    }
    Err(Fault::origin_not_allowed(head.headers.get(header::ORIGIN).map(HeaderValue::as_bytes)))
}

/// The routes that load balancers, orchestrators and scrapers may request by an address instead of a host name.
const ROUTES_BY_ADDRESS: [&str; 4] = ["/health", "/health/live", "/health/ready", "/metrics"];

/// Checks the host of a request for `route`: in `Host`, and in its target, if it has one there.
///
/// # Errors
/// [`Code::HostNotAllowed`].
pub fn check_host(policies: &Policies, head: &RequestHead, route: Option<&str>) -> Result<(), Fault> {
    let by_address = route.is_some_and(|route| ROUTES_BY_ADDRESS.contains(&route));
    let allows = |host: Option<&str>| match by_address {
        true => policies.hosts.allows_health_check(host),
        false => policies.hosts.allows(host),
    };
    let host = head.headers.get(header::HOST).map(|value| value.to_str().unwrap_or_default());
    if let Some(target) = head.uri.authority().map(|authority| authority.as_str())
        && !allows(Some(target))
    {
        return Err(Fault::host_not_allowed(Some(target.as_bytes())));
    }
    let sent = head.headers.get(header::HOST).map(HeaderValue::as_bytes);
    if allows(host) { Ok(()) } else { Err(Fault::host_not_allowed(sent)) }
}

/// The refusal of a path outside the base path.
pub fn outside_base_path(base: &BasePath) -> Fault {
    if base.as_str().is_empty() {
        // `OPTIONS *` has no path.
        return Fault::new(Code::NotFound, "No endpoint at this path");
    }
    Fault::new(Code::NotFound, format!("No endpoint at this path: this hub is at {base}/")).by("server.base_path")
}

/// The address that a client's connections count for; `None` if they are exempt.
pub fn limit_address(policies: &Policies, address: Option<&ClientAddress>) -> Option<IpAddr> {
    let exempt = |address: &ClientAddress| policies.config.limits.exempt_loopback && address.direct_loopback;
    address.filter(|address| !exempt(address)).map(|address| limit_key(address.ip))
}

/// The policies of `request`. They are taken once, so that a request never sees two configurations.
pub fn policies_of(state: &SharedState, request: &HttpRequest) -> Arc<Policies> {
    if let Some(policies) = request.extensions().get::<Arc<Policies>>() {
        return policies.clone();
    }
    let policies = state.policies();
    request.extensions_mut().insert(policies.clone());
    policies
}

/// The address of the client that sent `request`; the unspecified address if the socket has lost its peer.
pub fn client_address(state: &SharedState, request: &HttpRequest) -> ClientAddress {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    policies_of(state, request).proxies.client_address(peer, request.headers())
}

/// Counts a connection for its address, unless it is exempt; at most `most` a minute.
///
/// # Errors
/// [`Code::RateLimited`].
pub async fn count(
    state: &SharedState,
    policies: &Policies,
    address: Option<&ClientAddress>,
    key: impl FnOnce(IpAddr) -> LimitKey,
    most: u32,
) -> Result<(), Fault> {
    match limit_address(policies, address) {
        Some(address) => state.hub.admit(key(address), most).await,
        None => Ok(()),
    }
}

/// The first `token` of the query that is not empty.
pub fn token_in_query(head: &RequestHead) -> Option<String> {
    let pairs = Query::<Vec<(String, String)>>::from_query(head.uri.query().unwrap_or_default()).ok()?.into_inner();
    pairs.into_iter().find(|(name, token)| name == "token" && !token.is_empty()).map(|(_, token)| token)
}
