//! Fuzz target: the guard beside the parser that it stands before.

use async_graphql::Variables;
use async_graphql::parser::parse_query;

use super::{Guard, MAX_NESTING, Refusal, STEPS_PER_TOKEN, reader};
use crate::config::LimitsConfig;

/// A document. Whatever it says, the guard's work is in proportion to its bytes; what the guard lets
/// through, the parser reads as the same definitions or refuses, and never is lost in.
pub(crate) fn guard(bytes: &[u8]) {
    let Ok(document) = str::from_utf8(bytes) else { return };
    let limits = LimitsConfig::default();
    let guard = Guard::new(&limits);
    let mut steps = 0;
    let measured = guard.measure_counting(document, None, &Variables::default(), &mut steps);
    assert!(steps <= 4 * document.len() + 16, "{steps} steps for {} bytes", document.len());
    let measured = measured.and_then(|measure| guard.admit(&[measure]).map(|()| measure));
    match measured {
        Err(refusal) => points_into(document, &refusal),
        Ok(measure) => {
            assert!(measure.depth <= limits.max_depth && measure.depth <= MAX_NESTING);
            assert!(measure.validation <= STEPS_PER_TOKEN * limits.max_tokens);
            is_the_parsers(document, limits.max_tokens);
        }
    }
}

fn points_into(document: &str, refusal: &Refusal) {
    let message = refusal.to_string();
    assert!(message.len() < 1000, "{} bytes of message", message.len());
    if let Some((line, column)) = refusal.location() {
        assert!((1..=1 + document.matches(['\r', '\n']).count()).contains(&line));
        assert!((1..=1 + document.chars().count()).contains(&column));
    }
}

fn is_the_parsers(document: &str, max_tokens: usize) {
    let Ok(parsed) = parse_query(document) else { return };
    let Ok(outline) = reader::read(document, max_tokens, &mut 0) else {
        unreachable!("what was measured is read");
    };
    assert_eq!(outline.operations.len(), parsed.operations.iter().count());
    assert_eq!(outline.fragments.len(), parsed.fragments.len());
    for (name, _) in parsed.operations.iter() {
        let name = name.map(async_graphql::Name::as_str);
        assert!(outline.operations.iter().any(|operation| operation.name == name), "{name:?}");
    }
}
