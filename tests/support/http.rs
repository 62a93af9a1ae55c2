//! A client of plain HTTP: no status is an error.

use serde_json::Value;
use std::time::Duration;
use ureq::http;

/// A blocking client of one hub. It can be used in async tests, as the hub has threads of its own.
pub(crate) struct Http {
    base: String,
    agent: ureq::Agent,
}

/// A request before it is sent.
pub(crate) struct RequestBuilder<'a> {
    http: &'a Http,
    builder: http::request::Builder,
    body: Option<Vec<u8>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Http {
    pub(crate) fn new(base: String) -> Self {
        Self::with_timeout(base, Duration::from_secs(20))
    }

    /// As [`Http::new`], where each answer may take so long.
    pub(crate) fn with_timeout(base: String, timeout: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .timeout_global(Some(timeout))
            .build()
            .into();
        Self { base, agent }
    }

    /// Any method on a path (which begins with `/`).
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder<'_> {
        let builder = http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        RequestBuilder { http: self, builder, body: None }
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.request("GET", path).send()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.request("POST", path).json(body).send()
    }
}

impl RequestBuilder<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// `Authorization: Bearer …`.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// The key that every test hub knows.
    pub(crate) fn key(self) -> Self {
        self.header("X-API-Key", super::API_KEY)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The answer; none when the hub refuses or drops the connection.
    pub(crate) fn try_send(self) -> Option<Response> {
        self.answer().1.ok()
    }

    #[track_caller]
    pub(crate) fn send(self) -> Response {
        match self.answer() {
            (_, Ok(answer)) => answer,
            (request, Err(error)) => panic!("{request}: {error}"),
        }
    }

    /// The request as text, and its result.
    fn answer(self) -> (String, Result<Response, ureq::Error>) {
        let bare = self.builder.body(()).unwrap();
        let request = format!("{} {}", bare.method(), bare.uri());
        // An empty body would add a header, which a plain GET does not have.
        let sent = match self.body {
            None => self.http.agent.run(bare),
            Some(body) => self.http.agent.run(bare.map(|()| body)),
        };
        let answer = sent.and_then(|mut answer| {
            Ok(Response {
                status: answer.status().as_u16(),
                headers: answer.headers().clone(),
                body: answer.body_mut().read_to_string()?,
            })
        });
        (request, answer)
    }
}

impl Response {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_str(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{} with a body that is not JSON ({error}): {}", self.status, self.body),
        }
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
