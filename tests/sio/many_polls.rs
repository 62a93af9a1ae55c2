//! Many waiting polls leave the hub available to others.

use crate::support::{Client, Hub, Sio, SioTransport};

#[tokio::test]
async fn waiting_polls_do_not_block_other_clients() {
    // Enough descriptors for all connections and a few hundred more. There are fewer polls than connections.
    let hub = Hub::with_descriptors(900, "[server]\nworkers = 1\nmax_connections = 400");
    let mut waiting = Vec::new();
    for n in 0..300 {
        let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
        client.start_poll().await;
        waiting.push(client);
        if n % 50 == 0 {
            assert_eq!(hub.get("/health").status, 200, "after {n} polls");
        }
    }
    assert_eq!(hub.get("/health").status, 200);
    let mut raw = Client::of(&hub, "raw").await;
    raw.expect_silence().await;
}
