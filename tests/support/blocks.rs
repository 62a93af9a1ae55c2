//! The code blocks of the pages in `docs/`, which tests run.
//!
//! A comment on the line before a block says how it is tested: `<!-- run: NAME -->` names the block for a test, and
//! `<!-- not run: REASON -->` says why no test can run it. A page that is read on GitHub or in the book does not show these
//! comments.

use std::fs;

/// A code block of a page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CodeBlock {
    /// The word after the fence: `sh`, `python`, `text`; empty without one.
    pub(crate) language: String,
    /// Its lines, each with a line feed, without the indentation of the fence.
    pub(crate) text: String,
    /// The number of the line with the opening fence, from 1.
    pub(crate) line: usize,
    /// How the block is tested, if a comment says so.
    pub(crate) mark: Option<Mark>,
}

/// How a block is tested.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mark {
    /// A test runs the block with this name.
    Run(String),
    /// No test runs it, for this reason.
    NotRun(String),
}

/// The text of `docs/{name}.md`.
pub(crate) fn page(name: &str) -> String {
    fs::read_to_string(format!("{}/docs/{name}.md", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The code blocks of a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<CodeBlock> {
    let mut blocks = Vec::new();
    let (mut open, mut before): (Option<(usize, CodeBlock)>, &str) = (None, "");
    for (number, line) in page.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open, fence) {
            (None, Some(language)) => {
                let indent = line.len() - line.trim_start().len();
                let (language, line) = (language.trim().to_owned(), number + 1);
                Some((indent, CodeBlock { language, text: String::new(), line, mark: mark(before) }))
            }
            (Some((_, block)), Some("")) => {
                blocks.push(block);
                None
            }
            (Some((indent, mut block)), _) => {
                block.text.push_str(line.get(indent..).unwrap_or_default());
                block.text.push('\n');
                Some((indent, block))
            }
            (None, None) => None,
        };
        before = line;
    }
    assert!(open.is_none(), "a block has no end: {open:?}");
    blocks
}

/// The block of `docs/{page}.md` with the mark `run: {name}`.
#[track_caller]
pub(crate) fn block(page_name: &str, name: &str) -> CodeBlock {
    let wanted = Some(Mark::Run(name.to_owned()));
    let mut found = blocks(&page(page_name)).into_iter().filter(|block| block.mark == wanted);
    let block = found.next().unwrap_or_else(|| panic!("docs/{page_name}.md has no block `<!-- run: {name} -->`"));
    assert_eq!(found.next(), None, "docs/{page_name}.md has two blocks with the name {name}");
    block
}

fn mark(line: &str) -> Option<Mark> {
    let comment = line.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    match comment.split_once(": ")? {
        ("run", name) => Some(Mark::Run(name.to_owned())),
        ("not run", reason) => Some(Mark::NotRun(reason.to_owned())),
        _ => None,
    }
}
