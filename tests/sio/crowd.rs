//! Polls that wait are connections like any others: there may be as many as the configuration says.

use crate::support::{Client, Hub, Sio, Transport};

#[tokio::test]
async fn polls_that_wait_keep_nobody_else_out() {
    // Enough for all connections there may be and a few hundred more; the polls are not even all that there may be.
    let hub = Hub::with_descriptors(900, "[server]\nworkers = 1\nmax_connections = 400");
    let mut waiting = Vec::new();
    for n in 0..300 {
        let mut client = Sio::of(&hub, Transport::Polling, "alice").await;
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
