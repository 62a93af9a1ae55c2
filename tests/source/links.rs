//! Links of the documents lead to a file, and to a heading in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Every page: README.md, CHANGELOG.md, `docs/`, and the golden files.
fn pages() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
    for directory in ["docs", "tests/golden"] {
        let entries = fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().file_name());
        let is_page = |name: &PathBuf| name.extension().is_some_and(|extension| extension == "md");
        paths.extend(entries.map(PathBuf::from).filter(is_page).map(|name| Path::new(directory).join(name)));
    }
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(root.join(&path)).unwrap())).collect()
}

/// The lines of a page outside of code blocks.
pub(crate) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).map(|(_, line)| line).filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The targets of the links in a line: `[text](target)`.
fn targets(line: &str) -> Vec<&str> {
    let after = line.split("](").skip(1);
    after.filter_map(|rest| rest.split_once(')').map(|(target, _)| target)).collect()
}

/// `path` without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let (root, pages) = (Path::new(env!("CARGO_MANIFEST_DIR")), pages());
    let (mut broken, mut checked) = (Vec::new(), 0);
    for (page, text) in &pages {
        for (number, line) in prose(text) {
            for target in targets(line).into_iter().filter(|target| !target.contains("://")) {
                checked += 1;
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let path = if file.is_empty() { page.clone() } else { normal(&page.parent().unwrap().join(file)) };
                let has_heading =
                    heading.is_empty() || pages.get(&path).is_some_and(|text| anchors(text).contains(heading));
                if !root.join(&path).exists() || !has_heading {
                    broken.push(format!("{}:{}: {target}", page.display(), number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{} broken links:\n{}", broken.len(), broken.join("\n"));
    assert!(checked > 20, "{checked} links were found");
}

#[test]
fn the_summary_and_the_readme_list_every_page_of_docs() {
    let pages = pages();
    for list in ["README.md", "docs/SUMMARY.md"] {
        let listed: BTreeSet<_> = targets(&pages[Path::new(list)])
            .into_iter()
            .map(|target| normal(&Path::new(list).parent().unwrap().join(target)))
            .collect();
        let missing: Vec<_> = pages
            .keys()
            .filter(|page| page.starts_with("docs") && !page.ends_with("SUMMARY.md") && !listed.contains(*page))
            .collect();
        assert!(missing.is_empty(), "{list} lacks {missing:?}");
    }
}

#[test]
fn anchors_are_those_of_github() {
    assert_eq!(anchor("Recovery after a cut"), "recovery-after-a-cut");
    assert_eq!(anchor("`hubbub.db` is removed, replaced or emptied"), "hubbubdb-is-removed-replaced-or-emptied");
    assert_eq!(targets("see [a](b.md#c) and [d](e)"), ["b.md#c", "e"]);
    assert_eq!(prose("a\n```\n# b\n```\nc").map(|(_, line)| line).collect::<Vec<_>>(), ["a", "c"]);
}
