//! Whatever becomes of connections and of the hub, nobody misses a message unawares: readers that are cut off in every way,
//! and come back by the protocol, hear everything once and in order, over planned restarts too; after a crash they are
//! told where something may be missing. What each published and heard is put into a ledger, which is printed.
//!
//! `HUBBUB_CHAOS_SECONDS` says how long the trouble lasts, a few seconds by default. What happens is by chance, of a seed
//! that is printed, and that `HUBBUB_SEED` repeats; when it happens is the machine's, and no test waits for a time:
//!
//! ```text
//! HUBBUB_CHAOS_SECONDS=120 HUBBUB_SEED=7 cargo test --test hub chaos -- --nocapture --test-threads=1
//! ```

// What was published, what was heard, and whether it fits.
mod ledger;
// Connections that may fail at any time.
mod line;
// Those who publish.
mod publisher;
// Those who read on the raw WebSocket.
mod reader;
// The same of those who read by Socket.IO, which recovers by itself.
mod recovered;
// The hub, all of these, and the way between them.
mod scene;
// Those who read by Socket.IO's own client.
mod socketio;

use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::time::sleep;

use self::ledger::Audit;
use self::publisher::Way;
use self::scene::{Plan, Scene, Who};
use crate::support::proxy::{Ending, Faults};
use crate::support::rng::{Rng, from_env, seed};
use crate::support::run::hubbub;
use crate::support::{DEADLINE, Hub};

/// How many topics there are.
const TOPICS: usize = 4;
/// How many read; each two topics.
const READERS: usize = 100;
/// How many times the hub is told to end.
const RESTARTS: u64 = 10;
/// How many times the hub is killed, one way or another.
const CRASHES: u64 = 8;

/// Everything that a network does.
const STORM: Faults = Faults {
    lives_ms: (100, 2_500),
    endings: &[Ending::Close, Ending::Reset, Ending::HalfClose, Ending::Silence],
    silence_ms: (200, 4_500),
};

/// Cuts, and no silence: the hub would wait for who is silent as it ends.
const SHOWERS: Faults = Faults { lives_ms: (300, 3_000), endings: &[Ending::Close, Ending::Reset], silence_ms: (0, 0) };

/// Publishers that publish directly: what is not answered is not sent again.
const DIRECT: [(Way, bool); 3] = [(Way::Raw, false), (Way::Http, false), (Way::Raw, false)];

fn topic(number: usize) -> String {
    format!("topic-{number}")
}

/// How long the trouble lasts at least.
fn trouble(by_default: u64) -> Duration {
    Duration::from_secs(from_env("HUBBUB_CHAOS_SECONDS").unwrap_or(by_default))
}

/// Gives the hub up for another one.
async fn replaced(hub: Hub, by: impl FnOnce(Hub) -> Hub + Send + 'static) -> Hub {
    tokio::task::spawn_blocking(move || by(hub)).await.unwrap()
}

/// Readers of a kind under everything that a network does.
async fn storm(who: Who) -> Audit {
    let ways = [(Way::Raw, false), (Way::Http, false), (Way::Named, true), (Way::Named, true)];
    let scene = Scene::open(Plan { who, seed: seed(), weather: STORM, spoilt: |_| true, ways: &ways }).await;
    sleep(trouble(5)).await;
    scene.go_on(50).await;
    let audit = scene.close_without_a_loss().await;
    assert_eq!(audit.counted("published: refused"), 0);
    audit
}

/// Readers of a kind while the hub ends, and another begins, again and again.
async fn restarts(who: Who) -> Audit {
    let seed = seed();
    let plan = Plan { who, seed, weather: SHOWERS, spoilt: |reader| reader % 2 == 0, ways: &DIRECT };
    let (mut scene, mut rng) = (Scene::open(plan).await, Rng::new(seed, 20_000));
    let (began, lasts, mut restarts) = (Instant::now(), trouble(0), 0);
    while restarts < RESTARTS || began.elapsed() < lasts {
        sleep(rng.duration(0, 400)).await;
        scene.go_on(10).await;
        scene.hub = replaced(scene.hub, Hub::restart_gracefully).await;
        restarts += 1;
    }
    println!("{restarts:>10}  planned restarts in {:?}", began.elapsed());
    scene.close_without_a_loss().await
}

/// Readers of a kind while the hub is killed again and again.
async fn crashes(who: Who) -> Audit {
    let seed = seed();
    let plan = Plan { who, seed, weather: SHOWERS, spoilt: |reader| reader % 2 == 0, ways: &DIRECT };
    let (mut scene, mut rng) = (Scene::open(plan).await, Rng::new(seed, 20_000));
    let (began, lasts, mut crashes) = (Instant::now(), trouble(0), 0);
    while crashes < CRASHES || began.elapsed() < lasts {
        sleep(rng.duration(0, 400)).await;
        scene.go_on(10).await;
        let late = rng.duration(0, 200);
        scene.hub = replaced(scene.hub, move |hub| match crashes % 4 {
            0 => hub.restart(),
            1 => killed_as_it_ends(hub, late),
            2 => killed_as_it_starts(hub, late),
            // Not all is lost each time.
            _ => hub.restart_gracefully(),
        })
        .await;
        crashes += 1;
    }
    println!("{crashes:>10}  crashes of four kinds in {:?}", began.elapsed());
    let audit = scene.close().await;
    assert!(audit.told() > 0, "nobody was told of a loss");
    audit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_raw_readers_that_are_cut_off_at_random_hear_everything_once_and_in_order() {
    let audit = storm(Who::Raw).await;
    assert!(audit.counted("heard after it was missed") > 100, "that was no trouble");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_planned_restarts_under_load_lose_nothing() {
    let audit = restarts(Who::Raw).await;
    assert!(audit.counted("heard after it was missed") > 100, "that was no trouble");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_misses_something_for_a_crash_is_told_so() {
    crashes(Who::Raw).await;
}

/// Told to end, and killed before it can have ended.
fn killed_as_it_ends(hub: Hub, late: Duration) -> Hub {
    hub.signal("TERM");
    std::thread::sleep(late);
    hub.restart()
}

/// Told to end; another that takes over what it left is killed as it begins.
fn killed_as_it_starts(mut hub: Hub, late: Duration) -> Hub {
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE * 2), Some(0), "{}", hub.output());
    let mut program = hubbub(hub.dir());
    let mut next =
        program.args(["--config", "config.toml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(late);
    next.kill().unwrap();
    next.wait().unwrap();
    hub.restart()
}
