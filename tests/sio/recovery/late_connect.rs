//! A network delays the CONNECT of a connection that its client has given up. It arrives after the CONNECT of the client's
//! next connection, and takes the session from it. The client must notice, and recover the session again.

use serde_json::json;

use super::{RecoveryClient, hub, to_room, wait_until_empty};
use crate::support::SioTransport;
use crate::support::socketio::events;

#[tokio::test]
async fn a_client_recovers_its_session_from_a_late_connect_of_its_earlier_connection() {
    let hub = hub("");
    for transport in [SioTransport::WebSocket, SioTransport::Polling] {
        let mut current = RecoveryClient::of(&hub, transport, "alice").await;
        current.sio.join("one").await;
        let saved = current.saved.clone();
        let late = saved.resume(&hub, SioTransport::WebSocket).await;
        // A DISCONNECT would stop the client: it does not reconnect after one.
        let (received, _) = current.sio.read_to_end().await;
        assert_eq!(events(&received), [json!(["disconnected", {"reason": "session_recovered"}])]);
        assert_eq!(received.len(), 1, "{received:?}");
        let missed = to_room(&hub, "one", 1);
        drop(late);
        let mut client = saved.resume(&hub, transport).await;
        client.expect_exactly(&[missed]).await;
        client.disconnect().await;
        wait_until_empty(&hub).await;
    }
}
