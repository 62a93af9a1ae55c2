//! `hubbub check`: says what is wrong with the configuration, and with `--live` what of it does not work here and now.

use clap::Args;
use log::Level;

use super::settings::Settings;
use super::{Failure, live, print, say};
use crate::config::Config;
use crate::config::warnings::warnings;
use crate::{logging, state};

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    settings: Settings,
    /// Also try what it names: port, data folder, store, keys, applications, open files
    #[arg(long)]
    live: bool,
}

/// Does what is asked for; the answer is for standard output.
pub(super) fn run(before: Settings, Check { settings, live: is_live }: Check) -> Result<String, Failure> {
    let sources = settings.over(before).sources();
    say(sources.reading());
    let config = Config::load(&sources).map_err(|error| Failure(error.lines().to_vec()))?;
    for warning in warnings(&config) {
        logging::print(Level::Warn, &format!("warning: {warning}"));
    }
    if !is_live {
        state::tokens(&config.auth).map_err(Failure::of)?;
        return Ok("the configuration is sound\n".into());
    }
    let results = live::all(&config);
    print(&results.iter().map(|result| format!("{result}\n")).collect::<String>());
    match results.iter().filter(|result| result.has_failed()).count() {
        0 => Ok(String::new()),
        failed => Err(Failure::of(format!("{failed} of {} checks failed", results.len()))),
    }
}
