//! One row of the route table: a path, its methods with their descriptions, and the response to any other method.

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{FromRequest, Handler, Resource, Route, middleware, web};
use hubbub_actors::model::fault::{Code, Fault};

use super::guard::{self, guard};
use crate::auth::scope::Scope;
use crate::error::HttpError;
use crate::openapi::{self, Answer, Operation, Takes, Types};

/// A path and its methods.
pub(super) struct Endpoint {
    path: &'static str,
    resource: Resource,
    /// The scope that its handlers need; `None` without a guard.
    scope: Option<Scope>,
    allow: Vec<&'static str>,
    routes: Vec<openapi::Route>,
}

/// An endpoint that needs no API key.
pub(super) fn public(path: &'static str) -> Endpoint {
    Endpoint { path, resource: web::resource(path), scope: None, allow: Vec::new(), routes: Vec::new() }
}

/// An endpoint behind the guard: its handlers run only for callers with an API key that has the scope.
pub(super) fn guarded(path: &'static str, scope: Scope) -> Endpoint {
    Endpoint { scope: Some(scope), ..public(path) }
}

/// A handler with a response that has a described type.
pub(super) trait DescribedHandler<Args, Success>: Handler<Args, Output = Result<Success, HttpError>> {}

impl<F, Args, Success> DescribedHandler<Args, Success> for F where F: Handler<Args, Output = Result<Success, HttpError>> {}

impl Endpoint {
    /// Answers GET, and HEAD with it.
    pub(super) fn get<F, Args, Success>(self, handler: F, operation: &'static Operation) -> Self
    where
        F: DescribedHandler<Args, Success>,
        Args: FromRequest + Takes + 'static,
        Success: Answer,
    {
        self.described::<Args, Success>("GET", operation)
            .on("GET", web::get().to(handler.clone()))
            .on("HEAD", web::head().to(handler))
    }

    /// Answers POST.
    pub(super) fn post<F, Args, Success>(self, handler: F, operation: &'static Operation) -> Self
    where
        F: DescribedHandler<Args, Success>,
        Args: FromRequest + Takes + 'static,
        Success: Answer,
    {
        self.described::<Args, Success>("POST", operation).on("POST", web::post().to(handler))
    }

    /// Answers DELETE.
    pub(super) fn delete<F, Args, Success>(self, handler: F, operation: &'static Operation) -> Self
    where
        F: DescribedHandler<Args, Success>,
        Args: FromRequest + Takes + 'static,
        Success: Answer,
    {
        self.described::<Args, Success>("DELETE", operation).on("DELETE", web::delete().to(handler))
    }

    /// Answers PUT.
    pub(super) fn put<F, Args, Success>(self, handler: F, operation: &'static Operation) -> Self
    where
        F: DescribedHandler<Args, Success>,
        Args: FromRequest + Takes + 'static,
        Success: Answer,
    {
        self.described::<Args, Success>("PUT", operation).on("PUT", web::put().to(handler))
    }

    /// Whether its path has parameters.
    pub(super) fn has_parameters(&self) -> bool {
        self.path.contains('{')
    }

    /// The descriptions of its methods.
    pub(super) fn into_routes(self) -> Vec<openapi::Route> {
        self.routes
    }

    fn described<Args: Takes, Success: Answer>(mut self, method: &'static str, operation: &'static Operation) -> Self {
        let scope = if method == "GET" { self.scope.map(Scope::to_read) } else { self.scope };
        self.routes.push(openapi::Route {
            path: self.path.replace(":.+}", "}"),
            method,
            operation,
            scope: scope.map(Scope::as_str),
            checks: if scope.is_some() { guard::refusals(method) } else { Vec::new() },
            types: Types::of::<Args, Success>(),
        });
        self
    }

    fn on(mut self, method: &'static str, route: Route) -> Self {
        self.allow.push(method);
        let route = match self.scope {
            Some(scope) => {
                route.wrap(middleware::from_fn(move |state, request, next| guard(state, scope, request, next)))
            }
            None => route,
        };
        self.resource = self.resource.route(route);
        self
    }
}

impl HttpServiceFactory for Endpoint {
    fn register(self, config: &mut AppService) {
        let allow = self.allow.join(", ");
        self.resource
            .default_service(web::to(move || {
                let refusal = wrong_method(&allow);
                async move { Err::<actix_web::HttpResponse, _>(refusal) }
            }))
            .register(config);
    }
}

fn wrong_method(allow: &str) -> HttpError {
    let fault = Fault::new(Code::MethodNotAllowed, format!("This path answers {allow} only"));
    let mut refusal = HttpError::from(fault);
    if let Ok(allow) = HeaderValue::from_str(allow) {
        refusal.headers.push((ALLOW, allow));
    }
    refusal
}
