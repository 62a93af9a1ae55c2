//! Where connections come in: each gets a place among the plain ones, or is told why not.

use std::net::{IpAddr, Shutdown};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::StatusCode;
use actix_rt::net::TcpStream;
use hubbub_actors::model::fault::{Code, Fault};
use socket2::SockRef;
use tokio::time::Instant;

use super::connections::{Connections, Refused};
use super::linger;
use super::pacer::Pacer;
use super::stream::HttpStream;
use crate::error::{self, Shape};
use crate::notices::Notices;
use crate::peer::BasePath;
use crate::request_id::HttpRequestId;

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
    pub(super) notices: Arc<Notices>,
    pub(super) base: BasePath,
}

impl Listener {
    /// A worker's listener, for routes that are under `base`. How long its clients may take is set on `connections`.
    pub fn new(connections: Arc<Connections>, notices: Arc<Notices>, base: BasePath) -> Rc<Self> {
        Rc::new(Self { connections, pacer: Pacer::new(Instant::now()), notices, base })
    }

    /// Takes a connection. `counted` is the address whose limit it counts in, if any.
    ///
    /// # Errors
    /// Why it is refused, and by which request id the client is told so before the socket is closed.
    pub fn take(
        self: &Rc<Self>,
        socket: TcpStream,
        counted: Option<IpAddr>,
    ) -> Result<HttpStream, (HttpRequestId, Fault)> {
        match self.connections.register(counted) {
            Ok(registration) => Ok(HttpStream::new(self.clone(), socket, registration)),
            Err(refused) => {
                let (id, fault) = (HttpRequestId::random(), fault(refused));
                // A socket that was just accepted is writable; tokio knows that only when it has asked.
                let sent = SockRef::from(&socket).send(refusal(refused, &id, &fault).as_bytes());
                let shut = SockRef::from(&socket).shutdown(Shutdown::Write);
                if sent.and(shut).is_ok() {
                    let lingering = self.connections.lingering.clone();
                    actix_rt::spawn(async move { linger::close(socket, &lingering).await });
                }
                Err((id, fault))
            }
        }
    }
}

fn fault(refused: Refused) -> Fault {
    let fault = match refused {
        Refused::Full => Fault::new(Code::ServerFull, "Too many HTTP connections").by("server.max_connections"),
        Refused::Address => Fault::limit_reached("limits.http.connections_per_address"),
    };
    Fault { retry_after: Some(1), ..fault }
}

/// The whole answer to a connection that is not taken. There is no request: the id is of the answer alone.
fn refusal(refused: Refused, id: &HttpRequestId, fault: &Fault) -> String {
    let status = match refused {
        Refused::Full => StatusCode::SERVICE_UNAVAILABLE,
        Refused::Address => StatusCode::TOO_MANY_REQUESTS,
    };
    let body = error::body(fault, Shape::Raw, "").to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nRetry-After: 1\r\nX-Request-Id: {id}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
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
            let id = HttpRequestId::random();
            let answer = refusal(refused, &id, &fault(refused));
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with(&format!(
                    "HTTP/1.1 {status}\r\nConnection: close\r\nRetry-After: 1\r\nX-Request-Id: {id}\r\n"
                )),
                "{head}"
            );
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["error"]["code"], code);
            assert_eq!(body["error"]["details"]["limit"].as_str(), limit);
        }
    }
}
