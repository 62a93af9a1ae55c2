use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use hubbub_actors::connection::outbox::{Entry, OutboxCapacity};
use hubbub_actors::connection::{ConnectionSpec, SessionTable};
use hubbub_actors::publication::{FRAME_HEADER_MAX, MessageKind, Payload};
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::runtime::counters::Stats;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A message larger than the kernel's buffers.
const LARGE: usize = 16 << 20;

/// The reading half, the writer and the client of a new connection.
pub(super) async fn connection(session_table: &SessionTable) -> (OwnedReadHalf, Rc<SocketWriter>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (reading, writing) = listener.accept().await.unwrap().0.into_split();
    let bound = OutboxCapacity { bytes: 1_000, entries: 100 };
    let connection = session_table.connect(ConnectionSpec { bound, heartbeat: None, elapsed: 0 });
    (reading, SocketWriter::new(writing, connection, Rc::new(Flusher::default())), client)
}

/// A worker's clock, counters and session table.
fn worker() -> (Clock, Arc<Stats>, SessionTable) {
    let (clock, stats) = (Clock::manual(5_000), Arc::new(Stats::default()));
    (clock.clone(), stats.clone(), SessionTable::new(0, stats, clock))
}

/// Measured deliveries, and the sum of their latencies in µs.
fn measured(stats: &Stats) -> (u64, u64) {
    let snapshot = stats.delivery_latency.snapshot();
    (snapshot.count(), snapshot.sum)
}

fn message(bytes: usize) -> Payload {
    Payload::message(MessageKind::Binary, vec![b'x'; bytes])
}

/// Delivers a measured message, accepted now.
fn deliver(writer: &SocketWriter, bytes: usize, clock: &Clock) {
    writer.connection.with_outbox(|outbox| {
        outbox.offer(Entry::of_connection(message(bytes)), None);
        outbox.mark(clock.elapsed_us());
    });
}

#[tokio::test]
async fn a_delivery_is_measured_once_when_it_is_written() {
    let (clock, stats, session_table) = worker();
    let (_reading, writer, _client) = connection(&session_table).await;
    deliver(&writer, 9, &clock);
    clock.advance(3);
    assert_eq!(measured(&stats), (0, 0), "it is in the outbox");
    writer.write();
    assert_eq!(measured(&stats), (1, 3_000));
    writer.connection.send(message(9));
    writer.write();
    assert_eq!(measured(&stats), (1, 3_000));
}

#[tokio::test]
async fn the_latency_of_a_slow_reader_includes_the_wait_for_it() {
    let (clock, stats, session_table) = worker();
    let (_reading, writer, mut client) = connection(&session_table).await;
    deliver(&writer, LARGE, &clock);
    writer.write();
    clock.advance(7_000);
    assert_eq!(measured(&stats), (0, 0), "the kernel has a part of it");
    let reader =
        tokio::spawn(async move { client.read_exact(&mut vec![0; LARGE + FRAME_HEADER_MAX]).await.map(|_| client) });
    poll_fn(|cx| {
        writer.poll_unblocked(cx);
        if writer.connection.with_outbox(|outbox| outbox.is_empty()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    reader.await.unwrap().unwrap();
    assert_eq!(measured(&stats), (1, 7_000_000));
}

#[tokio::test]
async fn a_connection_that_breaks_drops_its_measurement() {
    let (clock, stats, session_table) = worker();
    let (_reading, writer, client) = connection(&session_table).await;
    deliver(&writer, LARGE, &clock);
    writer.write();
    drop(client);
    poll_fn(|cx| {
        writer.poll_unblocked(cx);
        if writer.connection.is_broken() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    writer.write();
    assert_eq!(measured(&stats), (0, 0));
}
