//! The arguments of handlers: what each takes from a request.

use actix_web::{HttpRequest, web};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

/// An argument of a handler. It adds what it takes from a request to the description of the endpoint.
pub trait Takes {
    /// Adds the parts of a request that the argument reads.
    fn describe(parts: &mut RequestParts<'_>);
}

/// The described parts of a request.
#[derive(Debug)]
pub struct RequestParts<'a> {
    generator: &'a mut SchemaGenerator,
    pub(super) body: Option<Value>,
    pub(super) path: Vec<Value>,
    pub(super) query: Vec<Value>,
    pub(super) has_token: bool,
}

impl<'a> RequestParts<'a> {
    pub(super) fn new(generator: &'a mut SchemaGenerator) -> Self {
        Self { generator, body: None, path: Vec::new(), query: Vec::new(), has_token: false }
    }

    /// Adds a JSON body.
    pub fn body<T: JsonSchema>(&mut self) {
        self.body = Some(self.generator.subschema_for::<T>().into());
    }

    /// Adds a parameter of the path for each field of `T`.
    pub fn path<T: JsonSchema>(&mut self) {
        self.path = self.parameters::<T>("path");
    }

    /// Adds a parameter of the query for each field of `T`.
    pub fn query<T: JsonSchema>(&mut self) {
        self.query = self.parameters::<T>("query");
    }

    /// Adds an access token.
    pub fn token(&mut self) {
        self.has_token = true;
    }

    fn parameters<T: JsonSchema>(&mut self, place: &str) -> Vec<Value> {
        let mut object: Value = T::json_schema(self.generator).into();
        let required = object["required"].take();
        let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|it| it == name));
        let fields = object["properties"].as_object_mut().map(std::mem::take).unwrap_or_default();
        let parameter = |(name, mut schema): (String, Value)| {
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            remove_null(&mut schema);
            serde_json::json!({
                "name": name,
                "in": place,
                "required": is_required(&name),
                "description": description,
                "schema": schema,
            })
        };
        fields.into_iter().map(parameter).collect()
    }
}

/// Removes `null` from the schema of an optional parameter: a path or a query has no `null`.
fn remove_null(schema: &mut Value) {
    for list in ["type", "enum"] {
        if let Some(names) = schema.get_mut(list).and_then(Value::as_array_mut) {
            names.retain(|name| !name.is_null() && name != "null");
        }
    }
    if let Some([name]) = schema.get("type").and_then(Value::as_array).map(Vec::as_slice) {
        schema["type"] = name.clone();
    }
    if let Some([alternative, null]) = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice)
        && null["type"] == "null"
    {
        *schema = alternative.clone();
    }
}

impl<T: JsonSchema> Takes for web::Path<T> {
    fn describe(parts: &mut RequestParts<'_>) {
        parts.path::<T>();
    }
}

/// The shared state.
impl<T: ?Sized> Takes for web::Data<T> {
    fn describe(_: &mut RequestParts<'_>) {}
}

/// The head of the request: headers that every request may have, and its address.
impl Takes for HttpRequest {
    fn describe(_: &mut RequestParts<'_>) {}
}

/// A handler without arguments takes nothing.
impl Takes for () {
    fn describe(_: &mut RequestParts<'_>) {}
}

macro_rules! arguments {
    ($($name:ident)*) => {
        impl<$($name: Takes),*> Takes for ($($name,)*) {
            fn describe(parts: &mut RequestParts<'_>) {
                $($name::describe(parts);)*
            }
        }
    };
}

arguments!(A);
arguments!(A B);
arguments!(A B C);
arguments!(A B C D);
arguments!(A B C D E);
