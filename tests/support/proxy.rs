//! A way to the hub that spoils what goes over it: a TCP proxy that splits and delays, and ends each connection after a
//! while, politely or not. What becomes of a connection is by chance of a seed. It knows bytes and no protocol.

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
    /// Both sides are told that nothing more comes.
    Close,
    /// Both sides are reset.
    Reset,
    /// One side is told that nothing more comes; nothing goes through any more, and later both are reset.
    HalfClose,
    /// Nothing goes through any more and nobody is told; later both are reset.
    Silence,
}

/// What becomes of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// How long they live: the least, and how much more at most, in ms.
    pub(crate) lives_ms: (u64, u64),
    /// How they end; each as likely as the others.
    pub(crate) endings: &'static [Ending],
    /// How long a silence lasts, likewise in ms.
    pub(crate) silence_ms: (u64, u64),
}

/// The proxy. Gone with its connections when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    sky: Arc<Sky>,
    serving: JoinHandle<()>,
}

/// What all connections share.
struct Sky {
    to: SocketAddr,
    weather: Faults,
    calm: AtomicBool,
    done: Mutex<BTreeMap<&'static str, u64>>,
}

impl Proxy {
    /// A proxy to this address.
    pub(crate) async fn to(to: SocketAddr, weather: Faults, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sky = Arc::new(Sky { to, weather, calm: AtomicBool::new(false), done: Mutex::default() });
        let serving = tokio::spawn(serve(listener, sky.clone(), seed));
        Self { address, sky, serving }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on no connection is spoilt; those that are end as it was decided.
    pub(crate) fn stop_faults(&self) {
        self.sky.calm.store(true, Ordering::Relaxed);
    }

    /// What it did, and how often.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.sky.done.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, sky: Arc<Sky>, seed: u64) {
    let mut carried = JoinSet::new();
    for number in 0.. {
        let Ok((client, _)) = listener.accept().await else { continue };
        let (sky, rng) = (sky.clone(), Rng::new(seed, number));
        carried.spawn(async move { sky.carry(client, rng).await });
        while carried.try_join_next().is_some() {}
    }
}

impl Sky {
    fn count(&self, what: &'static str) {
        *self.done.lock().unwrap().entry(what).or_default() += 1;
    }

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    async fn carry(&self, mut client: TcpStream, mut rng: Rng) {
        self.count("connections");
        let Ok(mut hub) = TcpStream::connect(self.to).await else {
            self.count("connections that the hub was not there for");
            return reset(client);
        };
        for stream in [&client, &hub] {
            // It may be gone by now, which shows soon enough.
            let _ = stream.set_nodelay(true);
        }
        let (least, more) = self.weather.lives_ms;
        let life = rng.duration(least, more);
        let ending = rng.pick(self.weather.endings).unwrap_or(Ending::Close);
        let (ups, downs) = (Rng::new(rng.below(usize::MAX) as u64, 1), Rng::new(rng.below(usize::MAX) as u64, 2));
        let went = {
            let ((from_client, to_client), (from_hub, to_hub)) = (client.split(), hub.split());
            let both =
                async { tokio::try_join!(self.pump(from_client, to_hub, ups), self.pump(from_hub, to_client, downs)) };
            tokio::pin!(both);
            tokio::select! {
                _ = &mut both => true,
                () = sleep(life) => {
                    let calm = self.is_calm();
                    if calm {
                        let _ = both.await;
                    }
                    calm
                }
            }
        };
        match went {
            true => self.count("connections that ended by themselves"),
            false => self.end(ending, client, hub, rng).await,
        }
    }

    /// Carries bytes one way until there are no more, in pieces and with pauses.
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
                if !self.is_calm() {
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
        let (least, more) = self.weather.silence_ms;
        let silence = rng.duration(least, more);
        match ending {
            Ending::Close => {
                self.count("connections closed");
                let end = async { tokio::join!(close(&mut client), close(&mut hub)) };
                // What is not read by then is reset.
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
                self.count("connections that fell silent, and were reset later");
                sleep(silence).await;
                reset(client);
                reset(hub);
            }
        }
    }
}

/// Says that nothing more comes, and takes what still comes.
async fn close(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    // It may be gone, which is the end as well.
    let _ = stream.shutdown().await;
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

fn reset(stream: TcpStream) {
    // Who is gone cannot be reset.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}
