//! `hubbub check`: whether the configuration is sound, and what of it a running hub does not have yet.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use crate::config::diff::Values;
use crate::config::{Config, Sources, secrets};
use crate::{reload, state};

/// What to check.
#[derive(Debug, Default, Args)]
pub(super) struct Check {
    /// Say which keys differ from those of the running hub, or of another FILE, and whether SIGHUP applies them
    #[arg(long, value_name = "FILE")]
    diff: Option<Option<PathBuf>>,
}

/// Checks the configuration; what there is to say of it.
pub(super) fn run(sources: &Sources, asked: Check) -> Result<String, Failure> {
    let mut config = match Config::load(sources) {
        Ok(config) => config,
        Err(error) => return Err(Failure(error.lines().to_vec())),
    };
    state::tokens(&config.auth).map_err(Failure::of)?;
    match asked.diff {
        None => Ok("the configuration is sound\n".into()),
        Some(None) => {
            let path = reload::running_file(&config);
            let running = running(&path)?;
            if secrets::are_made(&config) {
                secrets::ensure(&mut config)?;
            }
            Ok(differences(&running, &Values::of(&config), &path))
        }
        Some(Some(other)) => {
            let others = Sources { file: Some(other.clone()), ..sources.clone() };
            let old = Config::load(&others)?;
            Ok(differences(&Values::of(&old), &Values::of(&config), &other))
        }
    }
}

fn running(path: &Path) -> Result<Values, Failure> {
    let shown = path.display();
    match std::fs::read_to_string(path) {
        Ok(text) => Values::from_toml(&text).map_err(|why| Failure::of(format!("{shown}: {why}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::of(format!(
            "{shown}: not found: no hub runs with this server.data_dir; --diff FILE compares with another file"
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
        // Writing into a string does not fail.
        let _ = writeln!(text, "{change}");
    }
    text
}
