//! A terminal beside a hub: it runs the shell blocks of a page as a reader pastes them, in the hub's directory.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Hub;
use crate::support::blocks::block;
use crate::support::run::{CommandOutput, finish};

/// The address of the hub in the pages.
const DOCUMENTED: &str = "127.0.0.1:8081";

/// A hub without configured secrets: it makes them in `data/`, as the first start of a reader does.
#[track_caller]
pub(super) fn first_start(config: &str) -> Hub {
    let hub = Hub::without_config_flag(tempfile::tempdir().unwrap(), config);
    hub.wait_ready();
    hub
}

/// A terminal in the directory of `hub`, for the blocks of one page.
pub(super) struct HubTerminal<'a> {
    hub: &'a Hub,
    page: &'static str,
    /// The names that the page sets first.
    names: String,
}

impl<'a> HubTerminal<'a> {
    /// A terminal in which the block `names` of `page` was pasted.
    #[track_caller]
    pub(super) fn new(hub: &'a Hub, page: &'static str) -> Self {
        let names = block(page, "names").text.replace(DOCUMENTED, &hub.address().to_string());
        Self { hub, page, names: format!("HUB_PID={}\n{names}", hub.pid()) }
    }

    /// Pastes the block `name`, where `hubbub.log` has the log until now; its output.
    #[track_caller]
    pub(super) fn paste(&self, name: &str) -> String {
        self.paste_changed(name, "", "")
    }

    /// As [`HubTerminal::paste`], with a part of the block replaced.
    #[track_caller]
    pub(super) fn paste_changed(&self, name: &str, from: &str, to: &str) -> String {
        let text = block(self.page, name).text;
        assert!(text.contains(from), "the block `{name}` has no {from:?}");
        std::fs::write(self.hub.dir().join("hubbub.log"), self.hub.output()).unwrap();
        let ended = shell(self.hub.dir(), &format!("{}{}", self.names, text.replace(from, to)));
        assert_eq!(ended.status, Some(0), "the block `{name}` failed: {ended:?}");
        ended.stdout
    }

    /// As [`HubTerminal::paste`], for the user `id`.
    #[track_caller]
    pub(super) fn paste_for(&self, name: &str, id: &str) -> String {
        let names = format!("{}ID='{id}'\n", self.names);
        HubTerminal { names, ..*self }.paste(name)
    }

    /// The value of one of the page's names.
    #[track_caller]
    pub(super) fn value(&self, name: &str) -> String {
        let ended = shell(self.hub.dir(), &format!("{}printf %s \"${name}\"", self.names));
        assert!(ended.status == Some(0) && !ended.stdout.is_empty(), "{name}: {ended:?}");
        ended.stdout
    }
}

/// Pastes blocks of `page` into a terminal in `dir`, where no hub runs; the output.
#[track_caller]
pub(super) fn paste_in(dir: &Path, page: &str, names: &[&str]) -> String {
    // The documented port may be in use on this machine.
    let script: String = names.iter().map(|name| block(page, name).text).collect();
    let script = format!("export HUBBUB_SERVER__PORT=0\n{script}");
    let ended = shell(dir, &script);
    assert_eq!(ended.status, Some(0), "the blocks {names:?} failed: {ended:?}");
    ended.stdout
}

/// Runs `script` in `dir`, with the hub's binary in the `PATH`.
#[track_caller]
pub(super) fn shell(dir: &Path, script: &str) -> CommandOutput {
    let binary = Path::new(env!("CARGO_BIN_EXE_hubbub")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(dir).env("PATH", path).stdin(Stdio::null());
    finish(&mut command)
}
