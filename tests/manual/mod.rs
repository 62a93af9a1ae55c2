//! The code in the documents runs: each block in a language that a reader pastes is run by a test, or says why not.

// docs/backends.md: pushes from each language, batches, chats, accounts, and the application.
mod backends;

// docs/backup.md: what was copied and restored by its commands is there.
mod backup;

// docs/browsers.md, in Chromium.
mod browsers;

// docs/configuration.md: files, variables and commands.
mod configuration;

// docs/deploy.md: the settings are valid, and the limits have their defaults.
mod deploy;

// README.md and docs/getting-started.md, in terminals.
mod getting_started;

// docs/migrating.md: the code after each migration.
mod migrating;

// Runs the shell blocks of a page beside a hub.
mod paste;

// docs/security.md: keys and secrets are replaced by its commands.
mod security;

// docs/signing.md: the functions, the test vector and the errors.
mod signing;

// Blocks as programs.
mod snippets;

// The output in a terminal.
mod terminal;

// docs/tokens.md: tokens of each library and kind, and the errors.
mod tokens;

// docs/troubleshooting.md: each fault is provoked, and the documented output appears.
mod troubleshooting;

// A page in a browser.
mod visit;

use std::fs;

use crate::support::blocks::{Mark, blocks, page};

/// The languages of blocks that a reader pastes. `text` and `json` are output.
const PASTED: &[&str] = &["sh", "js", "html", "python", "php", "java", "nginx", "haproxy", "yaml", "ini", "toml"];

/// The names of the pages in `docs/`.
fn page_names() -> Vec<String> {
    let entries = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".md").map(str::to_owned)).collect()
}

/// The texts of all test sources.
fn test_sources() -> Vec<String> {
    fn collect(directory: &std::path::Path, texts: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                collect(&path, texts);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut texts = Vec::new();
    collect(concat!(env!("CARGO_MANIFEST_DIR"), "/tests").as_ref(), &mut texts);
    texts
}

#[test]
fn every_pasted_block_is_run_or_gives_a_reason() {
    let sources = test_sources();
    // A test names the page and the block in one file: two pages can have blocks with the same name.
    let is_run = |page: &str, run: &str| {
        let (page, run) = (format!("\"{page}\""), format!("\"{run}\""));
        // A helper runs its block on the page that it is given.
        let by_helper = format!("block(page, {run})");
        sources.iter().any(|source| source.contains(&by_helper) || source.contains(&page) && source.contains(&run))
    };
    let mut wrong = Vec::new();
    for name in page_names() {
        for block in blocks(&page(&name)) {
            let place = format!("docs/{name}.md:{}", block.line);
            match &block.mark {
                Some(Mark::Run(run)) if !is_run(&name, run) => {
                    wrong.push(format!("{place}: no file of tests names the page and the block `{run}`"));
                }
                Some(_) => {}
                None if PASTED.contains(&block.language.as_str()) => {
                    wrong.push(format!(
                        "{place}: add `<!-- run: NAME -->` or `<!-- not run: REASON -->` before the block"
                    ));
                }
                None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn blocks_have_the_text_between_their_fences() {
    let page = "<!-- run: one -->\n```sh\na\n\nb\n```\n* item\n\n  <!-- not run: needs systemd -->\n  ```ini\n  c\n  ```\n```\nd\n```\n";
    let found: Vec<_> =
        blocks(page).into_iter().map(|block| (block.language, block.text, block.line, block.mark)).collect();
    assert_eq!(
        found,
        [
            ("sh".into(), "a\n\nb\n".into(), 2, Some(Mark::Run("one".into()))),
            ("ini".into(), "c\n".into(), 10, Some(Mark::NotRun("needs systemd".into()))),
            (String::new(), "d\n".into(), 13, None),
        ]
    );
}
