//! `hubbub check`: validates the configuration, prints its topic rules, compares it with the running hub, and tries it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use hubbub_actors::store::Store;
use log::Level;

use super::settings::Settings;
use super::{Failure, live, print, say};
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
    settings: Settings,
    /// Print the keys that differ from the running hub, or from another FILE, and whether SIGHUP applies them
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    diff: Option<Option<PathBuf>>,
    /// Also try the port, data folder, store, keys, applications and open files
    #[arg(long)]
    live: bool,
}

/// Runs the command. Returns the text for standard output.
pub(super) fn run(before: Settings, Check { settings, diff, live: is_live }: Check) -> Result<String, Failure> {
    let sources = settings.over(before).sources();
    say(sources.reading());
    let config = Config::load(&sources).map_err(|error| Failure(error.lines().to_vec()))?;
    for warning in warnings(&config) {
        logging::print(Level::Warn, &format!("warning: {warning}"));
    }
    if is_live {
        say(in_force(&config.topics));
        return try_live(&config);
    }
    state::tokens(&config.auth).map_err(Failure::of)?;
    say(in_force(&config.topics));
    match diff {
        None => Ok("the configuration is sound\n".into()),
        Some(other) => compare(config, &sources, other),
    }
}

fn try_live(config: &Config) -> Result<String, Failure> {
    let results = live::all(config);
    print(&results.iter().map(|result| format!("{result}\n")).collect::<String>());
    match results.iter().filter(|result| result.has_failed()).count() {
        0 => Ok(String::new()),
        failed => Err(Failure::of(format!("{failed} of {} checks failed", results.len()))),
    }
}

/// The differences between `config` and the file `other`, or the running hub.
fn compare(mut config: Config, sources: &Sources, other: Option<PathBuf>) -> Result<String, Failure> {
    let Some(other) = other else {
        let path = reload::running_file(&config);
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
fn running(path: &Path, is_in_use: bool) -> Result<Values, Failure> {
    let shown = path.display();
    if !is_in_use {
        return Err(Failure::of(format!(
            "{shown}: no hub runs with this server.data_dir; --diff FILE compares with another file"
        )));
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Values::from_toml(&text).map_err(|why| Failure::of(format!("{shown}: {why}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::of(format!(
            "{shown}: not found: the hub could not write it (see its log); --diff FILE compares with another file"
        ))),
        Err(error) => Err(Failure::of(format!("{shown}: cannot be read: {error}"))),
    }
}

fn differences(old: &Values, new: &Values, path: &Path) -> String {
    let changes = old.changes(new);
    let shown = path.display();
    if changes.is_empty() {
        return format!("the configuration is sound, and the same as in {shown}\n");
    }
    let mut text = format!("the configuration is sound; against {shown} it changes:\n");
    for change in changes {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{change}");
    }
    text
}
