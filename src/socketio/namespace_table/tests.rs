use super::*;
use crate::codec::socketio::{Packet, decode};

fn named(number: usize) -> Namespace {
    match decode(Bytes::from(format!("0/n{number}"))) {
        Ok(Packet::Connect { namespace, .. }) => namespace.detached(),
        other => panic!("{other:?}"),
    }
}

fn auth(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

fn again(text: &'static str) -> NextAction {
    NextAction::Reconnect { auth: auth(text), has_left: false }
}

fn anew(text: &'static str) -> NextAction {
    NextAction::Reconnect { auth: auth(text), has_left: true }
}

/// A table in which a CONNECT with `a` is being authorized.
fn connecting() -> NamespaceTable<u8> {
    let mut table = NamespaceTable::default();
    assert_eq!(table.connect(&Namespace::MAIN, &auth("a")), ConnectStep::Authorize);
    table.begin(Namespace::MAIN, auth("a"));
    table
}

#[test]
fn the_last_packet_before_the_outcome_decides() {
    // A letter is a CONNECT with that `auth`, a dash is a DISCONNECT.
    for (packets, next) in [
        ("", NextAction::Join(1)),
        ("a", NextAction::Join(2)),
        ("aaa", NextAction::Join(4)),
        ("b", again("b")),
        ("-", NextAction::Leave),
        ("a-", NextAction::Leave),
        ("b-", NextAction::Leave),
        ("-a", anew("a")),
        ("-a-", NextAction::Leave),
        ("-a-a", anew("a")),
        ("b-a", anew("a")),
        ("ba", again("a")),
    ] {
        let mut table = connecting();
        for packet in packets.chars() {
            match packet {
                '-' => assert_eq!(table.disconnect(&Namespace::MAIN), None, "{packets}"),
                'a' => assert_eq!(table.connect(&Namespace::MAIN, &auth("a")), ConnectStep::Wait, "{packets}"),
                _ => assert_eq!(table.connect(&Namespace::MAIN, &auth("b")), ConnectStep::Wait, "{packets}"),
            }
        }
        assert_eq!(table.has_waiting(), matches!(next, NextAction::Reconnect { .. }), "{packets}");
        assert_eq!(table.finish(&Namespace::MAIN), Some(next), "{packets}");
        assert!(table.is_disconnected() && !table.is_connecting(), "{packets}");
    }
}

#[test]
fn a_client_is_in_a_namespace_once_and_leaves_it_once() {
    let mut table = connecting();
    assert!(table.is_connecting() && !table.is_disconnected());
    assert_eq!(table.finish(&Namespace::MAIN), Some(NextAction::Join(1)));
    table.join(Namespace::MAIN, 7);
    for same in [auth("a"), auth("b"), None] {
        assert_eq!(table.connect(&Namespace::MAIN, &same), ConnectStep::Connected(7));
    }
    assert_eq!(table.finish(&Namespace::MAIN), None, "nothing is in progress");
    assert_eq!(table.members().collect::<Vec<_>>(), [&7]);
    assert_eq!(table.disconnect(&Namespace::MAIN), Some(7));
    assert_eq!(table.disconnect(&Namespace::MAIN), None);
    assert_eq!(table.get(&Namespace::MAIN), None);
}

#[test]
fn a_removed_client_may_connect_again() {
    let mut table: NamespaceTable<u8> = NamespaceTable::default();
    table.join(Namespace::MAIN, 7);
    table.mark_removed(Namespace::MAIN);
    assert!(table.is_disconnected() && table.get(&Namespace::MAIN).is_some());
    assert_eq!(table.connect(&Namespace::MAIN, &None), ConnectStep::Authorize);
    table.begin(Namespace::MAIN, None);
    assert!(table.is_connecting());
}

#[test]
fn namespaces_of_a_connection_are_bounded() {
    let mut table: NamespaceTable<u8> = NamespaceTable::default();
    for number in 0..NAMESPACES_MAX {
        assert_eq!(table.connect(&named(number), &None), ConnectStep::Authorize);
        table.begin(named(number), None);
    }
    assert_eq!(table.connect(&named(NAMESPACES_MAX), &None), ConnectStep::Full);
    assert_eq!(table.connect(&named(0), &None), ConnectStep::Wait);
}
