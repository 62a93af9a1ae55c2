//! What is asked of every client that wants a connection, whatever it will speak: from which page it comes, how often its
//! address came, and where a token may be.

use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix_http::RequestHead;
use actix_http::header;
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
use crate::state::State;

/// Who wants a connection.
#[derive(Debug, Default)]
pub struct ClientInfo {
    /// Where the client is, if that is known.
    pub address: Option<ClientAddress>,
    /// The client.
    pub peer: Peer,
    /// What the log calls its connection, where that has no session yet: the first characters of its `sid`.
    pub connection: Option<Box<str>>,
    /// The user, once a token said who that is.
    pub user: OnceCell<UserId>,
}

impl ClientInfo {
    /// Who sent a handshake, as far as its head tells.
    pub fn of(state: &State, policies: &Policies, head: &RequestHead) -> Self {
        let headers = &head.headers;
        let address = head.peer_addr.map(|peer| policies.proxies.client_address(peer.ip(), headers));
        let user_agent = headers.get(header::USER_AGENT).map(|value| value.as_bytes());
        let peer = state.hub.peer(address.as_ref().map(|address| address.ip), user_agent);
        Self { address, peer, ..Self::default() }
    }

    /// Notes that this client was not let in at `at`.
    pub fn note_refused(&self, state: &State, at: RefusedAt, fault: &Fault) {
        state.hub.note_refused(at, &self.peer, fault.code);
    }

    /// Logs what this client was refused; `with` adds what else is known.
    pub fn log_refused<'a>(
        &'a self,
        state: &State,
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

    /// Notes and logs that the upgrade that this client asked for is refused.
    pub fn refuse_upgrade(&self, state: &State, at: RefusedAt, request: &HandshakeRequest<'_>, fault: &Fault) {
        self.note_refused(state, at, fault);
        self.log_refused(state, at, fault, |refusal| request.describe(refusal));
    }
}

/// The request of a handshake, as the log names it.
#[derive(Debug, Clone, Copy)]
pub struct HandshakeRequest<'a> {
    /// Its id.
    pub id: &'a HttpRequestId,
    /// Its head.
    pub head: &'a RequestHead,
    /// `Host` was the last header line of it.
    pub is_host_last: bool,
}

impl HandshakeRequest<'_> {
    /// A refusal of this request.
    fn describe<'a>(&'a self, refusal: Refusal<'a>) -> Refusal<'a> {
        let target = Some((self.head.method.as_str(), self.head.uri.path()));
        Refusal { request: Some(self.id.as_str()), target, ..refusal }
    }
}

/// Notes and logs that a connection of `address` was not taken, which its client was told by this request id.
pub fn note_refused_connection(state: &State, address: Option<IpAddr>, id: &HttpRequestId, fault: &Fault) {
    let at = RefusedAt::Http;
    state.hub.note_refused(at, &state.hub.peer(address, None), fault.code);
    state.hub.log_refusal(&Refusal { request: Some(id.as_str()), address, ..Refusal::new(at.as_str(), fault) });
}

/// Lets in who comes while the hub takes clients, from a page that may.
///
/// # Errors
/// [`Code::ShuttingDown`] and
/// [`Code::OriginNotAllowed`].
pub fn check_origin(state: &State, policies: &Policies, head: &RequestHead) -> Result<(), Fault> {
    state.hub.accepting()?;
    let text = |name| head.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if policies.origins.allows(text(header::ORIGIN), text(header::HOST)) {
        return Ok(());
    }
    Err(Fault::origin_not_allowed())
}

/// The routes that are asked by the hub's address: by load balancers, orchestrators and collectors of metrics.
const ROUTES_BY_ADDRESS: [&str; 4] = ["/health", "/health/live", "/health/ready", "/metrics"];

/// Checks the name by which a request for `route` asks for this hub: that of `Host`, and that of its target, where it has one.
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
    let target = head.uri.authority().is_none_or(|authority| allows(Some(authority.as_str())));
    if target && allows(host) { Ok(()) } else { Err(Fault::host_not_allowed()) }
}

/// What a request is told whose path is not under the base path.
pub fn outside_base_path(base: &BasePath) -> Fault {
    if base.as_str().is_empty() {
        // `OPTIONS *`: what is asked for is no path.
        return Fault::new(Code::NotFound, "There is nothing here");
    }
    Fault::new(Code::NotFound, format!("There is nothing here: this hub is at {base}/")).by("server.base_path")
}

/// What a client's connections are counted by, unless they are exempt.
pub fn limit_address(policies: &Policies, address: Option<&ClientAddress>) -> Option<IpAddr> {
    let exempt = |address: &ClientAddress| policies.config.limits.exempt_loopback && address.direct_loopback;
    address.filter(|address| !exempt(address)).map(|address| limit_key(address.ip))
}

/// The policies of `request`. They are taken once, so that a request never sees two configurations.
pub fn policies_of(state: &State, request: &HttpRequest) -> Arc<Policies> {
    if let Some(policies) = request.extensions().get::<Arc<Policies>>() {
        return policies.clone();
    }
    let policies = state.policies();
    request.extensions_mut().insert(policies.clone());
    policies
}

/// The address of the client that sent `request`; the unspecified address if the socket has lost its peer.
pub fn client_address(state: &State, request: &HttpRequest) -> ClientAddress {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    policies_of(state, request).proxies.client_address(peer, request.headers())
}

/// Counts a connection of an address, unless that is exempt: at most `most` a minute.
///
/// # Errors
/// [`Code::RateLimited`].
pub async fn count(
    state: &State,
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

/// The `token` of a request's query: the first that is not empty.
pub fn token_in_query(head: &RequestHead) -> Option<String> {
    let pairs = Query::<Vec<(String, String)>>::from_query(head.uri.query().unwrap_or_default()).ok()?.into_inner();
    pairs.into_iter().find(|(name, token)| name == "token" && !token.is_empty()).map(|(_, token)| token)
}
