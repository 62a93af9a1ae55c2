//! Each documented example is sent to a running hub, and the response has the documented shape.

use hubbub::openapi::Route;
use serde_json::{Value, json};

use super::hub;
use crate::support::blocks::{blocks, page};
use crate::support::http::Response;
use crate::support::token::token;
use crate::support::{Client, Hub};

/// Examples that others need, and examples that end what others need.
const FIRST: &[&str] = &["createUser", "signIn", "refreshToken", "pushToRoom", "putChat"];
const LAST: &[&str] = &["batch", "disconnect", "revoke", "deleteChat", "signOut"];

/// The values of a running hub that stand for the ones in the examples.
struct ExampleValues {
    key: &'static str,
    access_token: String,
    refresh_token: String,
    session: String,
}

impl ExampleValues {
    /// Replaces the documented values.
    fn put_into(&self, text: &str) -> String {
        let text = text.replace("7929…", &self.refresh_token);
        text.replace("session_a5de5a1e0f4a4d5bb4b6a0b9b8a1c2d3", &self.session)
    }

    fn send(&self, hub: &Hub, route: &Route) -> Response {
        let example = &route.operation.example;
        let http = hub.http();
        let mut request = http.request(route.method, &self.put_into(example.target));
        request = match route.scope.is_some() {
            true => request.header("X-API-Key", self.key),
            false => request.bearer(&self.access_token),
        };
        if !example.body.is_empty() {
            request = request.body(self.put_into(example.body));
        }
        request.send()
    }
}

/// The first difference of two shapes: other names of fields, other types, or an empty list.
fn difference(documented: &Value, live: &Value, path: &str) -> Option<String> {
    match (documented, live) {
        (Value::Object(documented), Value::Object(live)) => {
            let (fields, others): (Vec<_>, Vec<_>) = (documented.keys().collect(), live.keys().collect());
            if fields != others {
                return Some(format!("{path} has {others:?}, the example {fields:?}"));
            }
            documented.iter().find_map(|(name, value)| difference(value, &live[name], &format!("{path}.{name}")))
        }
        (Value::Array(documented), Value::Array(live)) => {
            if documented.is_empty() != live.is_empty() {
                return Some(format!("{path} has {} entries, the example {}", live.len(), documented.len()));
            }
            live.iter().enumerate().find_map(|(index, entry)| {
                let differences = documented.iter().map(|it| difference(it, entry, &format!("{path}[{index}]")));
                differences.min().flatten()
            })
        }
        (documented, live) if std::mem::discriminant(documented) == std::mem::discriminant(live) => None,
        (documented, live) => Some(format!("{path} is {live}, in the example {documented}")),
    }
}

#[track_caller]
fn assert_documented(route: &Route, answer: &Response) {
    let (name, example) = (format!("{} {}", route.method, route.operation.example.target), &route.operation.example);
    assert_eq!(answer.status, example.status, "{name}: {}", answer.body);
    match serde_json::from_str::<Value>(example.answer) {
        // The example of the document itself is shortened.
        Ok(_) if route.path == "/openapi.json" => {}
        Ok(documented) => assert_eq!(difference(&documented, &answer.json(), ""), None, "{name}: {}", answer.body),
        Err(_) if example.answer.is_empty() => assert_eq!(answer.body, "", "{name}"),
        Err(_) => {
            for line in example.answer.lines() {
                let line = line.trim_end_matches(char::is_numeric);
                assert!(answer.body.contains(line), "{name}: no {line:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_documented_example_is_answered_as_documented() {
    let (hub, admin) = hub();
    let mut clients = Vec::new();
    for user in ["u1", "u1", "u2"] {
        let mut client = Client::connect(&hub, &token(user)).await;
        client.subscribe(&["news"]).await;
        clients.push(client);
    }
    let mut values = ExampleValues {
        key: crate::support::API_KEY,
        access_token: admin.access,
        refresh_token: admin.refresh,
        session: admin.id,
    };
    let mut routes = hubbub::api::described();
    let place = |list: &[&str], route: &Route| list.iter().position(|id| *id == route.operation.id);
    routes.sort_by_key(|route| (place(FIRST, route).unwrap_or(FIRST.len()), place(LAST, route).map_or(0, |at| at + 1)));
    for route in &routes {
        let answer = values.send(&hub, route);
        assert_documented(route, &answer);
        if route.operation.id == "signIn" {
            let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
            let (access_token, refresh_token, session) =
                (text("access_token"), text("refresh_token"), text("session_id"));
            values = ExampleValues { access_token, refresh_token, session, ..values };
        }
    }
}

#[test]
fn the_error_bodies_of_the_page_are_those_of_the_hub() {
    let hub = Hub::start();
    let blocks = blocks(&page("http-api"));
    let documented: Vec<Value> = blocks
        .iter()
        .filter(|block| block.language == "json")
        .map(|block| serde_json::from_str(&block.text).unwrap())
        .collect();
    let push = hub.http();
    let push = push.request("POST", "/api/push").key().header("X-Request-Id", "r-1").body("{}").send();
    let sign_in = hub.http().post("/sessions", &json!({"username": "nobody", "password": "a wrong password"}));
    assert_eq!((push.status, sign_in.status), (400, 401));
    assert_eq!(documented, [push.json(), sign_in.json()]);
}

#[test]
fn a_shape_differs_by_a_name_a_type_or_an_empty_list() {
    let documented = json!({"a": [{"b": 1}, {"c": "x"}], "d": null});
    for (live, differs) in [
        (json!({"a": [{"c": ""}, {"b": 7}, {"b": 8}], "d": null}), false),
        (json!({"a": [{"b": "1"}], "d": null}), true),
        (json!({"a": [], "d": null}), true),
        (json!({"a": [{"b": 1}]}), true),
        (json!({"a": [{"b": 1}], "d": 5}), true),
    ] {
        assert_eq!(difference(&documented, &live, "").is_some(), differs, "{live}");
    }
}
