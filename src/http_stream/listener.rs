//! Accepts connections: each gets a slot among the plain connections or an error response.

use std::net::{IpAddr, Shutdown};
use std::rc::Rc;
use std::sync::Arc;

use actix_http::StatusCode;
use actix_rt::net::TcpStream;
use hubbub_actors::model::fault::{Code, Fault};
use socket2::SockRef;
use tokio::time::Instant;

use super::connections::{ConnectionRefusal, Connections};
use super::context::StreamContext;
use super::linger;
use super::pacer::Pacer;
use super::stream::HttpStream;
use crate::error::Shape;
use crate::error::body::ErrorBody;
use crate::notices::Notices;
use crate::peer::BasePath;
use crate::request_id::HttpRequestId;

/// Accepts the connections of one worker.
#[derive(Debug, Clone)]
pub struct Listener(Rc<StreamContext>);

impl Listener {
    /// A worker's listener, for routes under `base`. `connections` has the time limits.
    pub fn new(connections: Arc<Connections>, notices: Arc<Notices>, base: BasePath) -> Self {
        Self(Rc::new(StreamContext { connections, pacer: Pacer::new(Instant::now()), notices, base }))
    }

    /// Accepts a connection. `counted`: the address for the limit per address, if it applies.
    ///
    /// # Errors
    /// The request id and the reason of the refusal. The client receives both before the socket is closed.
    pub fn accept(&self, socket: TcpStream, counted: Option<IpAddr>) -> Result<HttpStream, (HttpRequestId, Fault)> {
        match self.0.connections.register(counted) {
            Ok(registration) => Ok(HttpStream::new(self.0.clone(), socket, registration)),
            Err(refused) => {
                let (id, fault) = (HttpRequestId::random(), fault(refused));
                // A new socket is writable, but tokio would not know it before it polls.
                let sent = SockRef::from(&socket).send(refusal(refused, &id, &fault).as_bytes());
                let shut = SockRef::from(&socket).shutdown(Shutdown::Write);
                if sent.and(shut).is_ok() {
                    let lingering = self.0.connections.lingering.clone();
                    actix_rt::spawn(async move { linger::close(socket, &lingering).await });
                }
                Err((id, fault))
            }
        }
    }
}

fn fault(refused: ConnectionRefusal) -> Fault {
    let fault = match refused {
        ConnectionRefusal::Full => {
            Fault::new(Code::ServerFull, "Too many HTTP connections").by("server.max_connections")
        }
        ConnectionRefusal::Address => Fault::limit_reached("limits.http.connections_per_address"),
    };
    Fault { retry_after: Some(1), ..fault }
}

/// The whole response to a refused connection. There is no request, so the id is new.
fn refusal(refused: ConnectionRefusal, id: &HttpRequestId, fault: &Fault) -> String {
    let status = match refused {
        ConnectionRefusal::Full => StatusCode::SERVICE_UNAVAILABLE,
        ConnectionRefusal::Address => StatusCode::TOO_MANY_REQUESTS,
    };
    let body = ErrorBody::of(fault, Shape::Raw, "").to_text();
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
    fn a_refused_connection_receives_the_name_of_the_limit() {
        for (refused, status, code, limit) in [
            (ConnectionRefusal::Full, "503 Service Unavailable", "SERVER_FULL", None),
            (
                ConnectionRefusal::Address,
                "429 Too Many Requests",
                "LIMIT_REACHED",
                Some("limits.http.connections_per_address"),
            ),
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
