//! SIGHUP: reads the configuration again from its sources and applies everything that needs no restart.
//!
//! A reload applies everything or nothing: an error in the file, a key file or a new chat changes nothing and is logged.
//! [`diff`] knows the keys that need a restart. The running configuration is written to [`RUNNING`] in the data directory,
//! with digests in place of secrets, for `hubbub check --diff` and `hubbub health`.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::web::Data;

use crate::config::diff::{self, Change, Effect, Values};
use crate::config::topic_rules::in_force;
use crate::config::warnings::warnings;
use crate::config::{Config, Sources, check, secrets};
use crate::policies::Policies;
use crate::serve::settings;
use crate::state::{self, SharedState};
use crate::{logging, telemetry};

/// The file in the data directory with the configuration of the running hub.
pub const RUNNING: &str = "running.toml";

/// Most names of keys in a line of the log.
const NAMED_MAX: usize = 50;

/// Why a reload failed: one line.
struct ReloadError(String);

impl ReloadError {
    fn of(key: &str, why: &dyn Display) -> Self {
        Self(format!("{key}: {why}"))
    }
}

/// Reloads the configuration of a hub. Reloads run one after the other.
pub struct Reloader {
    sources: Sources,
    state: Data<SharedState>,
}

/// Policies that were read and checked, and are not applied yet.
struct PreparedReload {
    policies: Policies,
    report: Report,
}

/// What the log says about a reload.
struct Report {
    changes: Vec<Change>,
    /// The keys of the file that a variable or a flag overrides: a change of the file there has no effect.
    overridden: String,
    /// Warnings that the running configuration does not cause.
    warnings: Vec<String>,
}

impl Reloader {
    /// A reloader that reads `sources`, from which the configuration of `state` came.
    pub fn new(sources: Sources, state: Data<SharedState>) -> Self {
        Self { sources, state }
    }

    /// Writes the running configuration at the start of the hub.
    pub async fn note_start(&self) {
        self.note_running().await;
    }

    /// Reloads, and logs the result. Returns whether the configuration is in force.
    pub async fn reload(&mut self) -> bool {
        if self.state.hub.accepting().is_err() {
            log::warn!("SIGHUP is ignored: the hub is shutting down");
            return false;
        }
        let state = self.state.clone();
        let reloads = &state.reloads;
        let result = self.try_reload().await;
        let is_reloaded = result.is_ok();
        reloads.has_failed.store(!is_reloaded, Ordering::Relaxed);
        match result {
            Ok(Report { changes, overridden, warnings }) => {
                warnings.iter().for_each(|warning| log::warn!("{warning}"));
                reloads.ok.fetch_add(1, Ordering::Relaxed);
                reloads.last_at.store(state.now_ms(), Ordering::Relaxed);
                let applied = key_names(&changes, |effect| effect != Effect::Restart);
                match overridden.as_str() {
                    "" => log::info!(changed = applied.as_str(); "reloaded"),
                    overridden => log::info!(changed = applied.as_str(), overridden; "reloaded"),
                }
                let waiting = key_names(&changes, |effect| effect == Effect::Restart);
                if !waiting.is_empty() {
                    log::warn!(keys = waiting.as_str(); "a restart is needed for changes that a reload does not apply");
                }
            }
            Err(ReloadError(why)) => {
                reloads.failed.fetch_add(1, Ordering::Relaxed);
                log::error!(reason = why.as_str(); "the configuration was not reloaded");
            }
        }
        is_reloaded
    }

    async fn try_reload(&mut self) -> Result<Report, ReloadError> {
        let (sources, running) = (self.sources.clone().pinned(), self.state.policies());
        let (before, revoked, now) = (running.clone(), self.state.hub.revoked().clone(), self.state.now_ms());
        let next = tokio::task::spawn_blocking(move || {
            let check = move |identity: &_| revoked.check(identity);
            Ok((read(&sources, &before, Arc::new(check), now)?, sources))
        });
        let (PreparedReload { policies, report }, sources) =
            next.await.map_err(|error| ReloadError(error.to_string()))??;
        self.prepare_keys(&policies, &running).await?;
        self.make_chats(&policies.config, &running.config).await?;
        self.apply(policies, &running).await;
        self.sources = sources;
        Ok(report)
    }

    /// Loads a key set that was not configured before. Without it, no token could be checked.
    async fn prepare_keys(&self, next: &Policies, running: &Policies) -> Result<(), ReloadError> {
        let Some(source) = next.tokens.key_source() else { return Ok(()) };
        if running.tokens.key_source().is_some_and(|known| Arc::ptr_eq(known, source)) {
            return Ok(());
        }
        let hub = self.state.hub.clone();
        next.tokens.start(move || hub.report_dead("token-keys"));
        source.loaded().await.map_err(ReloadError)
    }

    /// Creates the chats that are new in the file.
    async fn make_chats(&self, next: &Config, running: &Config) -> Result<(), ReloadError> {
        let known: HashSet<_> = running.chats.iter().map(|chat| chat.id.as_str()).collect();
        for (index, chat) in next.chats.iter().enumerate().filter(|(_, chat)| !known.contains(chat.id.as_str())) {
            let wrong = |fault: hubbub_actors::model::fault::Fault| ReloadError::of(&format!("chats[{index}]"), &fault);
            let chat = chat.made(self.state.now_ms()).map_err(wrong)?;
            self.state.hub.make_chat(chat).await.map_err(wrong)?;
        }
        Ok(())
    }

    /// Applies the new policies. Nothing can fail from here on.
    async fn apply(&self, next: Policies, running: &Policies) {
        let (hub, config) = (&self.state.hub, next.config.clone());
        let mut settings = settings::of(&config);
        settings.workers = hub.settings().workers;
        let rules_changed = settings.rules != hub.settings().rules;
        hub.reconfigure(settings);
        if config.backend != running.config.backend {
            hub.set_application(
                next.backend.clone().map(|backend| -> Arc<dyn hubbub_actors::application::Application> { backend }),
            );
        }
        let source = next.tokens.key_source().cloned();
        let known = running.tokens.key_source();
        self.state.replace_policies(next);
        logging::set_level(&config.log.level);
        if rules_changed {
            log::info!("{}", in_force(&config.topics));
            hub.review_sessions().await;
        }
        if let Some(source) = source.filter(|source| known.is_some_and(|known| Arc::ptr_eq(known, source))) {
            // The source logs the result. After a failure it keeps the keys that it had.
            let _ = source.refresh().await;
        }
        self.note_running().await;
    }

    async fn note_running(&self) {
        let config = self.state.policies().config.clone();
        let written = tokio::task::spawn_blocking(move || write_running(&config)).await;
        if let Ok(Err(error)) = written {
            log::warn!(
                "{RUNNING} cannot be written, so `hubbub check --diff` and `hubbub health` do not find it: {error}"
            );
        }
    }

    /// The state of the hub.
    pub fn state(&self) -> Data<SharedState> {
        self.state.clone()
    }
}

/// Writes the main metrics into the log.
pub fn log_metrics(state: &SharedState) {
    let hub = &state.hub;
    let stats = hub.stats();
    let waiting: Vec<_> = hub.mailbox_depths().into_iter().filter(|(_, depth)| *depth > 0).collect();
    let waiting = waiting.iter().map(|(name, depth)| format!("{name}={depth}")).collect::<Vec<_>>().join(" ");
    log::info!(
        uptimeSecs = state.uptime_secs(),
        ready = state.not_ready().is_none(),
        connections = hub.registry().connections(),
        httpConnections = state.connections.now(),
        sessions = stats.sessions.get(),
        users = stats.users.get(),
        rooms = stats.rooms.get(),
        received = stats.received.get(),
        published = stats.published.get(),
        sent = stats.sent.get(),
        errors = stats.errors.get(),
        suspended = stats.suspended.get(),
        historyBytes = stats.history_bytes.get(),
        memoryBytes = telemetry::resident(),
        mailboxes = waiting.as_str();
        "metrics"
    );
}

/// Checks that the configuration file can be read again. Reading a pipe would block. An empty file is most likely still being
/// written, and the defaults would open the hub to everyone.
fn check_file(sources: &Sources) -> Result<(), ReloadError> {
    let Some(file) = &sources.file else { return Ok(()) };
    match std::fs::metadata(file) {
        Ok(found) if !found.is_file() && !found.is_dir() => {
            Err(ReloadError::of(&file.display().to_string(), &"is not a regular file and cannot be read again"))
        }
        Ok(found) if found.len() == 0 => {
            Err(ReloadError::of(&file.display().to_string(), &"is empty; write a comment into it to use all defaults"))
        }
        // Other errors are reported by the read.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Reads the configuration again and creates its policies. Blocks on files, so it must not run on a worker.
fn read(
    sources: &Sources,
    running: &Policies,
    check: crate::auth::tokens::RevocationCheck,
    now: i64,
) -> Result<PreparedReload, ReloadError> {
    check_file(sources)?;
    let loaded = Config::load_noting_overrides(sources);
    let (mut wanted, overridden) = loaded.map_err(|error| ReloadError(error.lines().join("; ")))?;
    let mut config = wanted.clone();
    diff::keep_until_restart(&running.config, &mut config);
    secrets::check_still_present(&running.config, &config)
        .and_then(|()| secrets::ensure(&mut config))
        .map_err(|error| ReloadError(error.to_string()))?;
    wanted.auth.jwt_secret.clone_from(&config.auth.jwt_secret);
    wanted.api.keys.clone_from(&config.api.keys);
    // The file is valid by itself. It must also be valid together with the keys that stay until a restart.
    if let Some(problem) = check::problems(&config).first() {
        let until = "with the keys that need a restart";
        return Err(ReloadError::of(&problem.key, &format!("{} ({until})", problem.text)));
    }
    let changes = Values::of(&running.config).changes(&Values::of(&wanted));
    let tokens =
        state::tokens_after(&config.auth, Some((&running.config.auth, &running.tokens))).map_err(ReloadError)?;
    let backend = match config.backend == running.config.backend {
        true => running.backend.clone(),
        false => state::backend(&config.backend).map_err(ReloadError)?,
    };
    // Without the warnings of the time: a hub runs for months, so keys expire after its start.
    let known = warnings(&running.config, i64::MIN);
    let warnings = warnings(&config, now).into_iter().filter(|warning| !known.contains(warning)).collect();
    let report = Report { changes, overridden: overridden.join(", "), warnings };
    let tokens = Arc::new(tokens.with_check(check));
    let policies = Policies::new(Arc::new(config), tokens, backend).map_err(|error| ReloadError(error.to_string()))?;
    Ok(PreparedReload { policies, report })
}

/// The names of the changed keys with a `wanted` effect, each once; empty if there are none.
fn key_names(changes: &[Change], wanted: impl Fn(Effect) -> bool) -> String {
    let names: BTreeSet<_> = changes.iter().filter(|it| wanted(it.effect)).map(Change::name).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let mut line = names.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if more > 0 {
        line += &format!(" and {more} more");
    }
    line
}

/// The path of [`RUNNING`].
pub fn running_file(data_dir: &Path) -> PathBuf {
    data_dir.join(RUNNING)
}

/// Writes the running configuration, whole or not at all, readable by its owner alone.
fn write_running(config: &Config) -> io::Result<()> {
    let path = running_file(&config.server.data_dir);
    let draft = path.with_extension("toml.new");
    let text = format!(
        "# The configuration of the running hub, for `hubbub check --diff` and `hubbub health`; a start does not read it.\n{}",
        Values::of(config).to_toml()
    );
    let written = write_draft(&draft, &text).and_then(|()| std::fs::rename(&draft, &path));
    if written.is_err() {
        // An existing file is of an earlier configuration, or of a hub that crashed.
        for outdated in [draft, path] {
            let _ = std::fs::remove_file(outdated);
        }
    }
    written
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    // A draft that a crash left behind may be readable by others.
    match std::fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?.write_all(text.as_bytes())
}

/// Removes the running configuration when the hub ends.
pub fn remove_running(config: &Config) {
    let _ = std::fs::remove_file(running_file(&config.server.data_dir));
}
