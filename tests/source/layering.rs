//! Imports flow one way. The documentation of each crate has the map, under `# Layout`: a list of its modules. A module
//! imports modules of lower lines, and modules further right in its own line. A submodule may have a place of its own.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::files::{self, File};

#[test]
fn the_actors_import_downwards() {
    check("actors/src");
}

#[test]
fn the_edge_imports_downwards() {
    check("src");
}

/// Holds the imports of all files of a crate against the map in its `lib.rs`.
fn check(root: &str) {
    let files = files::below(&[root]);
    let lib = files.iter().find(|file| file.path == format!("{root}/lib.rs")).unwrap();
    let map = Map::read(&lib.text);
    assert_eq!(map.modules(), modules(&lib.text), "the map and the modules of {root}/lib.rs");
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !is_test(file) && file.path != lib.path) {
        let module = module_path(root, file);
        for (target, line) in imports(&file.text, module.len()) {
            let is_own = target[0] == module[0];
            if let (false, Some(from), Some(to)) = (is_own, map.place(&module), map.place(&target))
                && from > to
            {
                wrong.push(format!("{}:{line}: {} imports {}", file.path, module.join("::"), target.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} imports against the map of {root}/lib.rs:\n{}", wrong.len(), wrong.join("\n"));
}

/// The places of modules: their line in the map, and their position in the line.
struct Map(BTreeMap<String, (usize, usize)>);

impl Map {
    /// Reads the list under `# Layout` in the documentation of a crate. The first mention of a module is its place.
    fn read(text: &str) -> Self {
        let documentation = text.lines().map_while(|line| line.strip_prefix("//!"));
        let layout = documentation.skip_while(|line| line.trim() != "# Layout").skip(1);
        let mut places = BTreeMap::new();
        let mut line = 0;
        for text in layout.take_while(|line| !line.trim_start().starts_with("# ")) {
            line += usize::from(text.trim_start().starts_with("* "));
            if line > 0 {
                // Modules are links; a program's `main` cannot be one.
                for link in text.replace("`main`", "[`main`]").split("[`").skip(1) {
                    let name = link.split('`').next().unwrap_or_default();
                    let position = places.len();
                    places.entry(name.to_owned()).or_insert((line, position));
                }
            }
        }
        Self(places)
    }

    /// The top modules in the map, sorted.
    fn modules(&self) -> Vec<String> {
        self.0.keys().filter(|name| *name != "main" && !name.contains("::")).cloned().collect()
    }

    /// The place of a path: that of its submodule, or that of its module. `None` for a name that is no module.
    fn place(&self, path: &[String]) -> Option<(usize, usize)> {
        let submodule = path.get(..2).and_then(|path| self.0.get(&path.join("::")));
        submodule.or_else(|| self.0.get(&path[0])).copied()
    }
}

/// The modules that `lib.rs` declares, sorted.
fn modules(text: &str) -> Vec<String> {
    let declared = text.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    let mut names: Vec<_> = declared.filter_map(|rest| rest.strip_suffix(';')).map(str::to_owned).collect();
    names.retain(|name| name != "testkit");
    names.sort();
    names
}

/// Unit tests may import anything.
fn is_test(file: &File) -> bool {
    let mut parts = file.path.split('/');
    parts.any(|part| matches!(part, "tests" | "tests.rs" | "testkit" | "testkit.rs"))
}

/// The module of a file, from the root of its crate.
fn module_path(root: &str, file: &File) -> Vec<String> {
    let path = file.path.strip_prefix(root).unwrap().trim_start_matches('/').trim_end_matches(".rs");
    let mut parts: Vec<_> = path.split('/').map(str::to_owned).collect();
    if parts.len() > 1 && parts.last().is_some_and(|part| part == "mod") {
        parts.pop();
    }
    parts
}

/// The paths that a file names by `crate::…` or by enough `super::`, up to the submodule, with the lines. `depth` is the
/// depth of its module.
fn imports(text: &str, depth: usize) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    collect(&TokenStream::from_str(text).unwrap().into_iter().collect::<Vec<_>>(), depth, &mut found);
    found
}

fn collect(tokens: &[TokenTree], depth: usize, found: &mut Vec<(Vec<String>, usize)>) {
    let mut at = 0;
    while at < tokens.len() {
        if is_test_attribute(&tokens[at..]) {
            at = end_of_item(tokens, at + 2);
            continue;
        }
        match &tokens[at] {
            // A program names its crate.
            TokenTree::Ident(name) if name == "crate" || name == "hubbub" => targets(&tokens[at + 1..], &[], found),
            TokenTree::Ident(name) if name == "super" && !is_ident(tokens, at.wrapping_sub(3), "super") => {
                let supers = (0..).take_while(|step| is_ident(tokens, at + step * 3, "super")).count();
                if supers >= depth {
                    targets(&tokens[at + (supers - 1) * 3 + 1..], &[], found);
                }
            }
            TokenTree::Group(group) => collect(&group.stream().into_iter().collect::<Vec<_>>(), depth, found),
            _ => {}
        }
        at += 1;
    }
}

fn is_ident(tokens: &[TokenTree], at: usize, expected: &str) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Ident(name)) if name == expected)
}

/// `#[cfg(test)]`.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    match tokens {
        [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] => {
            hash.as_char() == '#' && attribute.stream().to_string().replace(' ', "") == "cfg(test)"
        }
        _ => false,
    }
}

/// The index after the item that starts at `at`: after its braces or its semicolon.
fn end_of_item(tokens: &[TokenTree], at: usize) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punctuation) => punctuation.as_char() == ';',
        _ => false,
    };
    tokens[at..].iter().position(is_end).map_or(tokens.len(), |length| at + length + 1)
}

/// The paths that continue `prefix` after `::`: one, or those of a group. Two names are enough.
fn targets(after: &[TokenTree], prefix: &[String], found: &mut Vec<(Vec<String>, usize)>) {
    let is_punctuation = |token: &TokenTree, expected| matches!(token, TokenTree::Punct(p) if p.as_char() == expected);
    let [first, second, rest @ ..] = after else { return };
    if !is_punctuation(first, ':') || !is_punctuation(second, ':') {
        return;
    }
    match rest {
        [TokenTree::Group(group), ..] => {
            let tokens: Vec<_> = group.stream().into_iter().collect();
            for path in tokens.split(|token| is_punctuation(token, ',')) {
                continue_path(path, prefix, found);
            }
        }
        path => continue_path(path, prefix, found),
    }
}

/// Adds the name that `path` starts with to `prefix`, and the next one if this is the first.
fn continue_path(path: &[TokenTree], prefix: &[String], found: &mut Vec<(Vec<String>, usize)>) {
    let Some(TokenTree::Ident(name)) = path.first() else { return };
    let target = [prefix, &[name.to_string()]].concat();
    let known = found.len();
    if target.len() == 1 {
        targets(&path[1..], &target, found);
    }
    if found.len() == known {
        found.push((target, name.span().start().line));
    }
}

#[test]
fn imports_are_found_in_paths_groups_and_macros_but_not_in_tests() {
    let text = "
        use crate::{a::b, c, d::{e, f::g}};
        use super::super::h::H;
        fn f() { vec![crate::i::I, super::j()]; }
        #[cfg(test)]
        use crate::k::{K};
        #[cfg(test)]
        mod tests { use crate::l; }
    ";
    let paths = imports(text, 2).into_iter().map(|(path, _)| path.join("::")).collect::<Vec<_>>();
    assert_eq!(paths, ["a::b", "c", "d::e", "d::f", "h::H", "i::I"]);
    let map =
        Map::read("//! # Layout\n//!\n//! * [`a`], [`b`]: things\n//! * [`c`], [`a::d`]: below [`a`]\n\npub mod a;");
    let place = |path: &str| map.place(&path.split("::").map(str::to_owned).collect::<Vec<_>>());
    assert!(place("a::b") < place("b") && place("b") < place("c") && place("c") < place("a::d::e"));
    assert_eq!((place("d"), map.modules()), (None, ["a", "b", "c"].map(String::from).to_vec()));
    assert_eq!(modules("pub mod b;\nmod a;\nuse c;"), ["a", "b"]);
}
