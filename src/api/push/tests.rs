use super::super::json;
use super::*;

type Read = fn(&[u8], &Bytes, usize) -> Result<PushCommand, Fault>;

fn read_push(part: &[u8], body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    super::read_push(&json::parse(part)?, body, most)
}

fn read_broadcast(part: &[u8], body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    super::read_broadcast(&json::parse(part)?, body, most)
}

fn read_room(part: &[u8], body: &Bytes, most: usize) -> Result<PushCommand, Fault> {
    super::read_room(&json::parse(part)?, body, most)
}

/// Most bytes of a notification's data in these tests.
const MOST: usize = 100;

fn user(id: &str) -> PublishTarget {
    PublishTarget::User(UserId::parse(id, "id").unwrap())
}

fn room(name: &str) -> PublishTarget {
    PublishTarget::Room(RoomName::parse(name, "room").unwrap())
}

fn parsed(read: Read, body: &str) -> PushCommand {
    let body = Bytes::copy_from_slice(body.as_bytes());
    read(&body, &body, MOST).unwrap()
}

fn refused_field(read: Read, body: &str) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    read(&body, &body, MOST).unwrap_err().field.unwrap()
}

fn published(target: PublishTarget, event: &str, data: &'static str) -> PushCommand {
    let event = EventName::parse(event, "event").unwrap();
    PushCommand::Publish(target, event, Bytes::from_static(data.as_bytes()))
}

#[test]
fn data_keeps_its_bytes() {
    assert_eq!(
        parsed(read_push, r#"{"userId":"u1","event":"greet","data":{"b": 1.0,"a":"\u0041"}}"#),
        published(user("u1"), "greet", r#"{"b": 1.0,"a":"\u0041"}"#)
    );
}

#[test]
fn a_notification_for_one_user_is_stored_on_every_endpoint() {
    let notification = Notification::parse(br#"{"id": 7}"#, MOST).unwrap();
    let command = PushCommand::Notify(UserId::parse("42", "id").unwrap(), notification);
    assert_eq!(parsed(read_push, r#"{"userId":42,"event":"notification","data":{"id": 7}}"#), command);
    let body = r#"{"event":"notification","to":"user","user_id":42,"data":{"id": 7}}"#;
    assert_eq!(parsed(read_broadcast, body), command);
    let body = r#"{"room":"user:42","event":"notification","data":{"id": 7}}"#;
    assert_eq!(parsed(read_room, body), command);
    assert_eq!(refused_field(read_push, r#"{"userId":1,"event":"notification","data":5}"#), "data");
    let long = "x".repeat(MOST);
    for (read, body) in [
        (read_push as Read, format!(r#"{{"userId":1,"event":"notification","data":{{"a":"{long}"}}}}"#)),
        (read_broadcast, format!(r#"{{"event":"notification","to":"user","user_id":1,"data":{{"a":"{long}"}}}}"#)),
        (read_room, format!(r#"{{"room":"user:1","event":"notification","data":{{"a":"{long}"}}}}"#)),
    ] {
        let body = Bytes::from(body);
        let fault = read(&body, &body, MOST).unwrap_err();
        assert_eq!((fault.code, fault.limit), (Code::PayloadTooLarge, Some("limits.notification_bytes")));
    }
    let body = r#"{"event":"notification","data":5}"#;
    assert_eq!(parsed(read_broadcast, body), published(PublishTarget::Everybody, "notification", "5"));
    let body = r#"{"room":"lobby","event":"notification","data":5}"#;
    assert_eq!(parsed(read_room, body), published(room("lobby"), "notification", "5"));
}

#[test]
fn data_is_any_json_value_and_is_required() {
    assert_eq!(parsed(read_push, r#"{"userId":1,"event":"e","data":null}"#), published(user("1"), "e", "null"));
    assert_eq!(refused_field(read_push, r#"{"userId":1,"event":"e"}"#), "data");
}

#[test]
fn data_beyond_the_range_of_a_double_or_too_deep_is_refused_with_its_path() {
    let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
    for (data, field) in [("1e400", "data"), (r#"{"n":[1,1e400]}"#, "data.n[1]"), (&deep, "data")] {
        assert_eq!(refused_field(read_room, &format!(r#"{{"room":"r","event":"e","data":{data}}}"#)), field, "{data}");
    }
}

#[test]
fn a_broadcast_without_to_reaches_all_users() {
    for body in [
        r#"{"event":"e","data":1}"#,
        r#"{"event":"e","to":"all","data":1}"#,
        r#"{"event":"e","to":null,"user_id":null,"data":1}"#,
    ] {
        assert_eq!(parsed(read_broadcast, body), published(PublishTarget::Everybody, "e", "1"), "{body}");
    }
}

#[test]
fn a_broadcast_reaches_the_target_that_it_names_by_number_or_string() {
    for (body, target) in [
        (r#"{"event":"e","to":"user","user_id":42,"data":1}"#, user("42")),
        (r#"{"event":"e","to":"user","user_id":"42","data":1}"#, user("42")),
        (r#"{"event":"e","to":"thread","thread_id":456,"data":1}"#, room("thread:456")),
        (r#"{"event":"e","to":"thread","thread_id":"456","data":1}"#, room("thread:456")),
        (r#"{"event":"e","to":"room","room":"lobby","data":1}"#, room("lobby")),
        (r#"{"event":"e","to":"room","room":"user:7","data":1}"#, user("7")),
    ] {
        assert_eq!(parsed(read_broadcast, body), published(target, "e", "1"), "{body}");
    }
}

#[test]
fn a_broadcast_with_a_target_but_without_to_is_refused() {
    for body in [
        r#"{"event":"e","user_id":42,"data":1}"#,
        r#"{"event":"e","userId":42,"data":1}"#,
        r#"{"event":"e","thread_id":42,"data":1}"#,
        r#"{"event":"e","room":"lobby","data":1}"#,
        r#"{"event":"e","to":"everyone","data":1}"#,
    ] {
        assert_eq!(refused_field(read_broadcast, body), "to", "{body}");
    }
}

#[test]
fn a_refusal_names_the_field() {
    for (body, field) in [
        (r#"{"event":"e","to":"user","data":1}"#, "user_id"),
        (r#"{"event":"e","to":"user","user_id":4.5,"data":1}"#, "user_id"),
        (r#"{"event":"e","to":"user","user_id":"","data":1}"#, "user_id"),
        (r#"{"event":"e","to":"thread","thread_id":"","data":1}"#, "thread_id"),
        (r#"{"event":"e","to":"room","room":"$all","data":1}"#, "room"),
        (r#"{"event":"e","to":"room","room":"a\nb","data":1}"#, "room"),
        (r#"{"event":"","to":"all","data":1}"#, "event"),
        (r#"{"event":5,"to":"all","data":1}"#, "event"),
        (r#"{"to":"all","data":1}"#, "event"),
    ] {
        assert_eq!(refused_field(read_broadcast, body), field, "{body}");
    }
}
