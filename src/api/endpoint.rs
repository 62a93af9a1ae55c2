//! One row of the route table: a path, its methods, and the response to any other method.

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{FromRequest, Handler, Resource, Responder, Route, middleware, web};
use hubbub_actors::model::fault::{Code, Fault};

use super::guard::guard;
use crate::auth::scope::Scope;
use crate::error::HttpError;

/// A path and its methods.
pub(super) struct Endpoint {
    resource: Resource,
    /// The scope that its handlers need; `None` without a guard.
    scope: Option<Scope>,
    allow: Vec<&'static str>,
}

/// An endpoint that needs no API key.
pub(super) fn public(path: &str) -> Endpoint {
    Endpoint { resource: web::resource(path), scope: None, allow: Vec::new() }
}

/// An endpoint behind the guard: its handlers run only for callers with an API key that has the scope.
pub(super) fn guarded(path: &str, scope: Scope) -> Endpoint {
    Endpoint { scope: Some(scope), ..public(path) }
}

impl Endpoint {
    /// Answers GET, and HEAD with it.
    pub(super) fn get<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("GET", web::get().to(handler.clone())).on("HEAD", web::head().to(handler))
    }

    /// Answers POST.
    pub(super) fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("POST", web::post().to(handler))
    }

    /// Answers DELETE.
    pub(super) fn delete<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("DELETE", web::delete().to(handler))
    }

    /// Answers PUT.
    pub(super) fn put<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("PUT", web::put().to(handler))
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
