//! The requests of a Socket.IO client that stays on long-polling. As a browser, it has two sockets: one for the poll that
//! waits, and one for its POSTs, one at a time. Pure.

use crate::text::quoted;

/// Separates the packets of a body.
pub(crate) const SEPARATOR: u8 = 0x1E;

/// A client's session.
#[derive(Debug, Default)]
pub(crate) struct PollingSession {
    /// The end of the query of its requests; empty until the server has opened the session.
    sid: String,
    /// The packets of the next POST, with a separator after each.
    packets: Vec<u8>,
    /// Whether a POST has no response yet.
    is_posting: bool,
}

impl PollingSession {
    /// The request for the next packets. The first one opens the session.
    pub(crate) fn poll(&self) -> String {
        format!("{}\r\n", self.head("GET"))
    }

    /// The packets in the response to a poll.
    pub(crate) fn polled<'a>(&mut self, body: &'a [u8]) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, String> {
        if self.sid.is_empty() {
            let sid = quoted(body, br#""sid":""#).ok_or("a session without an id")?;
            self.sid = format!("&sid={}", String::from_utf8_lossy(sid));
        }
        Ok(body.split(|&byte| byte == SEPARATOR))
    }

    /// Adds packets, with a separator after each, to the next POST.
    pub(crate) fn queue(&mut self, packets: &[u8]) {
        self.packets.extend_from_slice(packets);
    }

    /// The POST of all queued packets; `None` while there are none, or the last POST has no response.
    pub(crate) fn post(&mut self) -> Option<Vec<u8>> {
        let body = self.packets.strip_suffix(&[SEPARATOR]).filter(|_| !self.is_posting)?;
        let (head, length) = (self.head("POST"), body.len());
        let head = format!("{head}Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {length}\r\n\r\n");
        let request = [head.as_bytes(), body].concat();
        self.packets.clear();
        self.is_posting = true;
        Some(request)
    }

    /// Checks the response to the POST.
    pub(crate) fn posted(&mut self, body: &[u8]) -> Result<(), String> {
        if !self.is_posting || body != b"ok" {
            return Err(format!("not the response to a POST: {}", String::from_utf8_lossy(body)));
        }
        self.is_posting = false;
        Ok(())
    }

    fn head(&self, method: &str) -> String {
        format!("{method} /socket.io/?EIO=4&transport=polling{} HTTP/1.1\r\nHost: hub\r\n", self.sid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> PollingSession {
        let mut session = PollingSession::default();
        assert_eq!(session.polled(br#"0{"sid":"abc","upgrades":[]}"#).unwrap().count(), 1);
        session
    }

    #[test]
    fn requests_name_the_session_after_it_is_opened() {
        assert!(PollingSession::default().poll().starts_with("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n"));
        assert!(opened().poll().starts_with("GET /socket.io/?EIO=4&transport=polling&sid=abc HTTP/1.1\r\n"));
        assert!(PollingSession::default().polled(b"2").is_err());
    }

    #[test]
    fn a_body_has_several_packets() {
        let packets = [&b"2"[..], br#"42["a",{}]"#, b"430[]"];
        let body = packets.join(&SEPARATOR);
        assert_eq!(opened().polled(&body).unwrap().collect::<Vec<_>>(), packets);
    }

    #[test]
    fn packets_wait_for_the_response_to_the_last_post() {
        let mut session = opened();
        assert_eq!(session.post(), None);
        session.queue(b"3\x1e");
        assert!(session.post().unwrap().ends_with(b"Content-Length: 1\r\n\r\n3"));
        session.queue(b"421[]\x1e");
        session.queue(b"422[]\x1e");
        assert_eq!(session.post(), None);
        session.posted(b"ok").unwrap();
        assert!(session.post().unwrap().ends_with(b"Content-Length: 11\r\n\r\n421[]\x1e422[]"));
        assert!(session.posted(b"no").is_err());
        session.posted(b"ok").unwrap();
        assert!(session.posted(b"ok").is_err(), "a response without a POST");
    }
}
