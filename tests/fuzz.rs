//! Runs every fuzz target with its seeds and with reproducible mutations of them. `HUBBUB_FUZZ_TIMES=10` runs ten times as
//! many mutations. `fuzz/Cargo.toml` explains endless fuzzing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed check panics, also in the functions shared with the fuzzer"
)]

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Once;

// The checks.
#[expect(unreachable_pub, reason = "a library for the fuzzer")]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

/// Longest input, in bytes.
const LENGTH_MAX: usize = 4096;

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed_and_can_be_fuzzed() {
            let replayed = [$(stringify!($name)),*];
            assert_eq!(fuzz::TARGETS.map(|target| target.name), replayed);
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
            let manifest = std::fs::read_to_string(directory.join("Cargo.toml")).unwrap();
            for name in replayed {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
                let binary = std::fs::read_to_string(directory.join(format!("fuzz_targets/{name}.rs"))).unwrap();
                assert!(binary.contains(&format!("run(\"{name}\", bytes)")), "{name}");
                assert!(MANUAL.contains(&format!("`{name}`")), "docs/contributing.md does not name the target {name}");
            }
        }
    };
}

const MANUAL: &str = include_str!("../docs/contributing.md");

targets! {
    engine_decode engine_polling_body socket_decode socket_binary http_head http_body raw_assembler raw_envelope json_text names claims
    client_address origins cursors key_sets stored_records sessions
}

thread_local! {
    /// Panics on this thread.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

static COUNTING: Once = Once::new();

fn count_panics() {
    COUNTING.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            report(panic);
        }));
    });
}

/// Checks a target with every seed, and with mutations of the seeds.
fn replay(name: &str) {
    let (number, target) = fuzz::TARGETS.iter().enumerate().find(|(_, target)| target.name == name).unwrap();
    let (seeds, tokens) = (seeds(name), tokens());
    count_panics();
    let mut dice = MutationDice(0x9E37_79B9_7F4A_7C15 ^ number as u64);
    for (path, seed) in &seeds {
        check(target, path, seed);
    }
    let times = std::env::var("HUBBUB_FUZZ_TIMES").map_or(1, |times| times.parse().unwrap());
    for _ in 0..target.mutations * times {
        let (path, mut input) = dice.pick(&seeds).clone();
        for _ in 0..=dice.below(4) {
            mutate(&mut input, &mut dice, &seeds, &tokens);
        }
        check(target, &path, &input);
    }
}

fn check(target: &fuzz::FuzzTarget, seed: &Path, input: &[u8]) {
    let before = PANICS.get();
    let outcome = std::panic::catch_unwind(|| fuzz::run(target.name, input));
    // Counts panics that ended only a task, too.
    assert!(
        outcome.is_ok() && PANICS.get() == before,
        "{}: {} became \"{}\"",
        target.name,
        seed.display(),
        input.escape_ascii()
    );
}

/// Changes a byte or a piece, or inserts a piece of another seed or a token.
fn mutate(input: &mut Vec<u8>, dice: &mut MutationDice, seeds: &[(PathBuf, Vec<u8>)], tokens: &[Vec<u8>]) {
    let at = dice.below(input.len() + 1);
    let end = at + dice.below((input.len() - at).min(32) + 1);
    match dice.below(6) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..end)),
        2 if at < input.len() => input[at] = u8::try_from(dice.below(256)).unwrap(),
        3 => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        4 => {
            let (_, other) = dice.pick(seeds);
            let from = dice.below(other.len() + 1);
            input.splice(at..end, other[from..].iter().copied());
        }
        _ => {
            let token = dice.pick(tokens);
            input.splice(at..at, token.iter().copied());
        }
    }
    input.truncate(LENGTH_MAX);
}

/// The files of `fuzz/seeds/<target>`, ordered by name.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// The tokens of `fuzz/tokens.dict`: one string per line, with the escapes `\"`, `\\` and `\x1e`.
fn tokens() -> Vec<Vec<u8>> {
    let text = include_str!("../fuzz/tokens.dict");
    let lines = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    lines
        .map(|line| {
            let mut token = Vec::new();
            let mut letters = line.bytes();
            while let Some(letter) = letters.next() {
                let escaped = (letter == b'\\').then(|| letters.next().unwrap());
                token.push(match escaped {
                    None => letter,
                    Some(b'x') => {
                        let digits = [letters.next().unwrap(), letters.next().unwrap()];
                        u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                    }
                    Some(itself) => itself,
                });
            }
            token
        })
        .collect()
}

/// Reproducible pseudorandom numbers (xorshift).
struct MutationDice(u64);

impl MutationDice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).unwrap() % bound
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
