//! `hubbub openapi`: the description of the HTTP API.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::CommandError;
use crate::api;
use crate::openapi::{document, markdown};

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Openapi {
    /// The output format
    #[arg(long, value_enum, default_value_t = DescriptionFormat::Json)]
    format: DescriptionFormat,
    /// Write the description to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DescriptionFormat {
    /// An OpenAPI 3.1 document
    Json,
    /// The page docs/http-api.md
    Markdown,
}

/// The text for standard output.
pub(super) fn run(command: &Openapi) -> Result<String, CommandError> {
    let routes = api::described();
    let text = match command.format {
        DescriptionFormat::Json => format!("{:#}\n", document::json(&routes)),
        DescriptionFormat::Markdown => markdown::of(&routes),
    };
    match &command.write {
        None => Ok(text),
        Some(file) => match fs::write(file, text) {
            Ok(()) => Ok(format!("{}: written\n", file.display())),
            Err(error) => Err(CommandError::of(format!("{}: {error}", file.display()))),
        },
    }
}
