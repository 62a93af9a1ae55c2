use std::future::poll_fn;
use std::sync::Arc;

use hubbub_actors::clock::{Clock, Expiry};
use hubbub_actors::ids::SessionId;
use hubbub_actors::outbox::Bound;
use hubbub_actors::seat::{Seating, Seats};
use hubbub_actors::stats::Stats;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::wire::raw::RAW;

/// A frame that is larger than what the kernel holds for a client that does not read.
const LARGE: usize = 16 << 20;

/// What the hub reads of a new connection, what writes to it, and its client.
pub(super) async fn connection(seats: &Seats) -> (OwnedReadHalf, Rc<Pipe>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (reading, writing) = listener.accept().await.unwrap().0.into_split();
    let seat = seats.seat(Seating {
        session: SessionId::random(),
        wire: &RAW,
        bound: Bound { bytes: 1_000, frames: 100 },
        heartbeat: None,
        carrier: false,
        expiry: Expiry::NEVER,
        elapsed: 0,
    });
    (reading, Pipe::new(writing, seat, Rc::new(Flusher::default())), client)
}

/// A worker's clock, its counters and its seats.
fn worker() -> (Clock, Arc<Stats>, Seats) {
    let (clock, stats) = (Clock::manual(5_000), Arc::new(Stats::default()));
    (clock.clone(), stats.clone(), Seats::new(0, 1_000_000, stats, clock))
}

/// How many deliveries were measured, and the µs that they took together.
fn measured(stats: &Stats) -> (u64, u64) {
    let snapshot = stats.delivery_latency.snapshot();
    (snapshot.count(), snapshot.sum)
}

fn frame(bytes: usize) -> Rc<Bytes> {
    Rc::new(vec![b'x'; bytes].into())
}

#[tokio::test]
async fn a_delivery_is_measured_once_when_it_is_written() {
    let (clock, stats, seats) = worker();
    let (_reading, pipe, _client) = connection(&seats).await;
    pipe.seat.carry(frame(9), Some(clock.elapsed_us()));
    clock.advance(3);
    assert_eq!(measured(&stats), (0, 0), "it is in the outbox");
    pipe.write();
    assert_eq!(measured(&stats), (1, 3_000));
    pipe.seat.interject(frame(9));
    pipe.write();
    assert_eq!(measured(&stats), (1, 3_000));
}

#[tokio::test]
async fn the_latency_of_a_slow_reader_lasts_until_it_reads() {
    let (clock, stats, seats) = worker();
    let (_reading, pipe, mut client) = connection(&seats).await;
    pipe.seat.carry(frame(LARGE), Some(clock.elapsed_us()));
    pipe.write();
    clock.advance(7_000);
    assert_eq!(measured(&stats), (0, 0), "the kernel has a part of it");
    let reader = tokio::spawn(async move { client.read_exact(&mut vec![0; LARGE]).await.map(|_| client) });
    poll_fn(|cx| {
        pipe.poll_unblocked(cx);
        if pipe.seat.with_outbox(|outbox| outbox.is_empty()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    reader.await.unwrap().unwrap();
    assert_eq!(measured(&stats), (1, 7_000_000));
}

#[tokio::test]
async fn a_connection_that_breaks_drops_its_measurement() {
    let (clock, stats, seats) = worker();
    let (_reading, pipe, client) = connection(&seats).await;
    pipe.seat.carry(frame(LARGE), Some(clock.elapsed_us()));
    pipe.write();
    drop(client);
    poll_fn(|cx| {
        pipe.poll_unblocked(cx);
        if pipe.broken.get() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    pipe.write();
    assert_eq!(measured(&stats), (0, 0));
}
