//! A hub that runs as a process: the real binary, and what it prints.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::support::wait::{DEADLINE, wait_until};

/// The log line of a hub that serves has its address behind this.
const LISTENING: &str = "listening on http://";

/// A running process. Killed when dropped.
pub(super) struct HubProcess {
    child: Child,
    output: Arc<Mutex<String>>,
    /// Holds back the reader of standard error: it continues when this is dropped, and ends after a message.
    unread: Option<SyncSender<()>>,
    readers: Vec<JoinHandle<()>>,
}

impl HubProcess {
    /// Starts `program` and waits for its address. With `is_unread`, its log is not read once it listens.
    #[track_caller]
    pub(super) fn start(mut program: Command, is_unread: bool) -> (Self, SocketAddr) {
        let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let (send_address, address) = mpsc::sync_channel(1);
        let (unread, resume) = if is_unread {
            let (unread, resume) = mpsc::sync_channel(0);
            (Some(unread), Some(resume))
        } else {
            (None, None)
        };
        let readers = vec![
            read_output(child.stdout.take().unwrap(), Arc::clone(&output), send_address.clone(), None),
            read_output(child.stderr.take().unwrap(), Arc::clone(&output), send_address, resume),
        ];
        // No address comes when the hub ends, or prints none.
        let Ok(address) = address.recv_timeout(DEADLINE) else {
            let status = kill(&mut child);
            panic!("the hub did not start ({status}); its output:\n{}", output.lock().unwrap());
        };
        (Self { child, output, unread, readers }, address)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub(super) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits until both of its pipes are closed and read.
    pub(super) fn read_to_end(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
    }

    pub(super) fn read_log(&mut self) {
        self.unread = None;
    }

    pub(super) fn close_log(&mut self) {
        self.unread.take().unwrap().send(()).unwrap();
    }

    /// Sends it a signal by its name.
    pub(super) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success(), "{kill}");
    }

    /// Waits for its end; the exit status, or none when a signal ended it.
    #[track_caller]
    pub(super) fn exit_status(&mut self, deadline: std::time::Duration) -> Option<i32> {
        let mut ended = None;
        wait_until(deadline, "the hub exits", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.and_then(|status| status.code())
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills it, if it still runs.
    pub(super) fn kill(&mut self) -> String {
        kill(&mut self.child)
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        let status = self.kill();
        let output = self.output.lock().map(|output| output.clone()).unwrap_or_default();
        if thread::panicking() {
            eprintln!("---- the output of the hub ({status}):\n{output}----");
        } else {
            assert!(!output.contains("panicked at"), "the hub panicked; its output:\n{output}");
        }
    }
}

/// Kills a process, if it still runs; how it ended.
fn kill(child: &mut Child) -> String {
    let before = child.try_wait().unwrap();
    let _ = child.kill();
    let after = child.wait().unwrap();
    match before {
        Some(status) => format!("had ended: {status}"),
        None => format!("was running: {after}"),
    }
}

/// Collects the lines of a pipe, and sends the address once a line has it. With `resume`, it then waits until that
/// channel closes; a message ends the reading.
fn read_output(
    source: impl Read + Send + 'static,
    output: Arc<Mutex<String>>,
    send_address: SyncSender<SocketAddr>,
    mut resume: Option<Receiver<()>>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut lines = BufReader::new(source);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if let Some((_, address)) = text.split_once(LISTENING)
                && let Some(Ok(address)) = address.split([' ', '"', '\n']).next().map(str::parse)
            {
                // Nothing receives the address of a second line.
                let _ = send_address.try_send(address);
                if resume.take().is_some_and(|resume| resume.recv().is_ok()) {
                    return;
                }
            }
            output.lock().unwrap().push_str(&text);
            line.clear();
        }
    })
}
