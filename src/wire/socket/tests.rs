use super::*;

fn read(text: &str) -> Result<Packet, &'static str> {
    decode(Bytes::copy_from_slice(text.as_bytes())).map_err(Malformed::words)
}

#[test]
fn the_examples_of_the_protocol_are_read() {
    let namespace = || Namespace(ByteString::from_static("/admin"));
    let event = |namespace, args: &'static str, ack, attachments| Packet::Event {
        namespace,
        args: Bytes::from_static(args.as_bytes()),
        ack,
        attachments,
    };
    for (text, packet) in [
        ("0", Packet::Connect { namespace: Namespace::MAIN, data: None }),
        ("0/admin,", Packet::Connect { namespace: namespace(), data: None }),
        ("0/admin", Packet::Connect { namespace: namespace(), data: None }),
        (
            "0/admin,{\"token\":\"123\"}",
            Packet::Connect { namespace: namespace(), data: Some(Bytes::from_static(b"{\"token\":\"123\"}")) },
        ),
        ("0{}", Packet::Connect { namespace: Namespace::MAIN, data: Some(Bytes::from_static(b"{}")) }),
        ("1", Packet::Disconnect { namespace: Namespace::MAIN }),
        ("1/admin,", Packet::Disconnect { namespace: namespace() }),
        ("2[\"foo\"]", event(Namespace::MAIN, "[\"foo\"]", None, 0)),
        ("2/admin,[\"bar\"]", event(namespace(), "[\"bar\"]", None, 0)),
        ("212[\"foo\"]", event(Namespace::MAIN, "[\"foo\"]", Some(12), 0)),
        (
            "51-[\"baz\",{\"_placeholder\":true,\"num\":0}]",
            event(Namespace::MAIN, "[\"baz\",{\"_placeholder\":true,\"num\":0}]", None, 1),
        ),
        (
            "52-/admin,[\"baz\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
            event(
                namespace(),
                "[\"baz\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
                None,
                2,
            ),
        ),
        (
            "3/admin,13[\"bar\"]",
            Packet::Ack { namespace: namespace(), id: 13, args: Bytes::from_static(b"[\"bar\"]"), attachments: 0 },
        ),
        (
            "61-15[\"bar\",{\"_placeholder\":true,\"num\":0}]",
            Packet::Ack {
                namespace: Namespace::MAIN,
                id: 15,
                args: Bytes::from_static(b"[\"bar\",{\"_placeholder\":true,\"num\":0}]"),
                attachments: 1,
            },
        ),
    ] {
        assert_eq!(read(text), Ok(packet), "{text}");
    }
}
