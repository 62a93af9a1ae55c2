//! The typed parts of requests to the API: bodies, queries and access tokens. Knows no endpoint.

use std::future::{Ready, ready};
use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use bytes::Bytes;
use hubbub_actors::events::text;
use hubbub_actors::model::fault::Fault;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::call::Call;
use super::guard::AdmittedBody;
use super::json;
use crate::bearer;
use crate::error::HttpError;
use crate::openapi::request::{RequestParts, Takes};
use crate::request_body;

/// The type of a body. A body can borrow from its bytes, so the type has a lifetime.
pub(super) trait BodyType: JsonSchema + 'static {
    /// The type with the lifetime of the bytes.
    type Of<'a>: Deserialize<'a>;
}

/// Makes types the types of bodies: `Name` for one that owns its fields, `Name<'a>` for one that borrows.
macro_rules! body_types {
    ($($name:ident $(<$lifetime:lifetime>)?),+) => {$(
        $crate::api::request::body_types!(@ $name $($lifetime)?);
    )+};
    (@ $name:ident $lifetime:lifetime) => {
        impl $crate::api::request::BodyType for $name<'static> {
            type Of<$lifetime> = $name<$lifetime>;
        }
    };
    (@ $name:ident) => {
        impl $crate::api::request::BodyType for $name {
            type Of<'a> = Self;
        }
    };
}
pub(super) use body_types;

/// A body that holds a `T`, with its escapes [resolved](text::resolve). The guard has read it, because a signature may cover
/// its bytes.
#[derive(Debug)]
pub(super) struct Body<T>(Bytes, PhantomData<fn() -> T>);

impl<T: BodyType> Body<T> {
    /// Parses the body. The result borrows from the bytes.
    ///
    /// # Errors
    /// As [`json::parse`].
    pub(super) fn parse(&self) -> Result<T::Of<'_>, Fault> {
        json::parse(&self.0)
    }

    /// The bytes, for slices of them.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl<T: BodyType> FromRequest for Body<T> {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let body = request.extensions().get::<AdmittedBody>().cloned();
        let body = body.ok_or_else(|| Fault::internal().caused_by("the guard did not run").into());
        ready(body.map(|AdmittedBody(body)| Self(body, PhantomData)))
    }
}

impl<T: BodyType> Takes for Body<T> {
    fn describe(parts: &mut RequestParts<'_>) {
        parts.body::<T>();
    }
}

/// A body that holds a `T` and is not read yet: the handler checks the caller first.
pub(super) struct UnreadBody<T>(HttpRequest, web::Payload, PhantomData<fn() -> T>);

impl<T: BodyType> UnreadBody<T> {
    /// Reads the body, at most `most` bytes.
    ///
    /// # Errors
    /// As [`request_body::read`].
    pub(super) async fn read(self, most: usize) -> Result<Body<T>, Fault> {
        let body = request_body::read(&self.0, self.1, most).await?;
        Ok(Body(text::resolve(body), PhantomData))
    }
}

impl<T: BodyType> FromRequest for UnreadBody<T> {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = web::Payload::from_request(request, payload).into_inner();
        ready(payload.map(|payload| Self(request.clone(), payload, PhantomData)))
    }
}

impl<T: BodyType> Takes for UnreadBody<T> {
    fn describe(parts: &mut RequestParts<'_>) {
        parts.body::<T>();
    }
}

/// The parameters of a query.
#[derive(Debug)]
pub(super) struct QueryParameters<T>(pub(super) T);

impl<T: DeserializeOwned> QueryParameters<T> {
    /// Reads a query.
    ///
    /// # Errors
    /// [`hubbub_actors::model::fault::Code::InvalidRequest`] with the parameter.
    pub(super) fn read(query: &str) -> Result<T, Fault> {
        let read = web::Query::<T>::from_query(query).map(web::Query::into_inner);
        read.map_err(|error| unknown_parameter(&error.to_string()).unwrap_or_else(unreadable))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for QueryParameters<T> {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::read(request.query_string()).map(Self).map_err(HttpError::from))
    }
}

impl<T: JsonSchema> Takes for QueryParameters<T> {
    fn describe(parts: &mut RequestParts<'_>) {
        parts.query::<T>();
    }
}

fn unreadable() -> Fault {
    Fault::field("query", "The query cannot be read: each parameter may appear once, percent-encoded")
}

/// The fault for an unexpected parameter, at most 64 characters of it, from an error of serde.
fn unknown_parameter(error: &str) -> Option<Fault> {
    let (before, names) = error.rsplit_once("`, expected ")?;
    let (_, name) = before.split_once("unknown field `")?;
    let name: String = name.split('`').next()?.chars().take(64).collect();
    let names: Vec<_> = names.split('`').skip(1).step_by(2).collect();
    let (last, others) = names.split_last()?;
    let message = format!("`{name}` is none of {} and {last}", others.join(", "));
    Some(Fault::field(name, message))
}

/// A number in a query, as text: the handler names the parameter when it is no number.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct NumberText(pub(super) String);

impl JsonSchema for NumberText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NumberText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 0})
    }
}

/// The access token in `Authorization`, not checked.
#[derive(Debug)]
pub(super) struct BearerToken(pub(super) Option<String>);

impl FromRequest for BearerToken {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(bearer::token(request.headers()))))
    }
}

impl Takes for BearerToken {
    fn describe(parts: &mut RequestParts<'_>) {
        parts.token();
    }
}

impl Takes for Call {
    fn describe(_: &mut RequestParts<'_>) {}
}
