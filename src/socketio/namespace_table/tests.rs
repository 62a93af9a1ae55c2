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

fn again(text: &'static str) -> Next {
    Next::Reconnect { auth: auth(text), has_left: false }
}

fn anew(text: &'static str) -> Next {
    Next::Reconnect { auth: auth(text), has_left: true }
}

/// A table in which a CONNECT with `a` is being authorized.
fn connecting() -> NamespaceTable<u8> {
    let mut table = NamespaceTable::default();
    assert_eq!(table.connect(&Namespace::MAIN, &auth("a")), Step::Authorize);
    table.begin(Namespace::MAIN, auth("a"));
    table
}

#[test]
fn the_last_packet_before_the_outcome_decides() {
    // A letter is a CONNECT with that `auth`, a dash a DISCONNECT.
    for (packets, next) in [
        ("", Next::Join(1)),
        ("a", Next::Join(2)),
        ("aaa", Next::Join(4)),
        ("b", again("b")),
        ("-", Next::Leave),
        ("a-", Next::Leave),
        ("b-", Next::Leave),
        ("-a", anew("a")),
        ("-a-", Next::Leave),
        ("-a-a", anew("a")),
        ("b-a", anew("a")),
        ("ba", again("a")),
    ] {
        let mut table = connecting();
        for packet in packets.chars() {
            match packet {
                '-' => assert_eq!(table.disconnect(&Namespace::MAIN), None, "{packets}"),
                'a' => assert_eq!(table.connect(&Namespace::MAIN, &auth("a")), Step::Wait, "{packets}"),
                _ => assert_eq!(table.connect(&Namespace::MAIN, &auth("b")), Step::Wait, "{packets}"),
            }
        }
        assert_eq!(table.has_waiting(), matches!(next, Next::Reconnect { .. }), "{packets}");
        assert_eq!(table.finish(&Namespace::MAIN), Some(next), "{packets}");
        assert!(table.is_out() && !table.is_connecting(), "{packets}");
    }
}

#[test]
fn a_client_is_in_a_namespace_once_and_leaves_it_once() {
    let mut table = connecting();
    assert!(table.is_connecting() && !table.is_out());
    assert_eq!(table.finish(&Namespace::MAIN), Some(Next::Join(1)));
    table.join(Namespace::MAIN, 7);
    for same in [auth("a"), auth("b"), None] {
        assert_eq!(table.connect(&Namespace::MAIN, &same), Step::Connected(7));
    }
    assert_eq!(table.finish(&Namespace::MAIN), None, "nothing is under way");
    assert_eq!(table.members().collect::<Vec<_>>(), [&7]);
    assert_eq!(table.disconnect(&Namespace::MAIN), Some(7));
    assert_eq!(table.disconnect(&Namespace::MAIN), None);
    assert_eq!(table.get(&Namespace::MAIN), None);
}

#[test]
fn one_that_was_put_out_may_come_back() {
    let mut table: NamespaceTable<u8> = NamespaceTable::default();
    table.join(Namespace::MAIN, 7);
    table.put_out(Namespace::MAIN);
    assert!(table.is_out() && table.get(&Namespace::MAIN).is_some());
    assert_eq!(table.connect(&Namespace::MAIN, &None), Step::Authorize);
    table.begin(Namespace::MAIN, None);
    assert!(table.is_connecting());
}

#[test]
fn namespaces_of_a_connection_are_bounded() {
    let mut table: NamespaceTable<u8> = NamespaceTable::default();
    for number in 0..NAMESPACES_MAX {
        assert_eq!(table.connect(&named(number), &None), Step::Authorize);
        table.begin(named(number), None);
    }
    assert_eq!(table.connect(&named(NAMESPACES_MAX), &None), Step::Full);
    assert_eq!(table.connect(&named(0), &None), Step::Wait);
}
