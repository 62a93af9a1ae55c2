//! The commands that print the generated tables of the documentation, or write them into a page.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hubbub_actors::events::catalogue;

use super::CommandError;
use crate::config::reference as settings;
use crate::error::table as errors;
use crate::telemetry;

/// Where the tables go.
#[derive(Debug, Args)]
pub(super) struct TablesArgs {
    /// Replace the tables in FILE, a page of the documentation, instead of printing them
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// The options of `hubbub events`.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// The output format
    #[arg(long, value_enum, default_value_t = EventsFormat::Markdown)]
    format: EventsFormat,
    /// Replace the tables in FILE, a page of the documentation, instead of printing them
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    write: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EventsFormat {
    Markdown,
    JsonSchema,
}

/// `hubbub events`.
pub(super) fn events(Events { format, write }: Events) -> Result<String, CommandError> {
    match format {
        EventsFormat::Markdown => output(catalogue::markdown(), write.as_deref()),
        EventsFormat::JsonSchema => Ok(format!("{:#}\n", catalogue::json_schema())),
    }
}

/// `hubbub errors`.
pub(super) fn errors(TablesArgs { write }: TablesArgs) -> Result<String, CommandError> {
    output(errors::markdown(), write.as_deref())
}

/// `hubbub metrics`.
pub(super) fn metrics(TablesArgs { write }: TablesArgs) -> Result<String, CommandError> {
    output(telemetry::markdown(), write.as_deref())
}

/// `hubbub settings`.
pub(super) fn settings(TablesArgs { write }: TablesArgs) -> Result<String, CommandError> {
    output(settings::markdown(), write.as_deref())
}

/// The tables, or a line for each table that was replaced in `page`.
fn output(tables: String, page: Option<&Path>) -> Result<String, CommandError> {
    let Some(page) = page else { return Ok(tables) };
    let failed = |why: &dyn std::fmt::Display| CommandError::of(format!("{}: {why}", page.display()));
    let text = fs::read_to_string(page).map_err(|error| failed(&error))?;
    let (text, replaced) = replace(&text, &tables).map_err(|why| failed(&why))?;
    if replaced.is_empty() {
        return Ok(format!("{}: the tables are up to date\n", page.display()));
    }
    fs::write(page, text).map_err(|error| failed(&error))?;
    Ok(replaced.iter().map(|head| format!("{}: replaced the table {head}\n", page.display())).collect())
}

/// Replaces the tables of `page` that have the same first row. Returns the new page, and the first rows of the tables that differ.
fn replace(page: &str, tables: &str) -> Result<(String, Vec<String>), String> {
    let (mut page, mut replaced) = (page.to_owned(), Vec::new());
    for table in tables.trim_end().split("\n\n") {
        let head = table.lines().next().unwrap_or_default();
        let old = table_with(&page, head).ok_or_else(|| format!("has no table with the first row {head}"))?;
        let new = format!("{table}\n");
        if page[old.clone()] != new {
            page.replace_range(old, &new);
            replaced.push(head.to_owned());
        }
    }
    Ok((page, replaced))
}

/// The position of the rows of a table with this first row.
fn table_with(page: &str, head: &str) -> Option<std::ops::Range<usize>> {
    let mut start = 0;
    for line in page.split_inclusive('\n') {
        if line.trim_end() == head {
            let rows = page[start..].split_inclusive('\n').take_while(|row| row.starts_with('|'));
            return Some(start..start + rows.map(str::len).sum::<usize>());
        }
        start += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Page\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nText.\n\n| c |\n|---|\n| 3 |\n";

    #[test]
    fn only_tables_that_differ_are_replaced_and_the_text_stays() {
        let tables = "| c |\n|---|\n| 4 |\n| 5 |\n\n| a | b |\n|---|---|\n| 1 | 2 |\n";
        let (page, replaced) = replace(PAGE, tables).unwrap();
        assert_eq!(page, PAGE.replace("| 3 |\n", "| 4 |\n| 5 |\n"));
        assert_eq!(replaced, ["| c |"]);
        assert_eq!(replace(&page, tables).unwrap(), (page, Vec::new()));
    }

    #[test]
    fn a_page_without_the_table_is_an_error() {
        let missing = replace(PAGE, "| d |\n|---|\n").unwrap_err();
        assert_eq!(missing, "has no table with the first row | d |");
    }

    #[test]
    fn a_table_at_the_end_of_a_page_without_a_line_end_is_replaced() {
        let (page, _) = replace(PAGE.trim_end(), "| c |\n|---|\n| 4 |\n").unwrap();
        assert_eq!(page, PAGE.replace("| 3 |", "| 4 |"));
    }
}
