//! The targets without libFuzzer: what is kept in `fuzz/` is replayed, then changed at random, the same way each
//! time.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

/// Changed inputs per target.
const CHANGED: u32 = 500;
/// No input grows longer.
const LONGEST: usize = 4096;
/// Numbers at the edges of types.
const EDGES: [&str; 6] = [
    "-1",
    "2147483648",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "1e999",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a folder; none where there is no such folder.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| fs::read(path).unwrap()).collect()
}

/// Inputs in which up to six pieces are replaced: by nothing, a byte, a token or the end of another input.
fn changed(inputs: Vec<Vec<u8>>, tokens: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(Vec::new()),
        any::<u8>().prop_map(|byte| vec![byte]),
        select(tokens),
        (select(inputs.clone()), any::<Index>())
            .prop_map(|(other, from)| other[from.index(other.len() + 1)..].to_vec()),
    ];
    let length = prop_oneof![Just(0_usize), Just(1), 0..32_usize];
    let changes = vec((any::<Index>(), length, piece), 1..=6);
    (select(inputs), changes).prop_map(|(mut input, changes)| {
        for (at, length, piece) in changes {
            let at = at.index(input.len() + 1);
            let end = (at + length).min(input.len());
            input.splice(at..end, piece);
        }
        input.truncate(LONGEST);
        input
    })
}

fn hunt(name: &str, run: fn(&[u8])) {
    let seeds = files(&folder().join("seeds").join(name));
    assert!(seeds.len() >= 5, "{name} has {} seeds", seeds.len());
    let inputs = [seeds, files(&folder().join("regressions").join(name))].concat();
    for input in &inputs {
        run(input);
    }
    let tokens = dictionary(&folder().join("dictionaries").join(format!("{name}.dict")));
    let config = Config { cases: CHANGED, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));

    let outcome = runner.run(&changed(inputs, tokens), |input| {
        run(&input);
        Ok(())
    });

    if let Err(TestError::Fail(reason, input)) = outcome {
        panic!("{name} fails on b\"{}\": {reason}", input.escape_ascii());
    }
}

/// The tokens of a dictionary in libFuzzer's form, one a line: `"token"`, with `\\`, `\"` and `\xAB`; and
/// [`EDGES`].
fn dictionary(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let tokens = lines.map(|line| line.strip_prefix('"').and_then(|line| line.strip_suffix('"')));
    let tokens = tokens.map(|token| unescaped(token.unwrap()));
    tokens.chain(EDGES.map(|edge| edge.as_bytes().to_vec())).collect()
}

fn unescaped(token: &str) -> Vec<u8> {
    let mut bytes = token.bytes();
    let mut token = Vec::new();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next().unwrap() } else { byte };
        if byte == b'\\' && escaped == b'x' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            token.extend(hex::decode(digits).unwrap());
        } else {
            token.push(escaped);
        }
    }
    token
}

macro_rules! hunts {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                hunt(stringify!($name), super::$name);
            }
        )*

        /// The targets that are hunted here.
        const HUNTED: &[&str] = &[$(stringify!($name)),*];
    };
}

hunts!(timestamp, wire, failure, document, execution, request, cursor, entry, news, config);

#[test]
fn every_target_that_libfuzzer_runs_is_hunted_here() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    assert_eq!(manifest.matches("[[bin]]").count(), HUNTED.len());
    for name in HUNTED {
        let path = format!("fuzz_targets/{name}.rs");
        let source = fs::read_to_string(folder().join(&path)).unwrap();
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path} is no target");
        assert!(source.contains(&format!("fuzzing::{name}(bytes)")), "{path} runs another target");
    }
}
