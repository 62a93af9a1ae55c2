//! A client by polling against a server of the test, which writes each response in two parts.

use std::net::TcpListener;

use super::*;

const WAIT: Duration = Duration::from_secs(20);

/// Signs in, and records the deliveries.
#[derive(Default)]
struct Recorder(Vec<Vec<u8>>);

impl MessageHandler for Recorder {
    fn message(
        &mut self,
        index: usize,
        message: ServerMessage<'_>,
        _: Instant,
        outgoing: &mut Outgoing,
    ) -> Result<(), String> {
        match message {
            ServerMessage::Opened => outgoing.text(index, Protocol::Polling, b"40"),
            ServerMessage::Delivery(text) => self.0.push(text.to_vec()),
            other => return Err(format!("unexpected: {other:?}")),
        }
        Ok(())
    }
}

/// Pumps until `is_done`.
fn pump_until(pool: &mut ClientPool, recorder: &mut Recorder, is_done: impl Fn(&ClientPool) -> bool) {
    let deadline = Instant::now() + WAIT;
    while !is_done(pool) {
        assert!(Instant::now() < deadline, "{pool:?}");
        pool.pump(Duration::from_millis(10), recorder).unwrap();
    }
}

/// The next request, up to its end `end`.
fn request(socket: &mut std::net::TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
    }
    String::from_utf8(bytes).unwrap()
}

/// Writes a response in two parts, the second when the client has read the first.
fn respond(socket: &mut std::net::TcpStream, body: &str, pool: &mut ClientPool, recorder: &mut Recorder) {
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (first, second) = response.as_bytes().split_at(response.len() - 3);
    socket.write_all(first).unwrap();
    let unread = |pool: &ClientPool| {
        let client = &pool.clients[0];
        client.socket.rest.len() + client.polling.as_ref().map_or(0, |(_, posts)| posts.rest.len())
    };
    pump_until(pool, recorder, |pool| unread(pool) == first.len());
    socket.write_all(second).unwrap();
    pump_until(pool, recorder, |pool| unread(pool) == 0);
}

#[test]
fn a_client_by_polling_reads_split_responses_and_sends_one_post_at_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut pool, mut recorder) = (ClientPool::new().unwrap(), Recorder::default());
    let spec = ClientSpec { protocol: Protocol::Polling, token: String::new(), topic: None, stops_reading: false };
    pool.connect(listener.local_addr().unwrap(), &spec).unwrap();
    let [mut polls, mut posts] = [(), ()].map(|()| listener.accept().unwrap().0);
    for socket in [&polls, &posts] {
        socket.set_read_timeout(Some(WAIT)).unwrap();
    }

    assert!(request(&mut polls, "\r\n\r\n").starts_with("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n"));
    respond(&mut polls, r#"0{"sid":"abc"}"#, &mut pool, &mut recorder);
    let poll = request(&mut polls, "\r\n\r\n");
    assert!(poll.starts_with("GET /socket.io/?EIO=4&transport=polling&sid=abc HTTP/1.1\r\n"), "{poll}");
    let post = request(&mut posts, "\r\n\r\n40");
    assert!(post.starts_with("POST /socket.io/?EIO=4&transport=polling&sid=abc HTTP/1.1\r\n"), "{post}");

    // The ping and the message wait for the response to the first POST.
    let deliveries = ["42[\"Broadcast\",1]", "42[\"Broadcast\",2]"];
    respond(&mut polls, &[deliveries[0], "2", deliveries[1]].join("\x1e"), &mut pool, &mut recorder);
    assert_eq!(recorder.0, deliveries.map(str::as_bytes));
    pool.send(|outgoing| outgoing.text(0, Protocol::Polling, b"421[]")).unwrap();
    respond(&mut posts, "ok", &mut pool, &mut recorder);
    let post = request(&mut posts, "421[]");
    assert!(post.ends_with("Content-Length: 7\r\n\r\n3\u{1e}421[]"), "{post}");
    assert!(request(&mut polls, "\r\n\r\n").contains("&sid=abc "));
}
