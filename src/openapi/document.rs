//! The OpenAPI 3.1 document of a route table.

use std::collections::BTreeMap;

use bytes::Bytes;
use hubbub_actors::model::fault::Code;
use serde_json::{Map, Value, json};

use super::answer::{JSON, SuccessResponse};
use super::request::RequestParts;
use super::{AllowedCaller, EVERYWHERE, Example, Route, Schemas, Tag};
use crate::error::body::{ApiError, RawError, code_name};
use crate::error::{self, Shape};

/// The `servers` of a document without a base path.
const SERVERS: &str = r#""servers":[{"url":"/"}]"#;

/// What the document says about the API as a whole.
const ABOUT: &str = "The HTTP API of a Hubbub hub: commands and reads for backends, sign-ins for users, and state for \
    operators. Clients connect with a WebSocket on `/ws` or with Socket.IO on `/socket.io/`. Write the last slash of a name \
    in a path as `%2F` if the name ends with `/`, or if the name of a room ends with `/history`.";

/// The OpenAPI document as text.
#[derive(Debug)]
pub struct Document {
    before_servers: Bytes,
    after_servers: Bytes,
}

impl Document {
    /// The parts of the document of a hub below `base_path`, which is empty or a path like `/hub`. All but the path is shared.
    pub fn under(&self, base_path: &str) -> [Bytes; 3] {
        let url = if base_path.is_empty() { "/" } else { base_path };
        let servers = format!(r#""servers":[{{"url":"{url}"}}]"#);
        [self.before_servers.clone(), servers.into(), self.after_servers.clone()]
    }
}

/// The document of the routes, as text.
pub fn of(routes: &[Route]) -> Document {
    let text = json(routes).to_string();
    let (before, after) = text.split_once(SERVERS).unwrap_or((&text, ""));
    Document { before_servers: before.to_owned().into(), after_servers: after.to_owned().into() }
}

/// The document of the routes, without a base path.
pub fn json(routes: &[Route]) -> Value {
    let mut builder = Builder { schemas: Schemas::new(), responses: BTreeMap::new() };
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let described = builder.operation(route);
        paths.entry(route.path.clone()).or_insert_with(|| json!({}))[route.method.to_lowercase()] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hubbub",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": Tag::ALL.map(|tag| json!({"name": tag.name(), "description": tag.description()})),
        "paths": paths,
        "components": builder.components(),
    })
}

impl Route {
    /// The parts of its requests.
    pub(super) fn parts<'a>(&self, schemas: &'a mut Schemas) -> RequestParts<'a> {
        let mut parts = RequestParts::new(&mut schemas.requests);
        (self.types.takes)(&mut parts);
        parts
    }

    /// Its responses that are no refusals.
    pub(super) fn successes(&self, schemas: &mut Schemas) -> Vec<SuccessResponse> {
        (self.types.answers)(&mut schemas.responses)
    }

    /// The caller that it answers.
    pub(super) fn access(&self, parts: &RequestParts<'_>) -> AllowedCaller {
        match (self.scope, parts.has_token) {
            (Some(scope), _) => AllowedCaller::ApiKey(scope),
            (None, true) => AllowedCaller::Token,
            (None, false) => AllowedCaller::Public,
        }
    }

    /// The codes of its refusals, in the order of [`Code::ALL`].
    pub fn refusals(&self) -> Vec<Code> {
        let has =
            |code: &&Code| [EVERYWHERE, &self.checks, self.operation.errors].iter().any(|list| list.contains(code));
        Code::ALL.iter().filter(has).copied().collect()
    }

    /// The shape of its error bodies.
    pub(super) fn shape(&self) -> Shape {
        Shape::of_path(&self.path)
    }
}

impl Example {
    /// The media type of its response, and the response. `None` without a body.
    fn content(&self) -> Option<(&'static str, Value)> {
        match serde_json::from_str(self.answer) {
            _ if self.answer.is_empty() => None,
            Ok(value) => Some((JSON, value)),
            Err(_) => Some(("text/plain", self.answer.into())),
        }
    }
}

/// Builds operations, and collects the components that they refer to.
struct Builder {
    schemas: Schemas,
    /// The responses of refusals, by name.
    responses: BTreeMap<String, Value>,
}

impl Builder {
    fn operation(&mut self, route: &Route) -> Value {
        let operation = route.operation;
        let parts = route.parts(&mut self.schemas);
        let mut parameters = [parts.path.clone(), parts.query.clone()].concat();
        parameters.push(json!({"$ref": "#/components/parameters/RequestId"}));
        if route.scope.is_some() && route.method == "POST" {
            parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        }
        let (security, body) = (security(route.access(&parts)), parts.body);
        let mut described = json!({
            "operationId": operation.id,
            "tags": [operation.tag.name()],
            "summary": operation.summary,
            "parameters": parameters,
            "security": security,
            "responses": self.responses_of(route),
        });
        if !operation.description.is_empty() {
            described["description"] = operation.description.into();
        }
        if let Some(schema) = body {
            let mut content = json!({"schema": schema});
            if let Ok(example) = serde_json::from_str::<Value>(operation.example.body) {
                content["example"] = example;
            }
            described["requestBody"] = json!({"required": true, "content": {JSON: content}});
        }
        described
    }

    fn responses_of(&mut self, route: &Route) -> Value {
        let mut responses = Map::new();
        for success in route.successes(&mut self.schemas) {
            let (status, described) = success_of(route, &success);
            responses.insert(status, described);
        }
        let mut codes: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        for code in route.refusals() {
            codes.entry(error::status(code).as_u16()).or_default().push(code);
        }
        for (status, codes) in codes {
            let reference = self.refusal(route.shape(), status, &codes);
            // The 503 of a health check is its own, beside refusals.
            responses.entry(status.to_string()).or_insert(reference);
        }
        responses.into()
    }

    /// A reference to the response for these codes, which have one status.
    fn refusal(&mut self, shape: Shape, status: u16, codes: &[Code]) -> Value {
        let mut names: Vec<_> = codes.iter().map(|&code| code_name(code, shape)).collect();
        names.dedup();
        let (prefix, schema, only) = match shape {
            Shape::Api => ("Api", "ApiError", json!({"properties": {"code": {"enum": names}}})),
            _ => ("", "RawError", json!({"properties": {"error": {"properties": {"code": {"enum": names}}}}})),
        };
        let name = format!("{prefix}{status}.{}", names.join("."));
        let meanings: Vec<_> =
            codes.iter().map(|&code| format!("`{}`: {}", code_name(code, shape), code.meaning().trim())).collect();
        let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/RequestId"}});
        if matches!(status, 429 | 503) {
            headers["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
        }
        let reference = json!({"$ref": format!("#/components/responses/{name}")});
        let schema = json!({"allOf": [{"$ref": format!("#/components/schemas/{schema}")}, only]});
        let content = json!({JSON: {"schema": schema}});
        let response = json!({"description": meanings.join(" "), "headers": headers, "content": content});
        self.responses.entry(name).or_insert(response);
        reference
    }

    fn components(mut self) -> Value {
        self.schemas.responses.subschema_for::<ApiError<'_>>();
        self.schemas.responses.subschema_for::<RawError<'_>>();
        json!({
            "schemas": self.schemas.into_definitions(),
            "responses": self.responses,
            "parameters": parameters(),
            "headers": headers(),
            "securitySchemes": security_schemes(),
        })
    }
}

/// The status of a response that is no refusal, and its description.
fn success_of(route: &Route, success: &SuccessResponse) -> (String, Value) {
    let example = Some(&route.operation.example).filter(|example| example.status == success.status);
    let example = example.and_then(Example::content);
    let mut content = Map::new();
    for (media, schema) in &success.content {
        content.insert((*media).to_owned(), json!({"schema": schema}));
    }
    if let Some((media, example)) = example
        && let Some(content) = content.get_mut(media)
    {
        content["example"] = example;
    }
    let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/RequestId"}});
    if route.scope.is_some() && route.method == "POST" {
        headers["Idempotency-Replayed"] = json!({"$ref": "#/components/headers/IdempotencyReplayed"});
    }
    let mut described = json!({"description": success.meaning, "headers": headers});
    if !content.is_empty() {
        described["content"] = content.into();
    }
    (success.status.to_string(), described)
}

/// The alternatives of authentication.
fn security(access: AllowedCaller) -> Value {
    match access {
        AllowedCaller::Public => json!([]),
        AllowedCaller::Token => json!([{"AccessToken": []}]),
        AllowedCaller::ApiKey(scope) => json!([
            {"ApiKey": [scope]},
            {"WebSocketApiKey": [scope]},
            {
                "ApiKey": [scope],
                "SignatureTimestamp": [],
                "SignatureNonce": [],
                "SignatureVersion": [],
                "Signature": [],
            },
        ]),
    }
}

fn security_schemes() -> Value {
    let header = |name: &str, description: &str| json!({"type": "apiKey", "in": "header", "name": name, "description": description});
    json!({
        "ApiKey": header("X-API-Key", "A key of `api.keys`."),
        "WebSocketApiKey": header("X-WebSocket-API-Key", "A key of `api.keys`, under the name that Laravel backends use."),
        "SignatureTimestamp": header("X-Request-Timestamp", "The time of a signed request, in ms since the epoch."),
        "SignatureNonce": header("X-Request-Nonce", "A text that no other request of the key has."),
        "SignatureVersion": header("X-Signature-Version", "`v1`, or `v2` with the hash of the body."),
        "Signature": header(
            "X-Signature",
            "The hex HMAC-SHA256 of the request. A key with `require_signature` needs it with every request.",
        ),
        "AccessToken": {
            "type": "http",
            "scheme": "bearer",
            "description": "The access token of a user.",
        },
    })
}

fn parameters() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema});
    json!({
        "RequestId": header(
            "X-Request-Id",
            "Names the request in its response and in the log. The hub replaces an id that is not 1 to 128 visible ASCII \
             characters.",
            json!({"type": "string"}),
        ),
        "IdempotencyKey": header(
            "Idempotency-Key",
            "Makes the request safe to repeat for 5 minutes: a repeated request gets the first response again, and has no \
             second effect. 1 to 255 printable ASCII characters.",
            json!({"type": "string", "minLength": 1, "maxLength": 255}),
        ),
    })
}

fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({"description": description, "schema": schema});
    json!({
        "RequestId": header("The id of the request.", json!({"type": "string"})),
        "RetryAfter": header(
            "Seconds until another attempt can succeed. A limit always sends it.",
            json!({"type": "integer", "minimum": 1}),
        ),
        "IdempotencyReplayed": header(
            "`true` for a response that was given before.",
            json!({"type": "string", "const": "true"}),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    #[test]
    fn a_name_means_one_schema_in_requests_and_in_responses() {
        let mut schemas = Schemas::new();
        for route in api::described() {
            drop(route.parts(&mut schemas));
            route.successes(&mut schemas);
        }
        let responses = schemas.responses.take_definitions(true);
        for (name, schema) in schemas.requests.take_definitions(true) {
            assert_eq!(responses.get(&name).unwrap_or(&schema), &schema, "{name}");
        }
    }

    #[test]
    fn the_base_path_is_the_url_of_the_server() {
        let document = of(&[]);
        for (base, url) in [("", "/"), ("/realtime/hub", "/realtime/hub")] {
            let served: Value = serde_json::from_slice(&document.under(base).concat()).unwrap();
            assert_eq!(served["servers"], json!([{"url": url}]));
            assert_eq!(served["openapi"], "3.1.0");
        }
    }
}
