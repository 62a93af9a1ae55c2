//! `hubbub check`: validates the configuration, prints its topic rules, compares it with the running hub, and tries it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::store::Store;
use log::Level;

use super::settings::ServerFlags;
use super::{CommandError, live, print, print_note};
use crate::config::diff::Values;
use crate::config::topic_rules::in_force;
use crate::config::warnings::warnings;
use crate::config::{Config, Sources, secrets};
use crate::serve::reload;
use crate::{logging, state};

/// The options of the check.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    settings: ServerFlags,
    /// Print the keys that differ from the running hub, or from another FILE, and whether SIGHUP applies them
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    diff: Option<Option<PathBuf>>,
    /// Also try the port, data directory, store, keys, applications and open files
    #[arg(long)]
    live: bool,
}

/// Runs the command. Returns the text for standard output.
pub(super) fn run(before: ServerFlags, Check { settings, diff, live: is_live }: Check) -> Result<String, CommandError> {
    let sources = settings.over(before).sources();
    print_note(sources.reading());
    let loaded = Config::load_noting_overrides(&sources);
    let (config, overridden) = loaded.map_err(|error| CommandError(error.lines().to_vec()))?;
    overridden.into_iter().for_each(print_note);
    for warning in warnings(&config, Clock::System.now_ms()) {
        logging::print(Level::Warn, &format!("warning: {warning}"));
    }
    if is_live {
        print_note(in_force(&config.topics));
        return try_live(&config);
    }
    state::tokens(&config.auth).map_err(CommandError::of)?;
    print_note(in_force(&config.topics));
    match diff {
        None => Ok("the configuration is valid\n".into()),
        Some(other) => compare(config, &sources, other),
    }
}

fn try_live(config: &Config) -> Result<String, CommandError> {
    let results = live::all(config);
    print(&results.iter().map(|result| format!("{result}\n")).collect::<String>());
    match results.iter().filter(|result| result.has_failed()).count() {
        0 => Ok(String::new()),
        failed => Err(CommandError::of(format!("{failed} of {} checks failed", results.len()))),
    }
}

/// The differences between `config` and the file `other`, or the running hub.
fn compare(mut config: Config, sources: &Sources, other: Option<PathBuf>) -> Result<String, CommandError> {
    let Some(other) = other else {
        let path = reload::running_file(&config.server.data_dir);
        let running = running(&path, Store::is_in_use(&config.server.data_dir))?;
        if secrets::are_made(&config) {
            secrets::ensure(&mut config)?;
        }
        return Ok(differences(&running, &Values::of(&config), &path));
    };
    let others = Sources { file: Some(other.clone()), ..sources.clone() };
    let old = Config::load(&others)?;
    Ok(differences(&Values::of(&old), &Values::of(&config), &other))
}

/// The values of the hub that runs in the data directory. A hub that crashed left its file there, so `is_in_use`
/// decides.
fn running(path: &Path, is_in_use: bool) -> Result<Values, CommandError> {
    let shown = path.display();
    if !is_in_use {
        return Err(CommandError::of(format!(
            "{shown}: no hub runs with this server.data_dir; --diff FILE compares with another file"
        )));
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Values::from_toml(&text).map_err(|why| CommandError::of(format!("{shown}: {why}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(CommandError::of(format!(
            "{shown}: not found: the hub could not write it (see its log); --diff FILE compares with another file"
        ))),
        Err(error) => Err(CommandError::of(format!("{shown}: cannot be read: {error}"))),
    }
}

fn differences(old: &Values, new: &Values, path: &Path) -> String {
    let changes = old.changes(new);
    let shown = path.display();
    if changes.is_empty() {
        return format!("the configuration is valid, and the same as in {shown}\n");
    }
    let mut text = format!("the configuration is valid; changes against {shown}:\n");
    for change in changes {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{change}");
    }
    text
}
