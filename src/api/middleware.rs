//! The middleware of every request: the request id, CORS, error bodies in the shape of their path, panics that end only their
//! own request, and the count of requests.
//!
//! Only this module and [`super::guard`] turn a refusal into bytes; the guard does so because it stores responses.

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
use crate::state::SharedState;

/// The facts about a request that its response needs.
struct ResponseContext {
    state: web::Data<SharedState>,
    call: Call,
    shape: Shape,
    page: PageAccess,
    method: &'static str,
}

/// The middleware.
pub(super) async fn handle(
    state: web::Data<SharedState>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let policies = policies_of(&state, request.request());
    let peer = request.peer_addr().map(|peer| peer.ip());
    state.notices.forwarding(&policies.proxies, peer, request.headers());
    let exchange = request.conn_data::<Rc<Exchange>>().cloned();
    let read_error = exchange.as_ref().and_then(|exchange| exchange.take_refusal());
    let context = ResponseContext {
        call: Call::of(&policies, request.request(), read_error.is_none()),
        shape: Shape::of_path(policies.base.route(request.path()).unwrap_or_default()),
        page: cors::check(request.headers(), &policies.origins),
        method: method_name(request.method()),
        state,
    };
    request.extensions_mut().insert(context.call.id().clone());
    request.extensions_mut().insert(context.call.clone());
    let answered = match read_error {
        // Bytes that are not HTTP are not a refused request.
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

/// Answers a preflight, or calls the handler.
async fn dispatch(
    context: ResponseContext,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if cors::is_preflight(request.method(), request.headers()) {
        if context.page == PageAccess::Foreign {
            // The browser will not send the request itself, so only this line shows the page.
            context.call.log_refused(&context.state, &cors::refusal(request.headers()));
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
        // In both cases the request is consumed, so the result is an error that contains the whole response.
        Some(Err(error)) => Err(context.fail(&HttpError::from_error(&error).fault)),
        None => {
            // The panic hook has logged the panic.
            let fault = if context.is_read_only() { Fault::internal() } else { Fault::outcome_unknown() };
            Err(context.fail(&fault))
        }
    }
}

/// Marks the exchange as answered. If the body was not read, the response closes the connection (RFC 9112 section 9.6).
async fn finish(
    answered: Result<ServiceResponse<BoxBody>, Error>,
    exchange: &Exchange,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if exchange.has_body() {
        // A body that arrived with its head is decoded after the first poll of the handler; then the connection stays open.
        tokio::task::yield_now().await;
    }
    exchange.mark_answered();
    answered.map(|mut answer| {
        if !exchange.can_continue() {
            answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        answer
    })
}

impl ResponseContext {
    /// Whether the method changes nothing.
    fn is_read_only(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }

    /// Adds the headers that every response has, and counts the response.
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

    /// Counts a Socket.IO polling handshake that reaches no handler as a refused connection.
    fn note_refused(&self, policies: &Policies, request: &ServiceRequest, fault: &Fault) {
        if self.shape == Shape::EngineIo && !names_session(request.query_string()) {
            let client = ClientInfo::of(&self.state, policies, request.head());
            client.note_refused(&self.state, RefusedAt::SocketIo, fault);
        }
    }

    /// Refuses a request that reaches no handler.
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

/// The output of `future`, or `None` if it panicked. Shared state is behind locks that tolerate a panic.
async fn catch_panic<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            // The panic hook has logged it.
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// The method as a metric's label. Unknown methods share one label, so that a caller cannot create labels.
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
    async fn a_panic_ends_only_its_future() {
        assert_eq!(catch_panic(async { 5 }).await, Some(5));
        let panics = async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        };
        assert_eq!(catch_panic::<_>(panics).await, None::<()>);
    }
}
