//! Readers lose no message and get no duplicate, in order, over connection failures and planned restarts. After a crash the
//! hub reports each possible loss to the readers. The tests compare all published and received messages, and print counts.
//!
//! `HUBBUB_CHAOS_SECONDS` is the least duration of the faults; a few seconds by default. The faults are random. The seed is
//! printed, and `HUBBUB_SEED` repeats it. Their timing depends on the machine, and no test asserts a time:
//!
//! ```text
//! HUBBUB_CHAOS_SECONDS=120 HUBBUB_SEED=7 cargo test --test hub chaos -- --nocapture --test-threads=1
//! ```

// The comparison of published and received messages.
mod audit;
// Connections that can fail at any time.
mod connection;
// Random publishers.
mod publisher;
// Readers on the raw WebSocket.
mod reader;
// The hub, its proxy, its readers and its publishers.
mod scene;
// Readers on Socket.IO's own client.
mod socketio_reader;
// The tests with Socket.IO readers. Their client recovers by itself.
mod socketio_recovery;

use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::time::sleep;

use self::audit::DeliveryAudit;
use self::publisher::PublishMethod;
use self::scene::{ReaderKind, Scene, ScenePlan};
use crate::support::proxy::{Ending, Faults};
use crate::support::rng::{Rng, from_env, seed};
use crate::support::run::hubbub;
use crate::support::{DEADLINE, Hub};

/// The number of topics.
const TOPICS: usize = 4;
/// The number of readers. Each reads two topics.
const READERS: usize = 100;
/// The least number of planned restarts.
const RESTARTS: u64 = 10;
/// The least number of crashes, of all kinds together.
const CRASHES: u64 = 8;

/// All network faults.
const ALL_FAULTS: Faults = Faults {
    lives_ms: (100, 2_500),
    endings: &[Ending::Close, Ending::Reset, Ending::HalfClose, Ending::Silence],
    silence_ms: (200, 4_500),
};

/// Network faults without silence: at its end the hub would wait for a silent client.
const CUTS: Faults = Faults { lives_ms: (300, 3_000), endings: &[Ending::Close, Ending::Reset], silence_ms: (0, 0) };

/// Publishers that bypass the proxy. They do not repeat an unanswered message.
const DIRECT: [(PublishMethod, bool); 3] =
    [(PublishMethod::Raw, false), (PublishMethod::Http, false), (PublishMethod::Raw, false)];

fn topic(number: usize) -> String {
    format!("topic-{number}")
}

/// The least duration of the faults.
fn duration(default_secs: u64) -> Duration {
    Duration::from_secs(from_env("HUBBUB_CHAOS_SECONDS").unwrap_or(default_secs))
}

/// Replaces the hub with another, on a thread that may block.
async fn replaced(hub: Hub, by: impl FnOnce(Hub) -> Hub + Send + 'static) -> Hub {
    tokio::task::spawn_blocking(move || by(hub)).await.unwrap()
}

/// Runs readers of this kind under all network faults.
async fn network_faults(readers: ReaderKind) -> DeliveryAudit {
    let publishers = [
        (PublishMethod::Raw, false),
        (PublishMethod::Http, false),
        (PublishMethod::Idempotent, true),
        (PublishMethod::Idempotent, true),
    ];
    let plan = ScenePlan { readers, seed: seed(), weather: ALL_FAULTS, is_proxied: |_| true, publishers: &publishers };
    let scene = Scene::open(plan).await;
    sleep(duration(5)).await;
    scene.wait_for_accepted(50).await;
    let audit = scene.close_without_a_loss().await;
    assert_eq!(audit.counted("published: refused"), 0);
    audit
}

/// A scene where every second reader connects over the proxy, and the chance of its restarts.
async fn cut_scene(readers: ReaderKind) -> (Scene, Rng) {
    let seed = seed();
    let plan = ScenePlan { readers, seed, weather: CUTS, is_proxied: |reader| reader % 2 == 0, publishers: &DIRECT };
    (Scene::open(plan).await, Rng::new(seed, 20_000))
}

/// Runs readers of this kind over planned restarts.
async fn restarts(readers: ReaderKind) -> DeliveryAudit {
    let (mut scene, mut rng) = cut_scene(readers).await;
    let (started, least, mut restarts) = (Instant::now(), duration(0), 0);
    while restarts < RESTARTS || started.elapsed() < least {
        sleep(rng.duration(0, 400)).await;
        scene.wait_for_accepted(10).await;
        scene.hub = replaced(scene.hub, Hub::restart_gracefully).await;
        restarts += 1;
    }
    println!("{restarts:>10}  planned restarts in {:?}", started.elapsed());
    scene.close_without_a_loss().await
}

/// Runs readers of this kind over crashes.
async fn crashes(readers: ReaderKind) -> DeliveryAudit {
    let (mut scene, mut rng) = cut_scene(readers).await;
    let (started, least, mut crashes) = (Instant::now(), duration(0), 0);
    while crashes < CRASHES || started.elapsed() < least {
        sleep(rng.duration(0, 400)).await;
        scene.wait_for_accepted(10).await;
        let delay = rng.duration(0, 200);
        scene.hub = replaced(scene.hub, move |hub| match crashes % 4 {
            0 => hub.restart(),
            1 => kill_during_shutdown(hub, delay),
            2 => kill_during_start(hub, delay),
            // A planned restart between crashes: its clients recover.
            _ => hub.restart_gracefully(),
        })
        .await;
        crashes += 1;
    }
    println!("{crashes:>10}  crashes of four kinds in {:?}", started.elapsed());
    let audit = scene.close().await;
    assert!(audit.losses() > 0, "no loss was reported");
    audit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_readers_receive_every_message_once_and_in_order_over_network_faults() {
    let audit = network_faults(ReaderKind::Raw).await;
    assert!(audit.counted("replayed messages") > 100, "too few messages were missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_planned_restarts_under_load_lose_nothing() {
    let audit = restarts(ReaderKind::Raw).await;
    assert!(audit.counted("replayed messages") > 100, "too few messages were missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_reports_each_loss_to_raw_readers() {
    crashes(ReaderKind::Raw).await;
}

/// Starts a shutdown, and kills the hub before it can end.
fn kill_during_shutdown(hub: Hub, delay: Duration) -> Hub {
    hub.signal("TERM");
    std::thread::sleep(delay);
    hub.restart()
}

/// Shuts the hub down, starts a second one on its data, and kills that one during its start.
fn kill_during_start(mut hub: Hub, delay: Duration) -> Hub {
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE * 2), Some(0), "{}", hub.output());
    let mut program = hubbub(hub.dir());
    let mut next =
        program.args(["--config", "config.toml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    next.kill().unwrap();
    next.wait().unwrap();
    hub.restart()
}
