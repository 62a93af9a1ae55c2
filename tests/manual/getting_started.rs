//! The first pages of a new user: each block of `docs/getting-started.md` and of `README.md` runs, in order, and prints
//! what the page shows.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::terminal::{Shims, Terminal};
use crate::support::DEADLINE;
use crate::support::blocks::{Mark, block, blocks, page};
use crate::support::http::Http;
use crate::support::port::ReservedPort;
use crate::support::wait::wait_until;

/// The address on the pages.
const ADDRESS: &str = "127.0.0.1:8081";

/// A reader of one page, in a directory as after the clone.
struct PageReader {
    page: &'static str,
    shims: Shims,
    port: ReservedPort,
    dir: TempDir,
    used: Vec<&'static str>,
}

impl PageReader {
    fn of(page: &'static str) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), ReservedPort::reserve());
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
        fs::copy(config, dir.path().join("config.toml")).unwrap();
        Self { page, shims: Shims::write(dir.path(), port.address().port()), port, dir, used: Vec::new() }
    }

    /// The text of a block, with the address of this hub.
    #[track_caller]
    fn text(&mut self, name: &'static str) -> String {
        self.used.push(name);
        block(self.page, name).text.replace(ADDRESS, &self.port.address().to_string())
    }

    /// Runs a block in a new terminal.
    #[track_caller]
    fn run(&mut self, name: &'static str) -> Terminal {
        let script = self.text(name);
        Terminal::run(&self.shims, self.dir.path(), &script)
    }

    /// Types a block.
    #[track_caller]
    fn types(&mut self, terminal: &mut Terminal, name: &'static str) {
        let lines = self.text(name);
        terminal.type_in(&lines);
    }

    /// Compares what the terminal prints next with a block.
    #[track_caller]
    fn reads(&mut self, terminal: &mut Terminal, name: &'static str) {
        let expected = self.text(name);
        terminal.expect(&expected);
    }

    fn wait_until_ready(&self) {
        let http = format!("http://{}", self.port.address());
        wait_until(DEADLINE, "the hub is ready", || {
            std::net::TcpStream::connect(self.port.address()).is_ok()
                && Http::new(http.clone()).get("/health/ready").status == 200
        });
    }

    /// Asserts that every block of the page was used, in order, or has a reason.
    #[track_caller]
    fn finish(self) {
        let page = page(self.page);
        let marks = blocks(&page).into_iter().map(|block| block.mark.ok_or(block.line));
        let marks: Result<Vec<_>, _> = marks.collect();
        let marks = marks.unwrap_or_else(|line| panic!("line {line}: the block has no mark"));
        let run = marks.into_iter().filter_map(|mark| match mark {
            Mark::Run(name) => Some(name),
            Mark::NotRun(_) => None,
        });
        assert_eq!(run.collect::<Vec<_>>(), self.used);
    }
}

#[test]
fn a_reader_of_getting_started_sees_what_the_page_shows() {
    let mut reader = PageReader::of("getting-started");
    let mut hub = reader.run("hub");
    reader.reads(&mut hub, "hub prints");
    let mut alice = reader.run("alice");
    reader.reads(&mut alice, "alice is connected");
    reader.types(&mut alice, "alice subscribes");
    reader.reads(&mut alice, "alice is subscribed");
    let mut bob = reader.run("bob");
    bob.expect("< {\"type\":\"Status\",\"data\":{\"status\":\"connected\",…");
    reader.types(&mut bob, "bob publishes");
    reader.reads(&mut bob, "bob is acknowledged");
    reader.reads(&mut alice, "alice receives");

    let mut carol = reader.run("carol");
    reader.reads(&mut carol, "carol prints");
    reader.reads(&mut alice, "alice receives from carol");
    let mut push = reader.run("push");
    push.wait_for_end();
    reader.reads(&mut push, "push is answered");
    reader.reads(&mut alice, "alice receives the push");
    reader.reads(&mut carol, "carol receives the push");
    let mut dave = reader.run("dave");
    reader.reads(&mut dave, "dave prints");
    dave.wait_for_end();
    let mut health = reader.run("health");
    health.wait_for_end();
    reader.reads(&mut health, "health is answered");

    hub.interrupt();
    reader.reads(&mut alice, "alice is drained");
    alice.wait_for_end();
    hub.wait_for_end();
    let hub = reader.run("hub again");
    reader.reads(&mut carol, "carol is recovered");
    let mut erin = reader.run("erin");
    reader.reads(&mut erin, "erin prints");
    hub.interrupt();
    drop(hub);
    reader.run("delete").wait_for_end();
    assert!(!reader.dir.path().join("data").exists());
    reader.finish();
}

#[test]
fn a_reader_of_the_readme_sees_what_it_shows() {
    let mut reader = PageReader::of("../README");
    let _hub = reader.run("hub");
    reader.wait_until_ready();
    let mut alice = reader.run("alice");
    alice.expect("< {\"type\":\"Status\",\"data\":{\"status\":\"connected\",…");
    reader.types(&mut alice, "alice subscribes");
    alice.expect("< {\"type\":\"Status\",\"data\":{\"status\":\"subscribed\",…");
    let mut push = reader.run("push");
    push.wait_for_end();
    reader.reads(&mut push, "push is answered");
    reader.reads(&mut alice, "alice receives");
    reader.finish();
}
