//! Paths that the pages for contributors name exist, and so do the names in them: `src/ws.rs: ReaderStream`.

use std::fs;
use std::path::Path;

use crate::links::prose;

/// The pages, in `docs/`.
const PAGES: &[&str] = &["architecture", "contributing"];

/// What a path ends with. A trailing slash is a directory.
const ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".sh", ".json", "/"];

/// A path from the root of the repository, and the identifiers that its file must have.
#[derive(Debug, PartialEq)]
struct NamedPath<'a> {
    path: &'a str,
    names: Vec<&'a str>,
}

impl<'a> NamedPath<'a> {
    /// Reads the text between two backticks; `None` when it is no path. Patterns and URL paths are none.
    fn parse(span: &'a str) -> Option<Self> {
        let (path, names) = span.split_once(": ").unwrap_or((span, ""));
        let is_path = path.contains('/') && ENDINGS.iter().any(|ending| path.ends_with(ending));
        let is_other = path.starts_with('/') || path.contains([' ', '*', '<', '{']);
        let names = names.split(", ").filter(|name| !name.is_empty()).collect();
        (is_path && !is_other).then_some(Self { path, names })
    }

    /// What the repository lacks of it.
    fn missing(&self, root: &Path) -> Vec<String> {
        let path = root.join(self.path);
        if self.path.ends_with('/') != path.is_dir() || !path.exists() {
            return vec![format!("there is no {}", self.path)];
        }
        let text = if self.names.is_empty() { String::new() } else { fs::read_to_string(path).unwrap() };
        let lacks = |name: &&&str| !has_identifier(&text, name);
        self.names.iter().filter(lacks).map(|name| format!("{} has no `{name}`", self.path)).collect()
    }
}

/// Whether `text` has `name` as a whole word.
fn has_identifier(text: &str, name: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == name)
}

/// The texts between backticks of a page, each with its line from 1. A text may continue in the next line.
fn spans(page: &str) -> Vec<(usize, String)> {
    let (mut spans, mut open) = (Vec::new(), None::<(usize, String)>);
    for (index, line) in prose(page) {
        for (position, part) in line.split('`').enumerate() {
            if position > 0 {
                open = match open.take() {
                    Some(span) => {
                        spans.push(span);
                        None
                    }
                    None => Some((index + 1, String::new())),
                };
            }
            if let Some((_, text)) = &mut open {
                if position == 0 && !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(part.trim_start_matches(if position == 0 { " " } else { "" }));
            }
        }
    }
    assert_eq!(open, None, "a backtick has no second one");
    spans
}

#[test]
fn every_path_and_every_name_in_it_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for page in PAGES {
        let text = fs::read_to_string(root.join(format!("docs/{page}.md"))).unwrap();
        for (line, span) in spans(&text) {
            let Some(named) = NamedPath::parse(&span) else { continue };
            checked += 1;
            wrong.extend(named.missing(root).into_iter().map(|missing| format!("docs/{page}.md:{line}: {missing}")));
        }
    }
    assert!(wrong.is_empty(), "{} wrong paths:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 100, "{checked} paths were found");
}

#[test]
fn a_path_is_distinguished_from_other_text() {
    let named = |path, names: &[&'static str]| Some(NamedPath { path, names: names.to_vec() });
    assert_eq!(NamedPath::parse("src/ws.rs"), named("src/ws.rs", &[]));
    assert_eq!(NamedPath::parse("src/ws.rs: open, admit"), named("src/ws.rs", &["open", "admit"]));
    assert_eq!(NamedPath::parse("tests/golden/"), named("tests/golden/", &[]));
    for other in ["/socket.io/", "tests/golden/*.md", "lib.rs", "cargo test --test source", "limits.rooms", "a / b.rs"]
    {
        assert_eq!(NamedPath::parse(other), None, "{other}");
    }
    assert_eq!(spans("a `b` and `c\n  d`\n```\n`e`\n```\n"), [(1, "b".to_owned()), (1, "c d".to_owned())]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let missing = |span| NamedPath::parse(span).unwrap().missing(root);
    assert_eq!(missing("src/lib.rs: config"), Vec::<String>::new());
    assert_eq!(missing("src/lib.rs: confi"), ["src/lib.rs has no `confi`"]);
    assert_eq!(missing("src/absent.rs: config"), ["there is no src/absent.rs"]);
    assert_eq!(missing("src/"), Vec::<String>::new());
}
