use hubbub_actors::events::wording::ErrorStyle;
use hubbub_actors::model::ids::{EventName, RoomName};
use hubbub_actors::publication::MessageKind;

use super::*;

/// The messages of a payload: text unchanged, binary data in hex.
fn messages(payload: &Payload) -> Vec<String> {
    let shown = |(kind, message): (MessageKind, &[u8])| match kind {
        MessageKind::Text => String::from_utf8(message.to_vec()).unwrap(),
        _ => hex::encode(message),
    };
    payload.messages().map(shown).collect()
}

fn ack(number: &'static str) -> Correlation {
    Some(Bytes::from_static(number.as_bytes()))
}

fn event(name: &str, data: &'static str) -> Event {
    Event {
        name: EventName::parse(name, "event").unwrap(),
        topic: Some(RoomName::parse("lobby", "room").unwrap()),
        data: Bytes::from_static(data.as_bytes()),
        timestamp: 7,
        offset: Some(3),
    }
}

#[test]
fn an_event_is_its_name_and_data_without_its_room() {
    let event = event("say \"hi\"", "{\"a\":[1, 2]}");
    assert_eq!(messages(&ROOT.event(&event, Offset::NONE)), [r#"42["say \"hi\"",{"a":[1, 2]}]"#]);
    assert_eq!(messages(&CHAT.event(&event, Offset::NONE)), [r#"42/chat,["say \"hi\"",{"a":[1, 2]}]"#]);
}

#[test]
fn a_numbered_event_has_its_offset_as_last_argument() {
    let event = event("say", "[1]");
    assert_eq!(messages(&ROOT_NUMBERED.event(&event, Offset::NONE)), [r#"42["say",[1]]"#]);
    let notice = |number, notice| Offset { number, notice: Some(notice) };
    for (written, text) in
        [(Offset::of(u64::MAX - 1), "fffffffffffffffe"), (notice(16, 255), "10.ff"), (notice(0, 1), "0.1")]
    {
        assert_eq!(messages(&ROOT_NUMBERED.event(&event, written)), [format!("42[\"say\",[1],\"{text}\"]")]);
        assert_eq!(messages(&ROOT.event(&event, written)), [r#"42["say",[1]]"#], "without recovery");
        assert_eq!(offset(text), written);
    }
    // The hub writes no sign.
    for invalid in ["no number", "", "+5", "10.", ".1", "10.-1", "1.2.3", "10.ffffffffffffffff", "1ffffffffffffffff"] {
        assert_eq!(offset(invalid), NO_OFFSET, "{invalid}");
    }
}

/// The client library takes a string at the end of an event for the offset of a publication.
#[test]
fn a_refusal_and_a_close_end_in_an_object_beside_offsets() {
    let ends_in_object = |message: &str| {
        let arguments: Vec<serde_json::Value> = serde_json::from_str(message.strip_prefix("42").unwrap()).unwrap();
        assert!(arguments.len() == 2 && arguments[1].is_object(), "{message}");
    };
    for kind in [
        RefusalForm::Invalid,
        RefusalForm::Validation,
        RefusalForm::EventData,
        RefusalForm::MessageData,
        RefusalForm::ActionData,
        RefusalForm::Reply,
        RefusalForm::Authentication,
        RefusalForm::Unread,
    ] {
        for fault in [Fault::internal(), Fault::field("room", "`room` is missing"), Fault::rate_limited(3)] {
            let sent = refused(&ROOT_NUMBERED, kind, &fault, &None);
            assert_eq!(sent.len(), 1);
            ends_in_object(&sent[0]);
        }
    }
    ends_in_object(&messages(&ROOT_NUMBERED.close_event(Close::TokenExpired, 7).unwrap())[0]);
}

#[test]
fn binary_data_is_sent_as_attachments_of_events_and_acknowledgements() {
    let event = event("image", r#"{"of":{"$binary":"AQI="}}"#);
    let placed = r#"{"of":{"_placeholder":true,"num":0}}"#;
    assert_eq!(messages(&ROOT.event(&event, Offset::NONE)), [&format!("451-[\"image\",{placed}]"), "0102"]);
    let answer = CHAT.acknowledgement(Some(&event.data), &ack("5").unwrap(), 7);
    assert_eq!(messages(&answer), [&format!("461-/chat,5[{placed}]"), "0102"]);
}

#[test]
fn an_acknowledgement_without_data_has_no_argument() {
    let of = |data| messages(&ROOT.acknowledgement(data, &ack("18446744073709551615").unwrap(), 7));
    assert_eq!(of(None), ["4318446744073709551615[]"]);
    assert_eq!(of(Some(b"{}")), ["4318446744073709551615[{}]"]);
}

fn refused(wire: &NamespaceWire, refused: RefusalForm, fault: &Fault, correlation: &Correlation) -> Vec<String> {
    let event = Some("requested");
    let style = ErrorStyle::Push;
    let refusal = EventError { fault, event, refused, style, reply: "requested:ack", room: Some("r"), correlation };
    wire.refusal(&refusal, 7).map(|payload| messages(&payload)).unwrap_or_default()
}

#[test]
fn a_refusal_on_the_main_namespace_is_an_event_and_a_requested_acknowledgement() {
    let bad = Fault::field("content", "`content` is missing");
    let room = EventError { room: None, ..EventError::of(&bad, &None) };
    assert_eq!(
        messages(
            &ROOT
                .refusal(&EventError { event: Some("client:message"), refused: RefusalForm::MessageData, ..room }, 7)
                .unwrap()
        ),
        [concat!(
            r#"42["error",{"event":"client:message","message":"Invalid message data. Missing content.","#,
            r#""error":"Invalid message data. Missing content.","code":"INVALID_MESSAGE_DATA","#,
            r#""details":{"field":"content"},"timestamp":"1970-01-01T00:00:00.007Z"}]"#
        )]
    );
    let not_done = r#"{"success":false,"room":"r","error":"Rate limit exceeded","code":"RATE_LIMITED","details":{"retryAfter":3}}"#;
    assert_eq!(
        refused(&ROOT, RefusalForm::Reply, &Fault::rate_limited(3), &ack("9")),
        [format!("42[\"requested:ack\",{not_done}]"), format!("439[{not_done}]")]
    );
    let unsolicited = messages(&ROOT.refusal(&EventError::of(&Fault::unauthenticated(), &None), 0).unwrap());
    assert!(
        unsolicited[0].starts_with(r#"42["error",{"event":null,"message":"Authentication required""#),
        "{unsolicited:?}"
    );
}

#[test]
fn an_expired_token_and_an_invalid_one_have_different_codes() {
    use hubbub_actors::model::fault::Code;

    for (code, sent) in [
        (Code::InvalidToken, "AUTH_FAILED"),
        (Code::AuthUnavailable, "AUTH_FAILED"),
        (Code::TokenExpired, "INVALID_TOKEN"),
        (Code::TokenRevoked, "INVALID_TOKEN"),
        (Code::Forbidden, "PERMISSION_DENIED"),
        (Code::InvalidRequest, "VALIDATION_ERROR"),
        (Code::Overloaded, "OVERLOADED"),
    ] {
        let frames = refused(&ROOT, RefusalForm::Authentication, &Fault::new(code, "no"), &None);
        assert_eq!(frames, [format!(r#"42["authentication_error",{{"error":"no","code":"{sent}"}}]"#)]);
    }
}

#[test]
fn an_internal_fault_has_the_code_of_the_clients_document() {
    for (style, code) in [(ErrorStyle::Community, "SERVER_ERROR"), (ErrorStyle::Push, "INTERNAL_SERVER_ERROR")] {
        for kind in [RefusalForm::Invalid, RefusalForm::Validation, RefusalForm::Reply, RefusalForm::Authentication] {
            let (fault, correlation) = (Fault::internal(), ack("0"));
            let refusal =
                EventError { refused: kind, style, reply: "requested:ack", ..EventError::of(&fault, &correlation) };
            let sent = messages(&ROOT.refusal(&refusal, 0).unwrap());
            let code = format!("\"code\":\"{code}\"");
            assert!(sent.len() == 2 && sent.iter().all(|frame| frame.contains(&code)), "{sent:?}");
        }
    }
}

#[test]
fn an_unreadable_event_is_reported_by_name_on_both_namespaces() {
    let fault = Fault::field("data", "no");
    let refusal = EventError { event: Some("x"), refused: RefusalForm::Unread, ..EventError::of(&fault, &None) };
    for (wire, prefix) in [(&ROOT, "42"), (&CHAT, "42/chat,")] {
        let sent = messages(&wire.refusal(&refusal, 0).unwrap());
        assert!(sent[0].starts_with(&format!(r#"{prefix}["error",{{"event":"x","#)), "{sent:?}");
    }
    let name = |text| socketio::event_name(&ByteString::from_static(text));
    assert_eq!(name(r#" [ "n\u0061me" ,{"broken"#).as_deref(), Some("name"));
    assert_eq!(name("[7,{\"broken\"").as_deref(), Some("7"));
    for text in ["[]", "[{}]", "{}", "", "[\"x"] {
        assert_eq!(name(text), None, "{text}");
    }
}

#[test]
fn every_kind_of_refusal_names_the_reached_limit() {
    let fault = Fault::limit_reached("limits.rooms");
    let details = r#""code":"LIMIT_REACHED","details":{"limit":"limits.rooms"}"#;
    for kind in [
        RefusalForm::Invalid,
        RefusalForm::Validation,
        RefusalForm::EventData,
        RefusalForm::Reply,
        RefusalForm::Authentication,
    ] {
        let frames = refused(&ROOT, kind, &fault, &ack("0"));
        assert!(!frames.is_empty() && frames.iter().all(|frame| frame.contains(details)), "{frames:?}");
    }
}

#[test]
fn a_refusal_on_chat_is_sent_only_as_a_requested_acknowledgement() {
    let fault = Fault::rate_limited(3);
    let sent = [concat!(
        r#"43/chat,0[{"success":false,"message":"Message rate limit exceeded. Please slow down.","#,
        r#""code":"RATE_LIMITED","details":{"retryAfter":3}}]"#
    )];
    assert_eq!(refused(&CHAT, RefusalForm::Reply, &fault, &ack("0")), sent);
    assert_eq!(refused(&CHAT, RefusalForm::Reply, &fault, &None), Vec::<String>::new());
    let expired = Fault::new(hubbub_actors::model::fault::Code::TokenExpired, "The token has expired");
    let sent = messages(&CHAT.refusal(&EventError::of(&expired, &None), 0).unwrap());
    assert_eq!(
        sent,
        [concat!(
            r#"42/chat,["error",{"event":null,"message":"The token has expired","error":"The token has expired","#,
            r#""code":"TOKEN_EXPIRED","timestamp":"1970-01-01T00:00:00.000Z"}]"#
        )]
    );
}

#[test]
fn the_main_namespace_has_a_close_event() {
    let close_event = ROOT.close_event(Close::GoingAway, 7).unwrap();
    let sent = r#"42["disconnected",{"reason":"server_shutdown","timestamp":"1970-01-01T00:00:00.007Z"}]"#;
    assert_eq!(messages(&close_event), [sent]);
    assert_eq!(CHAT.close_event(Close::GoingAway, 7), None);
}

fn parsed(text: &'static str, attachments: &[&'static [u8]]) -> Inbound {
    let packet = socketio::decode(Bytes::from_static(text.as_bytes())).unwrap();
    let attachments = attachments.iter().map(|bytes| Bytes::from_static(bytes)).collect();
    request(Whole { packet, attachments })
}

#[test]
fn the_first_argument_of_an_event_is_the_data_of_a_request() {
    for (text, event, data, correlation) in [
        (r#"2["ping",{"timestamp": 1.50}]"#, "ping", r#"{"timestamp": 1.50}"#, None),
        (r#"2/chat,12["p\u0069ng"]"#, "ping", "{}", Some("12")),
        (r#"20["x",null,1]"#, "x", "{}", Some("0")),
        (r#"2["x",[1],{"a":1}]"#, "x", "[1]", None),
    ] {
        let Inbound::Request(request) = parsed(text, &[]) else { panic!("{text}") };
        assert_eq!((&*request.event, &*request.data), (event, data), "{text}");
        assert_eq!(request.correlation.as_deref(), correlation.map(str::as_bytes), "{text}");
    }
}

#[test]
fn attachments_are_part_of_the_data_and_stray_placeholders_a_fault() {
    let text = r#"51-3["x",{"of":{"_placeholder":true,"num":0}}]"#;
    let Inbound::Request(request) = parsed(text, &[b"\x01\x02"]) else { panic!("no request") };
    assert_eq!(&*request.data, r#"{"of":{"$binary":"AQI="}}"#);
    let text = r#"51-3["x",{"of":{"_placeholder":true,"num":7}}]"#;
    let Inbound::Malformed { event, fault, correlation } = parsed(text, &[b"\x01\x02"]) else { panic!("a request") };
    let reported = (event.as_deref(), fault.field.as_deref(), correlation);
    assert_eq!(reported, (Some("x"), Some("data"), ack("3")));
    assert!(matches!(parsed("31[]", &[]), Inbound::Malformed { correlation: None, .. }));
}
