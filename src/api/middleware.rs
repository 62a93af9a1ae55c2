//! What every request passes on its way in and every answer on its way out: the request's id, CORS, errors in the shape
//! of their path, a panic that costs one answer and no connection of others, the count of requests.
//!
//! The only place that turns a refusal into bytes, but for [`super::guard`], which remembers them.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use actix_http::ConnectionType;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use hubbub_actors::model::fault::Fault;
use hubbub_actors::refusal_log::counts::RefusedAt;

use super::call::Call;
use super::cors::{self, PageAccess};
use super::routing;
use crate::admission::{ClientInfo, policies_of};
use crate::error::{self, HttpError, RefusalCause, Shape};
use crate::http_stream::Exchange;
use crate::policies::Policies;
use crate::request_id::{HttpRequestId, REQUEST_ID};
use crate::socketio::query::names_session;
use crate::state::State;

/// What is known of a request and needed for its answer.
struct ResponseContext {
    state: web::Data<State>,
    call: Call,
    shape: Shape,
    page: PageAccess,
    method: &'static str,
}

/// The middleware.
pub(super) async fn handle(
    state: web::Data<State>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let policies = policies_of(&state, request.request());
    let peer = request.peer_addr().map(|peer| peer.ip());
    state.notices.forwarding(&policies.proxies, peer, request.headers());
    let exchange = request.conn_data::<Rc<Exchange>>().cloned();
    let unread = exchange.as_ref().and_then(|exchange| exchange.take_refusal());
    let context = ResponseContext {
        call: Call::of(&policies, request.request(), unread.is_none()),
        shape: Shape::of_path(policies.base.route(request.path()).unwrap_or_default()),
        page: cors::check(request.headers(), &policies.origins),
        method: method_name(request.method()),
        state,
    };
    request.extensions_mut().insert(context.call.id().clone());
    request.extensions_mut().insert(context.call.clone());
    let answered = match unread {
        // What is no HTTP at all is no refused request.
        Some(fault) if exchange.as_ref().is_some_and(|exchange| exchange.is_not_http()) => {
            Err(context.closing_error(&fault))
        }
        Some(fault) => Err(context.fail(&fault)),
        None => match routing::apply_route(&policies, &mut request) {
            Ok(()) => dispatch(context, request, next).await,
            Err(fault) => {
                context.note_refused(&policies, &request, &fault);
                Ok(context.refuse(request, &fault))
            }
        },
    };
    match exchange {
        Some(exchange) => finish(answered, &exchange).await,
        None => answered,
    }
}

/// Has the application answer.
async fn dispatch(
    context: ResponseContext,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if cors::is_preflight(request.method(), request.headers()) {
        if context.page == PageAccess::Foreign {
            // The browser does not send the request that it asks for, so nothing else tells of this page.
            context.call.log_refused(&context.state, &Fault::origin_not_allowed());
        }
        let mut response = HttpResponse::NoContent().finish();
        for (name, value) in cors::preflight_headers(&context.page, request.headers()) {
            response.headers_mut().append(name, value);
        }
        context.complete(&mut response);
        return Ok(request.into_response(response));
    }
    match catch_panic(next.call(request)).await {
        Some(Ok(answer)) => {
            let mut answer = render_refusal(answer.map_into_boxed_body(), context.shape);
            if let Some(RefusalCause(fault)) = answer.response().extensions().get() {
                context.call.log_refused(&context.state, fault);
            }
            context.complete(answer.response_mut());
            Ok(answer)
        }
        // In both cases the request is gone; an error that holds its whole response is what is left to return.
        Some(Err(error)) => Err(context.fail(&HttpError::from_error(&error).fault)),
        None => {
            // What panicked, and where, is in the log already.
            let fault = if context.is_read_only() { Fault::internal() } else { Fault::outcome_unknown() };
            Err(context.fail(&fault))
        }
    }
}

/// Tells the connection's stream that there is an answer. One that leaves a body unread says that the connection closes
/// (RFC 9112 section 9.6).
async fn finish(
    answered: Result<ServiceResponse<BoxBody>, Error>,
    exchange: &Exchange,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if exchange.has_body() {
        // A body that came with its head is decoded behind the first look at the handler; then the connection can go on.
        tokio::task::yield_now().await;
    }
    exchange.mark_answered();
    answered.map(|mut answer| {
        if !exchange.can_go_on() {
            answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        answer
    })
}

impl ResponseContext {
    /// Whether the request only asks.
    fn is_read_only(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }

    /// Puts on an answer what every answer bears, and counts it.
    fn complete(&self, response: &mut HttpResponse) {
        let status = response.status().as_u16();
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(self.call.id().as_str()) {
            headers.insert(REQUEST_ID, id);
        }
        for (name, value) in cors::headers(&self.page) {
            headers.append(name, value);
        }
        if !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.state.telemetry.count_request(self.method, status);
    }

    /// Counts a handshake of Socket.IO by polling that no handler sees as a refused connection.
    fn note_refused(&self, policies: &Policies, request: &ServiceRequest, fault: &Fault) {
        if self.shape == Shape::EngineIo && !names_session(request.query_string()) {
            let client = ClientInfo::of(&self.state, policies, request.head());
            client.note_refused(&self.state, RefusedAt::SocketIo, fault);
        }
    }

    /// Answers a request that no handler sees.
    fn refuse(&self, request: ServiceRequest, fault: &Fault) -> ServiceResponse<BoxBody> {
        self.call.log_refused(&self.state, fault);
        let mut response = error::response(fault, self.shape, self.call.id().as_str());
        self.complete(&mut response);
        request.into_response(response)
    }

    fn fail(&self, fault: &Fault) -> Error {
        self.call.log_refused(&self.state, fault);
        self.closing_error(fault)
    }

    fn closing_error(&self, fault: &Fault) -> Error {
        let mut response = error::response(fault, self.shape, self.call.id().as_str());
        response.head_mut().set_connection_type(ConnectionType::Close);
        self.complete(&mut response);
        InternalError::from_response("failed", response).into()
    }
}

/// Turns a refusal that a handler returned, or an error of actix-web, into its response.
pub(super) fn render_refusal(answer: ServiceResponse<BoxBody>, shape: Shape) -> ServiceResponse<BoxBody> {
    let Some(error) = answer.response().error() else {
        return answer;
    };
    let id = HttpRequestId::of_request(answer.request());
    let HttpError { fault, headers } = HttpError::from_error(error);
    let mut response = error::response(&fault, shape, id.as_str());
    for (name, value) in headers {
        response.headers_mut().append(name, value);
    }
    response.extensions_mut().insert(RefusalCause(fault));
    answer.into_response(response)
}

/// The output of `future`, or `None` when it panicked. What it held is dropped then, and what it shares is behind locks
/// that bear it.
async fn catch_panic<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            // The panic's own words went to the log from where it happened.
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// The method as a metric's label: a caller can invent methods, but not labels.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_future_and_nothing_else() {
        assert_eq!(catch_panic(async { 5 }).await, Some(5));
        let panics = async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        };
        assert_eq!(catch_panic::<_>(panics).await, None::<()>);
    }
}
