//! A faulty TCP proxy to the hub: it splits and delays bytes, and ends each connection after a random time in a random
//! way. All of it repeats with the seed. It knows no protocol.

use socket2::SockRef;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::rng::Rng;

/// How the proxy ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both sides are closed in order.
    Close,
    /// Both sides are reset.
    Reset,
    /// One side is closed and no more bytes are forwarded; later both are reset.
    HalfClose,
    /// No more bytes are forwarded; later both sides are reset.
    Silence,
}

/// The faults of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// The time until a connection ends: the minimum and the spread, ms.
    pub(crate) lives_ms: (u64, u64),
    /// The endings, all equally likely.
    pub(crate) endings: &'static [Ending],
    /// The time of an [`Ending::Silence`] or [`Ending::HalfClose`]: the minimum and the spread, ms.
    pub(crate) silence_ms: (u64, u64),
}

/// A running proxy. It ends with its connections when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<ProxyState>,
    serving: JoinHandle<()>,
}

/// The state that all connections share.
struct ProxyState {
    to: SocketAddr,
    faults: Faults,
    is_faultless: AtomicBool,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Proxy {
    /// A proxy to this address.
    pub(crate) async fn to(to: SocketAddr, faults: Faults, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(ProxyState { to, faults, is_faultless: AtomicBool::new(false), counts: Mutex::default() });
        let serving = tokio::spawn(serve(listener, shared.clone(), seed));
        Self { address, shared, serving }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends no further connection, and neither splits nor delays bytes. Endings that have begun are completed.
    pub(crate) fn stop_faults(&self) {
        self.shared.is_faultless.store(true, Ordering::Relaxed);
    }

    /// How often it did what.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.shared.counts.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<ProxyState>, seed: u64) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((client, _)) = listener.accept().await else { continue };
        let (shared, rng) = (shared.clone(), Rng::new(seed, number));
        connections.spawn(async move { shared.forward(client, rng).await });
        while connections.try_join_next().is_some() {}
    }
}

impl ProxyState {
    fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    fn is_faultless(&self) -> bool {
        self.is_faultless.load(Ordering::Relaxed)
    }

    async fn forward(&self, mut client: TcpStream, mut rng: Rng) {
        self.count("connections");
        let Ok(mut hub) = TcpStream::connect(self.to).await else {
            self.count("connections without a hub");
            return reset(client);
        };
        for stream in [&client, &hub] {
            // The peer may have closed by now, which the next read shows.
            let _ = stream.set_nodelay(true);
        }
        let (min, spread) = self.faults.lives_ms;
        let life = rng.duration(min, spread);
        let ending = rng.pick(self.faults.endings).unwrap_or(Ending::Close);
        let (ups, downs) = (Rng::new(rng.below(usize::MAX) as u64, 1), Rng::new(rng.below(usize::MAX) as u64, 2));
        let ended_by_itself = {
            let ((from_client, to_client), (from_hub, to_hub)) = (client.split(), hub.split());
            let both =
                async { tokio::try_join!(self.pump(from_client, to_hub, ups), self.pump(from_hub, to_client, downs)) };
            tokio::pin!(both);
            tokio::select! {
                _ = &mut both => true,
                () = sleep(life) => {
                    let is_faultless = self.is_faultless();
                    if is_faultless {
                        let _ = both.await;
                    }
                    is_faultless
                }
            }
        };
        match ended_by_itself {
            true => self.count("connections that ended by themselves"),
            false => self.end(ending, client, hub, rng).await,
        }
    }

    /// Forwards bytes in one direction to their end, in pieces and with pauses.
    async fn pump(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut rng: Rng) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            let mut rest = &buffer[..read];
            while !rest.is_empty() {
                let mut piece = rest.len();
                if !self.is_faultless() {
                    if rng.below(4) == 0 {
                        piece = 1 + rng.below(rest.len());
                        self.count("pieces split off");
                    }
                    if rng.below(16) == 0 {
                        sleep(rng.duration(1, 40)).await;
                        self.count("pieces delayed");
                    }
                }
                to.write_all(&rest[..piece]).await?;
                rest = &rest[piece..];
            }
        }
    }

    async fn end(&self, ending: Ending, mut client: TcpStream, mut hub: TcpStream, mut rng: Rng) {
        let (min, spread) = self.faults.silence_ms;
        let silence = rng.duration(min, spread);
        match ending {
            Ending::Close => {
                self.count("connections closed");
                let end = async { tokio::join!(close(&mut client), close(&mut hub)) };
                // Bytes unread by then are lost in a reset.
                let _ = timeout(Duration::from_secs(1), end).await;
            }
            Ending::Reset => {
                self.count("connections reset");
                reset(client);
                reset(hub);
            }
            Ending::HalfClose => {
                self.count("connections half closed, and reset later");
                let half = if rng.below(2) == 0 { &mut client } else { &mut hub };
                let _ = half.shutdown().await;
                sleep(silence).await;
                reset(client);
                reset(hub);
            }
            Ending::Silence => {
                self.count("connections silenced, and reset later");
                sleep(silence).await;
                reset(client);
                reset(hub);
            }
        }
    }
}

/// Closes the sending side, and reads to the end.
async fn close(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    // The peer may have closed first.
    let _ = stream.shutdown().await;
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

fn reset(stream: TcpStream) {
    // The peer may have closed first.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}
