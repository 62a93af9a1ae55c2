//! What is asked of every client that wants a connection, whatever it will speak: from which page it comes, how often its
//! address came, and where a token may be.

use std::net::IpAddr;

use actix_http::RequestHead;
use actix_http::header;
use actix_web::web::Query;
use hubbub_actors::fault::{Code, Fault};
use hubbub_actors::hub::LimitKey;
use hubbub_actors::peer::Peer;
use serde::Deserialize;

use crate::peer::{ClientAddress, limit_key};
use crate::policies::Policies;
use crate::state::State;

/// Who wants a connection.
#[derive(Debug, Default)]
pub struct Visitor {
    /// Where the client is, if that is known.
    pub address: Option<ClientAddress>,
    /// The client.
    pub peer: Peer,
}

impl Visitor {
    /// Notes that this client was not let in to speak `surface`.
    pub fn refused(&self, state: &State, surface: &'static str, fault: &Fault) {
        state.hub.note_refused(surface, &self.peer, fault.code);
    }
}

/// Lets in who comes while the hub takes clients, from a page that may; says who that is.
///
/// # Errors
/// [`Code::ShuttingDown`] and [`Code::Forbidden`].
pub fn knock(state: &State, policies: &Policies, head: &RequestHead) -> Result<Visitor, Fault> {
    state.hub.accepting()?;
    let headers = head.headers();
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if !policies.origins.allows(text(header::ORIGIN), text(header::HOST)) {
        state.hub.stats().connections_refused.add(1);
        return Err(Fault::new(Code::Forbidden, "This origin is not allowed"));
    }
    let address = head.peer_addr.map(|peer| policies.proxies.client_address(peer.ip(), headers));
    let user_agent = headers.get(header::USER_AGENT).map(|value| value.as_bytes());
    let peer = state.hub.peer(address.as_ref().map(|address| address.ip), user_agent);
    Ok(Visitor { address, peer })
}

/// What a client's connections are counted by, unless they are exempt.
pub fn counted(policies: &Policies, address: Option<&ClientAddress>) -> Option<IpAddr> {
    let exempt = |address: &ClientAddress| policies.config.limits.exempt_loopback && address.direct_loopback;
    address.filter(|address| !exempt(address)).map(|address| limit_key(address.ip))
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
    match counted(policies, address) {
        Some(address) => state.hub.admit(key(address), most).await,
        None => Ok(()),
    }
}

/// The `token` of a request's query.
pub fn token_in_query(head: &RequestHead) -> Option<String> {
    #[derive(Deserialize)]
    struct WithToken {
        token: Option<String>,
    }

    Query::<WithToken>::from_query(head.uri.query().unwrap_or_default()).ok()?.into_inner().token
}
