//! Where connections come in: each gets a place among the plain ones, or is told why not.

use std::net::{IpAddr, Shutdown};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::StatusCode;
use actix_rt::net::TcpStream;
use hubbub_actors::fault::{Code, Fault};
use socket2::SockRef;
use tokio::time::Instant;

use super::connections::{Connections, Refused};
use super::linger;
use super::pacer::Pacer;
use super::stream::HttpStream;
use crate::error::{self, Shape};

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For a request's head: the first from the connection's acceptance, others from their first byte.
    pub head: Duration,
    /// For its body, from when it may be read.
    pub body: Duration,
}

/// What the streams of one worker share.
#[derive(Debug)]
pub struct Listener {
    pub(super) connections: Arc<Connections>,
    pub(super) pacer: Rc<Pacer>,
}

impl Listener {
    /// A worker's listener. How long its clients may take is set on `connections`.
    pub fn new(connections: Arc<Connections>) -> Rc<Self> {
        Rc::new(Self { connections, pacer: Pacer::new(Instant::now()) })
    }

    /// Takes a connection. `counted` is the address whose limit it counts in, if any.
    ///
    /// # Errors
    /// Why it is refused; the client is told before the socket is closed.
    pub fn take(self: &Rc<Self>, socket: TcpStream, counted: Option<IpAddr>) -> Result<HttpStream, Refused> {
        match self.connections.register(counted) {
            Ok(registration) => Ok(HttpStream::new(self.clone(), socket, registration)),
            Err(refused) => {
                // A socket that was just accepted is writable; tokio knows that only when it has asked.
                let sent = SockRef::from(&socket).send(refusal(refused).as_bytes());
                let shut = SockRef::from(&socket).shutdown(Shutdown::Write);
                if sent.and(shut).is_ok() {
                    let lingering = self.connections.lingering.clone();
                    actix_rt::spawn(async move { linger::close(socket, &lingering).await });
                }
                Err(refused)
            }
        }
    }
}

/// The whole answer to a connection that is not taken. There is no request, and so no request id.
fn refusal(refused: Refused) -> String {
    let (status, fault) = match refused {
        Refused::Full => (
            StatusCode::SERVICE_UNAVAILABLE,
            Fault { retry_after: Some(1), ..Fault::new(Code::ServerFull, "Too many HTTP connections") },
        ),
        Refused::Address => (
            StatusCode::TOO_MANY_REQUESTS,
            Fault { retry_after: Some(1), ..Fault::limit_reached("limits.http.connections_per_address") },
        ),
    };
    let body = error::body(&fault, Shape::Raw, "").to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_not_taken_is_told_which_limit_decides() {
        for (refused, status, code, limit) in [
            (Refused::Full, "503 Service Unavailable", "SERVER_FULL", None),
            (Refused::Address, "429 Too Many Requests", "LIMIT_REACHED", Some("limits.http.connections_per_address")),
        ] {
            let answer = refusal(refused);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status}\r\nConnection: close\r\nRetry-After: 1\r\n")),
                "{head}"
            );
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["error"]["code"], code);
            assert_eq!(body["error"]["details"]["limit"].as_str(), limit);
        }
    }
}
