//! The codecs of `/socket.io/` are given what nobody would send: every seed of the fuzz targets, and some thousand
//! mutations of them, the same ones each time. `fuzz/Cargo.toml` says how to go on for longer.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a check that does not hold says so by panicking, in the functions shared with the fuzzer too"
)]

use std::path::{Path, PathBuf};

// What must hold of them.
#[expect(unreachable_pub, reason = "a library for the fuzzer")]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

/// Mutations of each target's seeds.
const MUTATIONS: usize = 10_000;

/// Longest input, bytes.
const LENGTH_MAX: usize = 4096;

#[test]
fn what_must_hold_of_the_codecs_holds_of_every_seed_and_its_mutations() {
    let tokens = tokens();
    for (number, (name, target)) in fuzz::TARGETS.into_iter().enumerate() {
        let seeds = seeds(name);
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ number as u64);
        for (_, seed) in &seeds {
            target(seed);
        }
        for _ in 0..MUTATIONS {
            let (seed, mut input) = dice.pick(&seeds).clone();
            for _ in 0..=dice.below(4) {
                mutate(&mut input, &mut dice, &seeds, &tokens);
            }
            let outcome = std::panic::catch_unwind(|| target(&input));
            assert!(outcome.is_ok(), "{name}: {} became {:?}", seed.display(), input.escape_ascii().to_string());
        }
    }
}

/// A change of a few bytes, of a piece, or by what another seed or a token has.
fn mutate(input: &mut Vec<u8>, dice: &mut Dice, seeds: &[(PathBuf, Vec<u8>)], tokens: &[Vec<u8>]) {
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

/// The files of `fuzz/seeds/<target>`, in the order of their names.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// The tokens of `fuzz/tokens.dict`: a string a line, with `\"`, `\\` and `\x1e`.
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

/// Numbers that look random and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
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
