use super::*;

fn head(text: &str) -> HttpHead {
    parse(text.as_bytes()).unwrap().unwrap()
}

fn code(text: &[u8]) -> Code {
    parse(text).unwrap_err().code
}

/// The head that actix-http receives.
fn passed_on(text: &str) -> String {
    head(text).rewritten.map_or_else(|| text.to_owned(), |bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_plain_head_is_passed_on_unchanged() {
    let text = "POST /api/room HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\nX-Name: \u{fc}\r\n\r\n";
    let found = parse(&[text.as_bytes(), b"hello"].concat()).unwrap().unwrap();
    assert_eq!(
        found,
        HttpHead {
            length: text.len(),
            rewritten: None,
            framing: Framing::Counted(5),
            expects_continue: false,
            upgrades: false,
            is_last: false,
        }
    );
    assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: hub\r\n"), Ok(None));
}

#[test]
fn a_websocket_is_offered_by_get_without_a_body_at_its_paths() {
    for path in ["/ws", "/ws/?token=t", "/socket.io/?EIO=4&transport=websocket", "/socket.io"] {
        for offer in ["websocket", "h2c, WebSocket", "h2c\r\nUpgrade: websocket"] {
            let text = format!(
                "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {offer}\r\n\r\n"
            );
            assert!(head(&text).upgrades, "{text}");
            assert_eq!(
                passed_on(&text),
                format!("GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            );
        }
    }
}

#[test]
fn every_other_offer_is_removed_and_the_connection_kept() {
    let rest = "Host: h\r\nX-A: b\r\n";
    for (line, upgrade) in [
        ("GET /health HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ("GET /ws HTTP/1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA\r\n"),
        ("GET /ws HTTP/1.1", "Connection: upgrade\r\n"),
        ("GET /ws HTTP/1.1", "Upgrade: websocket\r\n"),
        ("GET /ws HTTP/1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ("POST /ws HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ("GET /wsx HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    ] {
        let text = format!("{line}\r\n{rest}{upgrade}\r\n");
        assert_eq!(passed_on(&text), format!("{line}\r\n{rest}\r\n"), "{text}");
        assert!(!head(&text).upgrades);
    }
    let with_body =
        format!("GET /ws HTTP/1.1\r\n{rest}Content-Length: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(!head(&with_body).upgrades);
    let closes = head(&format!("GET / HTTP/1.1\r\n{rest}Connection: close, upgrade\r\nUpgrade: h2c\r\n\r\n"));
    assert!(closes.is_last);
    let passed = String::from_utf8(closes.rewritten.unwrap()).unwrap();
    assert_eq!(passed, format!("GET / HTTP/1.1\r\n{rest}Connection: close\r\n\r\n"));
}

#[test]
fn an_expectation_of_continue_is_recognized_and_removed() {
    let text = "POST / HTTP/1.1\r\nHost: h\r\nExpect: x, 100-Continue\r\nContent-Length: 3\r\n\r\n";
    assert!(head(text).expects_continue);
    assert_eq!(passed_on(text), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
    assert!(!head("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n").expects_continue);
}

#[test]
fn the_last_request_of_a_connection_is_recognized() {
    for (text, is_last) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n", true),
        ("GET / HTTP/1.0\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false),
    ] {
        assert_eq!(head(text).is_last, is_last, "{text}");
    }
}

#[test]
fn a_malformed_head_is_refused() {
    for bad in [
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "G&T\u{7f} / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n folded\r\n\r\n",
        "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /%c3%28 HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \u{a0}5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \u{a0}chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.0\r\n\r\n",
    ] {
        assert_eq!(code(bad.as_bytes()), Code::InvalidRequest, "{bad}");
    }
    assert_eq!(code(b"CONNECT hub:80 HTTP/1.1\r\nHost: hub\r\n\r\n"), Code::MethodNotAllowed);
    assert_eq!(code(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n"), Code::InvalidRequest);
}

#[test]
fn every_part_of_a_head_has_a_bound() {
    let lines = |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(parse(lines(HEADERS_MAX - 1).as_bytes()).is_ok());
    assert_eq!(code(lines(HEADERS_MAX).as_bytes()), Code::HeadersTooLarge);
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(length - 1));
    assert!(parse(target(TARGET_MAX).as_bytes()).is_ok());
    assert_eq!(code(target(TARGET_MAX + 1).as_bytes()), Code::UriTooLong);
    let value = format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "x".repeat(HEAD_MAX));
    assert_eq!(code(value.as_bytes()), Code::HeadersTooLarge);

    let partial = |text: &str| check_partial(text.as_bytes()).map_err(|fault| fault.code);
    assert_eq!(partial(&format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(HEAD_MAX))), Err(Code::HeadersTooLarge));
    assert_eq!(partial(&format!("GET /{}", "x".repeat(TARGET_MAX))), Err(Code::UriTooLong));
    assert_eq!(partial(&format!("GET /{} HTTP/1.1\r\nHo", "x".repeat(TARGET_MAX - 1))), Ok(()));
    assert_eq!(partial("\u{16}\u{3}\u{1}"), Err(Code::InvalidRequest));
}

#[test]
fn a_stand_in_is_a_valid_head_and_keeps_the_properties_of_the_answer() {
    for (refused, line, kept) in [
        (
            "POST /api/push HTTP/1.1\r\nX-Request-Id: r-1\r\nOrigin: https://a.example\r\nA : b\r\n\r\n",
            "GET /api/ HTTP/1.1",
            "x-request-id: r-1\r\norigin: https://a.example\r\n",
        ),
        ("HEAD /x HTTP/1.1\r\nx-request-id: a\u{1}b\r\n\r\n", "HEAD / HTTP/1.1", ""),
        ("\u{16}\u{3}", "GET / HTTP/1.1", ""),
        ("", "GET / HTTP/1.1", ""),
    ] {
        let made = String::from_utf8(stand_in(&BasePath::default(), refused.as_bytes())).unwrap();
        assert_eq!(made, format!("{line}\r\nHost: -\r\nConnection: close\r\n{kept}\r\n"));
        assert!(head(&made).is_last);
    }
}

#[test]
fn the_end_of_a_head_is_found_for_any_split_and_a_bare_lf_at_once() {
    let text = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /";
    for piece in 1..text.len() {
        let mut scanned = 0;
        let mut ends = (piece..=text.len()).step_by(piece).chain([text.len()]);
        let found = ends.find(|end| has_end(&text[..*end], &mut scanned).unwrap()).unwrap();
        assert!((27..27 + piece).contains(&found), "{piece}: {found}");
    }
    for bad in [&b"GET / HTTP/1.1\n"[..], b"GET / HTTP/1.1\r\nHost: h\n\r\n", b"\n"] {
        assert_eq!(has_end(bad, &mut 0).unwrap_err().code, Code::InvalidRequest);
    }
    assert_eq!(has_end(b"GET / HTTP/1.1\r\nHost: h\r\n\r", &mut 0), Ok(false));
}

#[test]
fn connection_options_are_read_like_in_actix_and_passed_on_in_one_line() {
    for (lines, passed, is_last) in [
        ("Connection: close, \u{e9}\r\n", None, false),
        ("Connection: close\u{a0}\r\n", None, false),
        ("Connection: keep-alive, te, upgrade\r\n", Some("Connection: keep-alive, te\r\n"), false),
        ("Connection: a, A, upgrade\r\nConnection: close\r\n", Some("Connection: a, close\r\n"), true),
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let expected = passed.map_or(text.clone(), |passed| format!("GET / HTTP/1.1\r\nHost: h\r\n{passed}\r\n"));
        assert_eq!((passed_on(&text), head(&text).is_last), (expected, is_last));
    }
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade{}\r\n\r\n", ",a".repeat(10_000));
    assert_eq!(passed_on(&many), "GET / HTTP/1.1\r\nHost: h\r\nConnection: a\r\n\r\n");
    assert!(
        head("GET http://hub/ws HTTP/1.1\r\nHost: hub\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").upgrades
    );
}

#[test]
fn input_without_an_http_version_in_its_first_line_is_not_http() {
    for (text, is) in [
        (&b"GET / HTTP/1.1\r\nA b\r\n\r\n"[..], true),
        (b"\r\nGET / HTTP/1.1\nHost: h\n\n", true),
        (b"PRI * HTTP/2.0\r\n\r\n", true),
        (b"GET  / HTTP/1.1", true),
        (b"THIS IS NO HTTP\r\n\r\n", false),
        (b"\x16\x03\x01\x00\xa5\x01\r\n\r\n", false),
        (b"SSH-2.0-OpenSSH_9.6\r\n", false),
        (b"GET /\r\n", false),
        (b"HTTP/1.1\r\n", false),
        (b"", false),
    ] {
        assert_eq!(is_http(text), is, "{}", text.escape_ascii());
    }
}

#[test]
fn a_host_in_the_last_header_line_is_recognized() {
    for (head, is_last) in [
        ("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nHost: hub:80\r\n\r\n", true),
        ("GET /ws HTTP/1.1\r\nhost:hub\r\n\r\n", true),
        ("GET /ws HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\n\r\n", false),
        ("GET /ws HTTP/1.1\r\nX-Host: hub\r\n\r\n", false),
        ("GET /ws HTTP/1.0\r\n\r\n", false),
        ("", false),
    ] {
        assert_eq!(is_host_last(head.as_bytes()), is_last, "{head}");
    }
}

#[test]
fn a_websocket_is_opened_only_under_the_base_path() {
    let base = BasePath::parse("/hub").unwrap();
    for (path, upgrades) in [
        ("/hub/ws", true),
        ("/hub/ws/", true),
        ("/hub/socket.io/?EIO=4", true),
        ("http://h/hub/socket.io", true),
        ("/ws", false),
        ("/socket.io/", false),
        ("/hubs/ws", false),
        ("/hub/ws//", false),
    ] {
        let text = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(parse_under(&base, text.as_bytes()).unwrap().unwrap().upgrades, upgrades, "{path}");
    }
    for (target, path) in [("/hub/api/push", "/hub/api/"), ("/hub/ws", "/hub/"), ("/api/push", "/hub/")] {
        let made = stand_in(&base, format!("GET {target} HTTP/1.1\r\n").as_bytes());
        assert!(made.starts_with(format!("GET {path} HTTP/1.1\r\n").as_bytes()), "{target}");
    }
}
