//! Whatever is sent is refused or answered within a bounded amount of work, counted, not timed.

use std::sync::atomic::Ordering;

use async_graphql::parser::parse_query;
use async_graphql::{Request, Variables};
use proptest::prelude::*;
use serde_json::json;

use super::corpus::corpus;
use super::schema::schema;
use super::{admit, guard, introspection_query, no_variables};
use crate::config::LimitsConfig;
use crate::graphql::guard::reader::read;
use crate::graphql::guard::{Measure, Refusal, STEPS_PER_TOKEN};

const KIB: usize = 1024;

/// Steps of the guard allowed for a document of so many bytes: each token is read once, each
/// selection weighed once, each spread followed once, each variable's name looked up once.
fn allowed_steps(bytes: usize) -> usize {
    4 * bytes + 16
}

fn measure_counting(document: &str, variables: &Variables) -> (Result<Measure, Refusal>, usize) {
    let mut steps = 0;
    let guard = guard();
    let measure = guard
        .measure_counting(document, None, variables, &mut steps)
        .and_then(|measure| guard.admit(&[measure]).map(|()| measure));
    (measure, steps)
}

#[test]
fn the_guard_takes_a_bounded_number_of_steps_for_each_byte() {
    for (family, document) in corpus(16 * KIB).into_iter().chain(corpus(256 * KIB)) {
        let (_, steps) = measure_counting(&document, &no_variables());

        let allowed = allowed_steps(document.len());
        assert!(steps <= allowed, "{family}: {steps} steps for {} bytes", document.len());
    }
}

#[test]
fn the_guard_takes_a_bounded_number_of_steps_for_each_value_of_a_variable() {
    let variables = Variables::from_json(json!({ "f": { "desktopNames": vec!["x"; 4 * KIB] } }));
    let document = format!("query($f: F) {{ {} }}", "a(b: $f) ".repeat(KIB));

    let (refusal, steps) = measure_counting(&document, &variables);

    assert_eq!(refusal.unwrap_err().code(), "QUERY_TOO_COMPLEX");
    assert!(steps <= allowed_steps(document.len()) + 5 * KIB, "{steps}");
}

#[tokio::test]
async fn what_is_admitted_resolves_no_more_fields_than_it_weighs() {
    let (schema, resolved) = schema();
    let limits = LimitsConfig::default();
    let mut admitted = Vec::new();

    for (family, document) in corpus(16 * KIB) {
        let Ok(measure) = admit(&document) else { continue };
        resolved.store(0, Ordering::Relaxed);
        let answer = schema.execute(Request::new(&document)).await;

        let resolved = resolved.load(Ordering::Relaxed);
        assert!(resolved <= measure.complexity, "{family}: {resolved} of {measure:?}");
        assert!(measure.complexity <= limits.max_complexity, "{family}: {measure:?}");
        assert!(measure.validation <= STEPS_PER_TOKEN * limits.max_tokens, "{family}: {measure:?}");
        assert!(
            answer.errors.len() <= measure.tokens + measure.validation,
            "{family}: {}",
            answer.errors.len()
        );
        admitted.push(family);
    }

    for family in [
        "one string",
        "comments",
        "the same field",
        "unknown fields",
        "undefined variables",
        "one introspection",
        "a few records by alias",
        "a few lists of lists",
        "a smaller bomb",
        "one spread by many records",
    ] {
        assert!(admitted.contains(&family), "{family} is not admitted");
    }
    for family in ["a bomb of 30", "a bomb of all", "a cycle", "introspection without end"] {
        assert!(!admitted.contains(&family), "{family} is admitted");
    }
}

#[tokio::test]
async fn the_fullest_introspection_query_is_answered() {
    let (schema, _) = schema();
    let document = introspection_query(13);
    admit(&document).unwrap();

    let answer = schema.execute(Request::new(&document)).await;

    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
}

#[tokio::test]
#[should_panic(expected = "Type `Nope` not defined")]
async fn the_library_would_panic_on_a_default_for_a_list_of_an_unknown_type() {
    let (schema, _) = schema();

    schema.execute("query($a:[Nope]=[1]){__typename}").await;
}

/// Pieces that documents are made of, and some that they are not.
const PIECES: [&str; 40] = [
    "{",
    "}",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    "!",
    "$",
    "=",
    "@",
    "|",
    "&",
    "...",
    "...on ",
    "query ",
    "mutation ",
    "fragment ",
    "on ",
    "a",
    "F",
    "screenRecord",
    "first",
    "Int",
    "1",
    "-1.5e3",
    "\"x\"",
    "\"",
    "\"\"\"",
    "\\",
    "#",
    "\n",
    ",",
    " ",
    "\u{feff}",
    "é",
    "{a}",
    "fragment F on Q{...F}",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn a_soup_of_tokens_takes_a_bounded_number_of_steps(
        soup in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..2_000)
    ) {
        let document = soup.concat();

        let (_, steps) = measure_counting(&document, &no_variables());

        prop_assert!(steps <= allowed_steps(document.len()));
    }

    #[test]
    fn what_both_read_has_the_same_definitions_to_the_guard_and_the_parser(
        soup in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..12)
    ) {
        let document = format!("query A {{{}}}", soup.concat());
        let outline = read(&document, 1_000, &mut 0);
        let parsed = parse_query(&document);

        if let (Ok(outline), Ok(parsed)) = (outline, parsed) {
            prop_assert_eq!(outline.operations.len(), parsed.operations.iter().count());
            prop_assert_eq!(outline.fragments.len(), parsed.fragments.len());
        }
    }

    #[test]
    fn a_refusal_points_into_the_text(text in "[\\PC\r\n]{0,200}") {
        let Err(refusal) = admit(&text) else { return Ok(()) };

        if let Some((line, column)) = refusal.location() {
            prop_assert!((1..=1 + text.matches(['\r', '\n']).count()).contains(&line));
            prop_assert!((1..=1 + text.chars().count()).contains(&column));
        }
    }
}
