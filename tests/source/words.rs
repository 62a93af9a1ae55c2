//! The code uses the field's standard terms. The words below are retired; each has a standard word in their place.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use proc_macro2::{TokenStream, TokenTree};

use crate::files;

/// Retired words with the standard words that replace them. A plural counts as its singular.
const RETIRED: &[(&str, &str)] = &[
    ("abandon", "discard"),
    ("agenda", "timers"),
    ("ailment", "health"),
    ("border", "middleware"),
    ("bulletin", "pending changes"),
    ("comer", "client, session"),
    ("crowd", "members"),
    ("desk", "output state"),
    ("dialect", "format, protocol"),
    ("dialogue", "packet handler"),
    ("door", "admission, handshake"),
    ("dues", "due times"),
    ("enrol", "add"),
    ("farewell", "close state"),
    ("figure", "metric, count"),
    ("ground", "context"),
    ("hear", "receive, listen"),
    ("heard", "received"),
    ("hearer", "listener, receiver"),
    ("herald", "preceding event"),
    ("house", "router"),
    ("inlet", "reader"),
    ("judge", "check, decide"),
    ("judged", "checked"),
    ("judgement", "decision"),
    ("judging", "checking"),
    ("keeper", "writer"),
    ("knock", "check"),
    ("lane", "worker mailboxes"),
    ("lobby", "namespace authentication"),
    ("matter", "timer kind"),
    ("moment", "timestamp, time"),
    ("owe", "reserve"),
    ("owed", "reserved, pending"),
    ("park", "suspend"),
    ("parked", "suspended"),
    ("parking", "suspension"),
    ("porter", "mailbox"),
    ("pulse", "heartbeat sweeper"),
    ("roll", "count"),
    ("roster", "members"),
    ("said", "sent, output"),
    ("say", "send, report"),
    ("saying", "sending"),
    ("seat", "session handle, slot"),
    ("setback", "error"),
    ("shelf", "table"),
    ("standing", "state, status"),
    ("switchboard", "router"),
    ("tally", "count"),
    ("told", "notified, reported"),
    ("trouble", "error, failure"),
    ("unfit", "invalid"),
    ("untold", "suppressed"),
    ("vacate", "release"),
    ("verdict", "decision, outcome"),
    ("visitor", "client"),
    ("who", "user, session"),
    ("whoever", "any user"),
    ("whom", "receiver"),
    ("whose", "owner"),
    ("withdraw", "remove"),
];

/// Identifiers that other crates and formats define.
const FOREIGN: &[(&str, &str)] = &[
    // The trait of serde, its usual parameter, and its implementations.
    ("Visitor", "serde"),
    ("visitor", "serde"),
    ("IdVisitor", "serde"),
];

/// Words that no comment may contain. They start relative clauses about people where a sentence needs a subject.
const NOT_IN_COMMENTS: &[&str] = &["whom", "whose", "those who"];

#[test]
fn identifiers_and_file_names_use_no_retired_word() {
    let retired: BTreeMap<&str, &str> = RETIRED.iter().copied().collect();
    let mut found = Vec::new();
    for file in files::all() {
        let mut check = |name: &str, line: usize| {
            for word in words(name) {
                let singular = word.strip_suffix('s').unwrap_or(&word);
                let standard = retired.get(word.as_str()).or_else(|| retired.get(singular));
                if let Some(standard) = standard {
                    found.push(format!("{}:{line}: `{name}`: write {standard}", file.path));
                }
            }
        };
        for part in file.path.trim_end_matches(".rs").split('/') {
            check(part, 1);
        }
        for (name, line) in identifiers(&file.text) {
            if !FOREIGN.iter().any(|(foreign, _)| *foreign == name) {
                check(&name, line);
            }
        }
    }
    assert!(found.is_empty(), "{} retired words:\n{}", found.len(), found.join("\n"));
}

#[test]
fn comments_name_their_subject() {
    let mut found = Vec::new();
    for file in files::all() {
        for (number, line) in file.text.lines().enumerate() {
            let Some((_, comment)) = line.split_once("//") else { continue };
            let comment = comment.to_lowercase();
            let is_comment = line.trim_start().starts_with("//");
            if is_comment && NOT_IN_COMMENTS.iter().any(|word| contains_word(&comment, word)) {
                found.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{} comments:\n{}", found.len(), found.join("\n"));
}

/// All identifiers outside comments and literals, with their lines.
fn identifiers(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    collect(TokenStream::from_str(text).unwrap(), &mut found);
    found
}

fn collect(tokens: TokenStream, found: &mut Vec<(String, usize)>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => found.push((name.to_string(), name.span().start().line)),
            TokenTree::Group(group) => collect(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The words of an identifier in snake case, in camel case or of a constant, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in name.split('_') {
        let is_constant = !part.chars().any(char::is_lowercase);
        let mut word = String::new();
        for letter in part.chars() {
            if letter.is_uppercase() && !is_constant && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            word.extend(letter.to_lowercase());
        }
        words.push(word);
    }
    words.retain(|word| !word.is_empty());
    words
}

fn contains_word(text: &str, word: &str) -> bool {
    let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    text.match_indices(word)
        .any(|(at, _)| !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + word.len()..].chars().next()))
}

#[test]
fn names_are_split_into_words() {
    assert_eq!(words("SessionHandle"), ["session", "handle"]);
    assert_eq!(words("is_under_half"), ["is", "under", "half"]);
    assert_eq!(words("TOLD_MAX"), ["told", "max"]);
    assert_eq!(words("is_HTTP"), ["is", "http"]);
    assert!(contains_word("a client, whose name", "whose") && !contains_word("whosever", "whose"));
}
