//! The death of a central actor loses its state. The hub then reports that it is not ready, closes every session with 1001,
//! and exits with a failure.
//!
//! A client cannot cause a panic, and the test checks the exit status of the process. So this program has no harness and
//! two roles. With `ROLE` set, it is the hub with the shipped command line, and a line on standard input makes a room
//! actor panic. Without `ROLE`, it is the test.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use hubbub::auth::jwt::{self, Hmac};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

const ROLE: &str = "HUB_THAT_PANICS";
const SECRET: &str = "a secret that only this test knows";
const DEADLINE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    if std::env::var_os(ROLE).is_some() {
        return run_the_hub();
    }
    println!("\nrunning 1 test");
    a_dead_room_actor_shuts_the_hub_down_with_a_failure();
    println!("test a_dead_room_actor_shuts_the_hub_down_with_a_failure ... ok\n");
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    ExitCode::SUCCESS
}

fn run_the_hub() -> ExitCode {
    // A process has one log: a second start adds no duplicate lines.
    hubbub::logging::start(hubbub::logging::LogFormat::Text, "info").unwrap();
    hubbub::cli::run_with(["hubbub".into(), "serve".into()].into_iter(), |serving| {
        std::thread::spawn(move || {
            let mut command = String::new();
            std::io::stdin().read_line(&mut command).unwrap();
            serving.hub.rooms().panic_room_actor();
        });
    })
}

fn a_dead_room_actor_shuts_the_hub_down_with_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Command::new(std::env::current_exe().unwrap())
        .current_dir(&dir)
        .env(ROLE, "1")
        .env("HUBBUB_SERVER__PORT", "0")
        .env("HUBBUB_AUTH__JWT_SECRET", SECRET)
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(hub.stderr.take().unwrap());
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the hub ended before it listened");
        if let Some((_, address)) = line.trim().split_once("listening on http://") {
            break address.split(' ').next().unwrap_or_default().to_owned();
        }
    };

    let claims = json!({"sub": "alice", "exp": 4_000_000_000_u32});
    let token = jwt::sign(&claims, SECRET.as_bytes(), Hmac::Hs256).unwrap();
    let (mut client, _) = tungstenite::connect(format!("ws://{address}/ws?token={token}")).unwrap();
    let welcome: Value = serde_json::from_str(client.read().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(welcome["data"]["status"], "connected");
    assert_eq!(readiness(&address).0, 200);

    hub.stdin.take().unwrap().write_all(b"now\n").unwrap();

    // The client does not read now, so the hub waits for its close for a short time.
    let since = Instant::now();
    let (status, body) = loop {
        let ready = readiness(&address);
        if ready.0 != 200 {
            break ready;
        }
        assert!(since.elapsed() < DEADLINE, "/health/ready still answers 200");
    };
    assert_eq!(status, 503);
    let reason = body["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("rooms"), "{body}");

    let code = loop {
        match client.read().unwrap() {
            Message::Close(frame) => break frame.map(|frame| u16::from(frame.code)),
            Message::Text(_) | Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, Some(1001));
    drop(client);

    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(hub.wait().unwrap().code(), Some(1), "{rest}");
    let panic = rest.lines().find(|line| line.contains(" ERROR hubbub::panic: panicked at ")).unwrap_or_default();
    assert!(panic.contains("actors/src/"), "{rest}");
    assert_eq!(rest.matches("; shutting down").count(), 1, "{rest}");
    let last = rest.lines().last().unwrap_or_default();
    assert!(last.starts_with("hubbub: the actor rooms"), "{rest}");
}

fn readiness(address: &str) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.get(format!("http://{address}/health/ready")).call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
}
