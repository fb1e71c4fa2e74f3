//! The targets without libFuzzer: what is kept in `fuzz/` is replayed, then changed at random.
//!
//! The same changes come in the same order each time. `FUZZ_SECONDS` makes each target go on for so long.

mod mutation;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::TARGETS;
use crate::clock::Clock;
use mutation::{Mutator, dictionary};

/// Changed inputs per target, where no time is given.
const CHANGED: usize = 500;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a folder, by name; none where there is no such folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "a wish of the one who runs the tests, no setting")]
fn wished_seconds() -> Option<u64> {
    std::env::var("FUZZ_SECONDS").ok().map(|text| text.parse().unwrap())
}

/// Whether a target fails on an input; what it says then goes where panics go.
fn fails(run: fn(&[u8]), input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| run(input))).is_err()
}

/// A shorter input that fails, too.
fn shortened(run: fn(&[u8]), mut input: Vec<u8>) -> Vec<u8> {
    let mut step = input.len() / 2;
    while step > 0 {
        let mut at = 0;
        while at < input.len() {
            let mut shorter = input.clone();
            shorter.drain(at..(at + step).min(input.len()));
            if fails(run, &shorter) {
                input = shorter;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    input
}

fn hunt(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = files(&folder().join("seeds").join(name));
    let regressions = files(&folder().join("regressions").join(name));
    assert!(seeds.len() >= 5, "{name} has {} seeds", seeds.len());
    for (path, input) in seeds.iter().chain(&regressions) {
        assert!(!fails(target.run, input), "{name} fails on {path}");
    }

    let tokens = dictionary(&folder().join("dictionaries").join(format!("{name}.dict")));
    let inputs: Vec<Vec<u8>> = seeds.into_values().chain(regressions.into_values()).collect();
    let mut mutator = Mutator::new(name, inputs, tokens);
    let clock = Clock::default();
    let (begun, wished) = (clock.now(), wished_seconds().map(Duration::from_secs));
    let mut done = 0_usize;
    while wished.map_or(done < CHANGED, |wished| clock.now() - begun < wished) {
        let input = mutator.next();
        if fails(target.run, &input) {
            let input = shortened(target.run, input);
            panic!("{name} fails on b\"{}\"", input.escape_ascii());
        }
        done += 1;
    }
    println!("{name}: {done} changed inputs");
}

macro_rules! hunts {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                hunt(stringify!($name));
            }
        )*

        /// The targets that are hunted here.
        const HUNTED: &[&str] = &[$(stringify!($name)),*];
    };
}

hunts!(timestamp, wire, failure, document, execution, request, cursor, entry, news, config);

#[test]
fn every_target_is_hunted_here_and_built_for_libfuzzer() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();

    assert_eq!(HUNTED, names);
    for name in names {
        let path = format!("fuzz_targets/{name}.rs");
        let source = fs::read_to_string(folder().join(&path)).unwrap();
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path} is no target");
        assert!(source.contains(&format!("fuzzing::{name}(bytes)")), "{path} runs another target");
    }
}
