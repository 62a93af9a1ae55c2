//! The checks of a Socket.IO handshake, before a namespace is known, and the records of its refusals.

use actix_http::RequestHead;
use actix_web::web::Data;
use hubbub_actors::hub::LimitKey;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::surface::{Surface, Transport};
use hubbub_actors::refusal_log::Refusal;
use hubbub_actors::refusal_log::counts::RefusedAt;

use super::recovery_clients;
use super::router::{AdmissionFuture, AdmittedClient, HandshakeAuth};
use crate::admission::ClientInfo;
use crate::request_id::HttpRequestId;
use crate::state::SharedState;
use crate::{admission, bearer};

/// Admits clients while the hub has capacity, from permitted origins. The user is identified later, at the CONNECT to a
/// namespace.
pub(super) struct HubHandshakeAuth(pub(super) Data<SharedState>);

impl HandshakeAuth for HubHandshakeAuth {
    fn admit(&self, head: &RequestHead, is_host_last: bool) -> AdmissionFuture {
        let Self(state) = self;
        let state = state.clone();
        let policies = state.policies();
        let client = ClientInfo::of(&state, &policies, head);
        let origin_check = admission::check_origin(&state, &policies, head);
        let token = bearer::token(head.headers()).or_else(|| admission::token_in_query(head));
        let is_recoverable = policies.config.recovery.window_secs > 0;
        let is_numbered =
            is_recoverable && recovery_clients::is_numbered(policies.config.socketio.offsets, head, is_host_last);
        Box::pin(async move {
            origin_check?;
            // The purpose of a connection is known later; it is counted now, because otherwise unused connections would
            // not count.
            let most = policies.config.limits.push.connections_per_minute;
            let key = |ip| LimitKey::Connect(Surface::Root, ip);
            let counted = admission::count(&state, &policies, client.address.as_ref(), key, most).await;
            let elapsed = state.hub.clock().elapsed_ms();
            let admitted = counted.and_then(|()| state.hub.registry().admit_pending(elapsed));
            let (admission, pending) = admitted.map(|(admission, pending)| (Some(admission), Some(pending)))?;
            let token = token.filter(|token| !token.is_empty());
            Ok(AdmittedClient { client, token, transport: Transport::default(), is_numbered, admission, pending })
        })
    }

    fn client(&self, head: &RequestHead) -> ClientInfo {
        ClientInfo::of(&self.0, &self.0.policies(), head)
    }

    fn note_refused(&self, client: &ClientInfo, fault: &Fault) {
        client.note_refused(&self.0, RefusedAt::SocketIo, fault);
    }

    fn log_refused(&self, client: &ClientInfo, request: &HttpRequestId, fault: &Fault) {
        let path = format!("{}/socket.io/", self.0.policies().base);
        let target = Some(("GET", path.as_str()));
        let with = |refusal| Refusal { request: Some(request.as_str()), target, ..refusal };
        client.log_refused(&self.0, RefusedAt::SocketIo, fault, with);
    }
}
