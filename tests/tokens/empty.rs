//! An empty token in one place does not hide a valid one in another: frameworks send the header or the field even without
//! a token.

use crate::support::socketio::PollingSession;
use crate::support::{Sio, SioTransport};

use super::*;

#[tokio::test]
async fn on_ws_an_empty_token_does_not_hide_a_token_in_another_position() {
    let hub = Hub::start();
    let good = token("alice");
    let (bearer, protocol) = (format!("Bearer {good}"), format!("access_token.{good}"));
    let offer = format!("access_token., {protocol}");
    let query = format!("/ws?token={good}");
    let (authorization, subprotocol) = ("Authorization", "Sec-WebSocket-Protocol");
    for (path, headers, chosen) in [
        (query.clone(), vec![(authorization, "Bearer ")], None),
        (query.clone(), vec![(authorization, "Bearer")], None),
        (format!("/ws?token=&token={good}"), vec![], None),
        ("/ws?token=".to_owned(), vec![(authorization, "Bearer "), (subprotocol, &protocol)], Some(&protocol)),
        ("/ws".to_owned(), vec![(subprotocol, &offer)], Some(&protocol)),
        ("/ws".to_owned(), vec![(authorization, "Basic dTpw"), (authorization, &bearer)], None),
    ] {
        let (answer, mut wire) = Wire::upgrade(&hub, &path, &headers).await;
        assert_eq!(answer.status, 101, "{path} {headers:?}: {answer:?}");
        assert_eq!(answer.header(subprotocol), chosen.map(String::as_str), "{path} {headers:?}");
        assert_eq!(wire.message().await["data"]["details"]["user"]["id"], "alice");
    }
    let (answer, _) =
        Wire::upgrade(&hub, "/ws?token=", &[(authorization, "Bearer "), (subprotocol, "access_token.")]).await;
    assert_refused(&answer, 401, "INVALID_TOKEN", "Authentication token is missing");
}

#[tokio::test]
async fn on_socketio_an_empty_token_does_not_hide_a_token_in_another_position() {
    let hub = Hub::start();
    let good = token("alice");
    let bearer = format!("Bearer {good}");
    for auth in [json!({"token": ""}), json!({"token": null}), json!({})] {
        let mut socket = Sio::open_with(&hub, &[("Authorization", &bearer)]).await;
        socket.connect("/chat", &auth).await.unwrap_or_else(|error| panic!("{auth}: {error}"));
    }
    let path = format!("/socket.io/?EIO=4&transport=polling&token=&token={good}");
    let mut polling = PollingSession::open_at(hub.address(), &path).await;
    polling.send("40/chat,{\"token\":\"\"}").await;
    let body = polling.poll_body().await;
    assert!(body.starts_with("40/chat,{\"sid\":"), "{body}");

    let mut socket = Sio::open(&hub, SioTransport::WebSocket).await;
    let error = socket.connect("/chat", &json!({"token": ""})).await.unwrap_err();
    assert_eq!(error["message"], "Unauthorized");
}
