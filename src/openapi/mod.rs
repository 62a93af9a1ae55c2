//! Typed endpoints and their description: the OpenAPI document, and the page `docs/http-api.md`.
//!
//! The types of a handler are the description of its endpoint. Its arguments are types that implement [`Takes`], so the body,
//! the query and the path that it reads are the described ones. Its response is a type that implements [`Answer`], so the
//! status and the fields that it sends are the described ones. What types cannot tell (a summary, the codes of its refusals,
//! an example) is in an [`Operation`] beside the handler.
//!
//! The route table in [`crate::api`] has the handlers with their operations; [`document`] and [`markdown`] read the table.

pub mod answer;
pub mod document;
mod fields;
pub mod markdown;
pub mod request;

use hubbub_actors::model::fault::Code;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

pub use self::answer::{Answer, Created, JsonReply, NoContent, ReadinessReply, Saved, True};
pub use self::request::Takes;

use self::answer::SuccessResponse;
use self::request::RequestParts;

/// What a description says about an endpoint beside its types.
#[derive(Debug)]
pub struct Operation {
    /// Its name in generated clients.
    pub id: &'static str,
    /// Its group.
    pub tag: Tag,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// Further facts, in Markdown; may be empty.
    pub description: &'static str,
    /// The codes of its own refusals, beside those that every endpoint has.
    pub errors: &'static [Code],
    /// A request and its response.
    pub example: Example,
}

/// An example of a request and its response.
#[derive(Debug)]
pub struct Example {
    /// The path and query as sent, without the base path.
    pub target: &'static str,
    /// The body that is sent, as JSON; empty for none.
    pub body: &'static str,
    /// The status of the response.
    pub status: u16,
    /// The body that comes back, as JSON or text; empty for none.
    pub answer: &'static str,
}

/// The groups of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Commands of a backend.
    Commands,
    /// Reads of a backend.
    Reads,
    /// Chats, accounts and tokens.
    Management,
    /// Sign-ins of users.
    Sessions,
    /// Endpoints for operators.
    Operators,
    /// The WebSocket endpoint.
    Connections,
}

impl Tag {
    /// All groups.
    pub const ALL: [Self; 6] =
        [Self::Commands, Self::Reads, Self::Management, Self::Sessions, Self::Operators, Self::Connections];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commands => "Commands",
            Self::Reads => "Reads",
            Self::Management => "Management",
            Self::Sessions => "Sessions",
            Self::Operators => "Operators",
            Self::Connections => "Connections",
        }
    }

    /// What its endpoints are for.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Commands => "A backend sends events and closes sessions.",
            Self::Reads => "A backend reads rooms, histories, presence and connection events.",
            Self::Management => "A backend manages chats, accounts and tokens.",
            Self::Sessions => "Users sign in with a password, refresh their token and sign out.",
            Self::Operators => "Operators and monitors read the state of the hub. No key is needed.",
            Self::Connections => "Clients connect. Socket.IO clients use `/socket.io/`, which is not described here.",
        }
    }
}

/// The caller that an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedCaller {
    /// Any caller.
    Public,
    /// A caller with an API key that has this scope.
    ApiKey(&'static str),
    /// A caller with an access token.
    Token,
}

/// A method of a path, with its description.
#[derive(Debug)]
pub struct Route {
    /// The path, with parameters as `{name}`.
    pub path: String,
    /// The method.
    pub method: &'static str,
    /// What its types do not tell.
    pub operation: &'static Operation,
    /// The scope that the API key must have; `None` if no API key is needed.
    pub scope: Option<&'static str>,
    /// The codes that the path's own checks refuse with, before the handler.
    pub checks: Vec<Code>,
    /// The types of its handler.
    pub types: Types,
}

/// The types of a handler: the schemas of its requests and responses.
#[derive(Clone, Copy)]
pub struct Types {
    takes: fn(&mut RequestParts<'_>),
    answers: fn(&mut SchemaGenerator) -> Vec<SuccessResponse>,
}

impl std::fmt::Debug for Types {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Types")
    }
}

impl Types {
    /// The types of a handler with these arguments and this response.
    pub fn of<Args: Takes, Output: Answer>() -> Self {
        Self { takes: Args::describe, answers: Output::successes }
    }
}

/// The codes that any request can be refused with before its route is known.
const EVERYWHERE: &[Code] = &[
    Code::InvalidRequest,
    Code::HostNotAllowed,
    Code::RequestTimeout,
    Code::UriTooLong,
    Code::HeadersTooLarge,
    Code::Internal,
];

/// The schemas of requests and of responses. A field with a default is optional in a request and always present in a response,
/// so they differ.
struct Schemas {
    requests: SchemaGenerator,
    responses: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            requests: settings().for_deserialize().into_generator(),
            responses: settings().for_serialize().into_generator(),
        }
    }

    /// All schemas by name.
    fn into_definitions(mut self) -> Map<String, Value> {
        let mut schemas = self.requests.take_definitions(true);
        schemas.extend(self.responses.take_definitions(true));
        schemas
    }
}
