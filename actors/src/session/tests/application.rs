//! Requests for the application, with an application and without.

use serde_json::{Value, json};

use super::*;
use crate::application::{ApplicationFailure, ApplicationReply, ApplicationRequest};
use crate::connection::UNORDERED_REPLIES_MAX;
use crate::events::json::Json;

/// An application that passes requests to the test. A request without a reply fails.
struct OnDemand(mpsc::Sender<(ApplicationRequest, oneshot::Sender<ApplicationReply>)>);

impl Application for OnDemand {
    fn ask(
        &self,
        request: ApplicationRequest,
    ) -> Pin<Box<dyn Future<Output = Result<ApplicationReply, ApplicationFailure>>>> {
        let (reply, answered) = oneshot::channel();
        self.0.try_send((request, reply)).unwrap();
        Box::pin(async move {
            answered.await.map_err(|_| ApplicationFailure { message: "It is away", cause: "status 503".into() })
        })
    }
}

fn with_application() -> (TestHub, mpsc::Receiver<(ApplicationRequest, oneshot::Sender<ApplicationReply>)>) {
    let (sender, requests) = mpsc::channel(2 * usize::from(UNORDERED_REPLIES_MAX));
    (TestHub::with_application(Arc::new(OnDemand(sender))), requests)
}

fn answered(text: &str) -> ApplicationReply {
    ApplicationReply { data: serde_json::from_str(text).unwrap(), message_id: Some("m1".into()) }
}

/// The data of a line that begins with this name.
fn data(line: &str, name: &str) -> Value {
    let data = line.strip_prefix(name).unwrap_or_else(|| panic!("no {name}: {line}"));
    serde_json::from_str(data.split(" #").next().unwrap()).unwrap()
}

#[actix::test]
async fn without_an_application_the_hub_answers_by_itself() {
    let hub = TestHub::start(GRACE_MS);
    let client = hub.client(Surface::Raw, "42").await;
    for (event, sent, member, answer) in [
        ("client:event", json!({"type": "a", "data": {"n": 1}}), "data", json!({"n": 1})),
        ("client:event", json!({"type": "a"}), "data", Value::Null),
        ("client:action", json!({"action": "echo", "params": [1]}), "result", json!([1])),
        ("client:action", json!({"action": "echo"}), "result", Value::Null),
        (
            "client:action",
            json!({"action": "time"}),
            "result",
            json!({"iso": "1970-01-01T00:16:40.000Z", "timestamp": 1_000_000}),
        ),
        (
            "client:action",
            json!({"action": "whoami"}),
            "result",
            json!({"userId": "42", "name": "42", "roles": [], "permissions": [], "socketId": client.handle.session()}),
        ),
        ("client:action", json!({"action": "rooms"}), "result", json!({"rooms": []})),
    ] {
        client.ask(event, &sent.to_string(), Some("1")).await;
        let [line] = client.receive().await;
        let mut reply = data(&line, "#1: ");
        assert_eq!(reply["requestId"].take().as_str().unwrap().len(), 36);
        assert_eq!(reply, json!({"success": true, "requestId": null, member: answer}));
    }
    client.ask("client:message", r#"{"content":"hi"}"#, Some("2")).await;
    let [line] = client.receive().await;
    assert!(data(&line, "#2: ")["messageId"].as_str().unwrap().starts_with("msg_"), "{line}");

    client.ask("room:join", r#"{"room":"b"}"#, None).await;
    client.ask("room:join", r#"{"room":"a"}"#, None).await;
    client.ask("client:action", r#"{"action":"rooms"}"#, Some("3")).await;
    let [line] = client.receive().await;
    assert_eq!(data(&line, "#3: ")["result"], json!({"rooms": ["a", "b"]}));

    client.ask("client:action", r#"{"action":"fly"}"#, Some("4")).await;
    let [line] = client.receive().await;
    let reply = data(&line, "#4: ");
    assert_eq!((&reply["success"], &reply["code"]), (&json!(false), &json!("UNKNOWN_ACTION")));
    assert_eq!(reply["error"], r#"There is no action "fly""#);
}

#[actix::test]
async fn an_application_receives_the_whole_payload_and_its_reply_goes_to_the_client() {
    let (hub, mut requests) = with_application();
    let client = hub.client(Surface::Root, "42").await;
    client.ask("client:message", r#"{"content":"hi", "more":1.0}"#, Some("7")).await;
    let (request, answer) = requests.recv().await.unwrap();
    let id = request.request_id;
    assert_eq!(
        serde_json::to_string(&request).unwrap(),
        format!(
            concat!(
                r#"{{"userId":"42","socketId":"{}","event":"client:message","message":{{"content":"hi", "more":1.0}},"#,
                r#""requestId":"{}","timestamp":"1970-01-01T00:16:40.000Z"}}"#
            ),
            client.handle.session(),
            id
        )
    );
    answer.send(answered("{}")).unwrap();
    let reply = format!(r#"{{"success":true,"requestId":"{id}","messageId":"m1"}}"#);
    assert_eq!(client.receive().await, [format!("message:ack {reply} #7"), format!("#7: {reply}")]);

    client.ask("client:event", r#"{"type":"a"}"#, None).await;
    let (request, answer) = requests.recv().await.unwrap();
    drop(answer);
    let code = "EVENT_PROCESSING_ERROR";
    assert_eq!(
        client.receive().await,
        [format!(
            r#"server:response {{"success":false,"requestId":"{}","error":"It is away","code":"{code}"}}"#,
            request.request_id
        )]
    );
}

#[actix::test]
async fn a_slow_application_delays_no_other_reply_and_gets_a_bounded_number_of_requests() {
    let (hub, mut requests) = with_application();
    let client = hub.client(Surface::Raw, "alice").await;
    let mut pending = Vec::new();
    for _ in 0..UNORDERED_REPLIES_MAX {
        client.ask("client:action", r#"{"action":"wait"}"#, Some("1")).await;
        pending.push(requests.recv().await.unwrap());
    }
    client.ask("client:action", r#"{"action":"wait"}"#, Some("2")).await;
    client.ask("ping", "{}", Some("3")).await;
    client.ask("room:join", r#"{"room":"a"}"#, Some("4")).await;
    let [refused, pinged, joined] = client.receive().await;
    assert_eq!((refused.as_str(), pinged.as_str()), ("refused client:action: OVERLOADED #2", "#3: done"));
    assert!(joined.starts_with("#4: "), "{joined}");
    assert_eq!(hub.publish(PublishTarget::Room(RoomName::parse("a", "room").unwrap()), "news").await, 1);
    assert_eq!(client.receive().await, ["news 1"]);
    assert!(requests.try_recv().is_err(), "a refused request is not sent");

    let (last, answer) = pending.pop().unwrap();
    answer.send(answered("2")).unwrap();
    let [line] = client.receive().await;
    assert_eq!(line, format!(r#"#1: {{"success":true,"requestId":"{}","result":2}}"#, last.request_id));
    client.ask("client:action", r#"{"action":"wait"}"#, Some("5")).await;
    pending.push(requests.recv().await.unwrap());
}

#[actix::test]
async fn a_draining_hub_waits_for_the_replies_of_the_application() {
    let (hub, mut requests) = with_application();
    let client = hub.client(Surface::Raw, "alice").await;
    client.ask("client:event", r#"{"type":"a"}"#, Some("1")).await;
    let (_, answer) = requests.recv().await.unwrap();
    hub.drain(AT_ONCE).await;
    client.line_with("draining").await;
    client.ask("client:event", r#"{"type":"b"}"#, Some("2")).await;
    assert_eq!(client.receive().await, ["refused client:event: SHUTTING_DOWN #2"]);
    assert_eq!(client.handle.closed(), None);
    answer.send(ApplicationReply { data: Json::null(), message_id: None }).unwrap();
    let [line] = client.receive().await;
    assert_eq!(data(&line, "#1: ")["data"], Value::Null);
    assert_eq!(client.handle.closed(), Some(Close::GoingAway));
}
