//! The table of attacks: the bytes that a client sends first, the bytes that it repeats, and whether it reads.

/// A kind of attack.
#[derive(Debug)]
pub(super) struct AttackKind {
    /// Its name in the result table.
    pub(super) name: &'static str,
    /// The first bytes of a connection.
    pub(super) opening: fn() -> Vec<u8>,
    /// The bytes that follow, repeatedly.
    pub(super) repeats: fn() -> Vec<u8>,
    /// Whether it reads the hub's bytes.
    pub(super) reads: bool,
}

/// Refusals, each with a log line, while the log is not read.
pub(super) const UNREAD_LOG: AttackKind =
    AttackKind { name: "refusals, log unread", opening: || upgrade("/ws?token=bad"), repeats: NOTHING, reads: true };

const NOTHING: fn() -> Vec<u8> = Vec::new;

pub(super) const KINDS: &[AttackKind] = &[
    AttackKind {
        name: "pipelined, unread",
        opening: NOTHING,
        repeats: || get("/health/live").repeat(400),
        reads: false,
    },
    AttackKind { name: "pipelined, read", opening: NOTHING, repeats: || get("/health/live").repeat(16), reads: true },
    AttackKind { name: "GET /metrics", opening: NOTHING, repeats: || get("/metrics"), reads: true },
    AttackKind { name: "unread /metrics", opening: NOTHING, repeats: || get("/metrics").repeat(50), reads: false },
    AttackKind {
        name: "heads byte by byte",
        opening: || b"GET / HTTP/1.1\r\nA: ".to_vec(),
        repeats: || b"x".to_vec(),
        reads: true,
    },
    AttackKind {
        name: "long heads",
        opening: || b"GET / HTTP/1.1\r\nA: ".to_vec(),
        repeats: || vec![b'x'; 8_192],
        reads: true,
    },
    AttackKind { name: "many headers", opening: NOTHING, repeats: many_headers, reads: true },
    AttackKind {
        name: "garbage",
        opening: NOTHING,
        repeats: || b"\x16\x03\x01 nonsense\r\n\r\n".to_vec(),
        reads: true,
    },
    AttackKind { name: "idle connections", opening: NOTHING, repeats: NOTHING, reads: true },
    AttackKind {
        name: "connections, closed at once",
        opening: || get_and_close("/health/live"),
        repeats: NOTHING,
        reads: true,
    },
    AttackKind {
        name: "bodies byte by byte",
        opening: || post("/sessions", 8_000),
        repeats: || b" ".to_vec(),
        reads: true,
    },
    AttackKind {
        name: "bodies of 1 MB to a wrong key",
        opening: || post("/api/room", 1_000_000),
        repeats: zeros,
        reads: true,
    },
    AttackKind {
        name: "chunked bodies to an unknown path",
        opening: chunked,
        repeats: || b"400\r\n".iter().copied().chain([0; 1_024]).chain(*b"\r\n").collect(),
        reads: true,
    },
    AttackKind { name: "sign-ins", opening: NOTHING, repeats: sign_in, reads: true },
    AttackKind {
        name: "upgrades with a bad token",
        opening: || upgrade("/ws?token=bad"),
        repeats: NOTHING,
        reads: true,
    },
    AttackKind {
        name: "polling handshakes",
        opening: NOTHING,
        repeats: || get("/socket.io/?EIO=4&transport=polling"),
        reads: true,
    },
    AttackKind {
        name: "polling handshakes, unread",
        opening: NOTHING,
        repeats: || get("/socket.io/?EIO=4&transport=polling").repeat(50),
        reads: false,
    },
    AttackKind {
        name: "polling POSTs to an unknown session",
        opening: || post("/socket.io/?EIO=4&transport=polling&sid=AAAA", 900_000),
        repeats: zeros,
        reads: true,
    },
    AttackKind { name: "Engine.IO sockets", opening: engine, repeats: NOTHING, reads: true },
    AttackKind { name: "Engine.IO sockets, reopened", opening: engine, repeats: || frame(0x88, b""), reads: true },
    AttackKind { name: "attachments never finished", opening: engine, repeats: attachments, reads: true },
    AttackKind {
        name: "fragments never finished",
        opening: engine,
        repeats: || frame(0x01, &[b'x'; 8_192]),
        reads: true,
    },
    AttackKind {
        name: "unknown namespaces",
        opening: engine,
        repeats: || frame(0x81, b"40/none,").repeat(100),
        reads: true,
    },
    AttackKind {
        name: "CONNECTs with a bad token",
        opening: engine,
        repeats: || frame(0x81, br#"40{"token":"bad"}"#),
        reads: true,
    },
    AttackKind { name: "guests on /", opening: engine, repeats: || frame(0x81, b"40"), reads: true },
    AttackKind { name: "noops", opening: engine, repeats: || frame(0x81, b"6").repeat(200), reads: true },
    AttackKind { name: "pings", opening: engine, repeats: || frame(0x89, b"").repeat(200), reads: true },
    AttackKind {
        name: "pings, unread",
        opening: engine,
        repeats: || frame(0x89, &[b'x'; 125]).repeat(200),
        reads: false,
    },
    AttackKind { name: "empty frames", opening: engine, repeats: || frame(0x00, b"").repeat(200), reads: true },
];

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n").into_bytes()
}

fn get_and_close(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").into_bytes()
}

fn post(path: &str, length: usize) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: hub\r\nX-API-Key: wrong\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

fn chunked() -> Vec<u8> {
    b"POST /nowhere HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()
}

fn zeros() -> Vec<u8> {
    vec![0; 16_384]
}

fn many_headers() -> Vec<u8> {
    format!("GET /health/live HTTP/1.1\r\nHost: hub\r\n{}\r\n", "A: b\r\n".repeat(90)).into_bytes()
}

fn sign_in() -> Vec<u8> {
    let body = r#"{"username":"alice","password":"not the password"}"#;
    format!("POST /sessions HTTP/1.1\r\nHost: hub\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

fn engine() -> Vec<u8> {
    upgrade("/socket.io/?EIO=4&transport=websocket")
}

fn attachments() -> Vec<u8> {
    [frame(0x81, br#"4510-["x"]"#), frame(0x82, &[0; 60_000])].concat()
}

/// A masked frame with a zero mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}
