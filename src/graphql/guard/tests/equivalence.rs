//! The guard's numbers are those of the parsed document with its fragments expanded.

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, Field, Selection, SelectionSet,
};
use async_graphql::{Positioned, Value};
use proptest::prelude::*;

use super::{each, measure};
use crate::graphql::guard::{LIST_FIELDS, Measure};

/// A selection to be written out.
#[derive(Clone, Debug)]
enum Piece {
    Leaf { name: &'static str, is_aliased: bool, directives: usize },
    Object { name: &'static str, is_aliased: bool, first: Option<i64>, below: Vec<Self> },
    Inline { has_type: bool, directives: usize, below: Vec<Self> },
    Spread { fragment: usize, directives: usize },
}

fn piece() -> impl Strategy<Value = Piece> {
    let leaf = prop_oneof![
        (proptest::sample::select(vec!["id", "size", "__typename"]), any::<bool>(), 0..2_usize)
            .prop_map(|(name, is_aliased, directives)| Piece::Leaf {
                name,
                is_aliased,
                directives
            }),
        (0..4_usize, 0..2_usize)
            .prop_map(|(fragment, directives)| Piece::Spread { fragment, directives }),
    ];
    leaf.prop_recursive(4, 24, 4, |below| {
        let names = vec!["desktop", "screenRecords", "operations", "__schema", "types"];
        let below = proptest::collection::vec(below, 1..4);
        prop_oneof![
            (
                proptest::sample::select(names),
                any::<bool>(),
                proptest::option::of(-2..1_200_i64),
                below.clone()
            )
                .prop_map(|(name, is_aliased, first, below)| {
                    Piece::Object { name, is_aliased, first, below }
                }),
            (any::<bool>(), 0..2_usize, below).prop_map(|(has_type, directives, below)| {
                Piece::Inline { has_type, directives, below }
            }),
        ]
    })
}

/// Writes selections; `own` is the fragment they are in, which spreads only later ones.
fn write(pieces: &[Piece], own: usize, fragments: usize) -> String {
    pieces.iter().map(|piece| write_piece(piece, own, fragments)).collect()
}

fn write_piece(piece: &Piece, own: usize, fragments: usize) -> String {
    let alias = |is_aliased: bool| if is_aliased { "other : " } else { "" };
    let directives = |count: usize| " @include(if: true)".repeat(count);
    match piece {
        Piece::Leaf { name, is_aliased, directives: count } => {
            format!("{}{name}{}, ", alias(*is_aliased), directives(*count))
        }
        Piece::Object { name, is_aliased, first, below } => {
            let first = first.map(|first| format!("(x: \"#{{\", first: {first})"));
            let below = write(below, own, fragments);
            format!("{}{name}{}{{{below}}}", alias(*is_aliased), first.unwrap_or_default())
        }
        Piece::Inline { has_type, directives: count, below } => {
            let on = if *has_type { "on T" } else { "" };
            format!("...{on}{} {{ # }}\n{}}}", directives(*count), write(below, own, fragments))
        }
        Piece::Spread { fragment, directives: count } => {
            let fragment = own + fragment;
            let name =
                if fragment < fragments { format!("F{fragment}") } else { "None".to_owned() };
            format!("...{name}{} ", directives(*count))
        }
    }
}

/// What a set asks for, expanded the slow way.
#[derive(Clone, Copy, Debug, Default)]
struct Naive {
    depth: usize,
    fields: usize,
    aliases: usize,
    directives: usize,
    complexity: usize,
    root_fields: usize,
}

fn naive(document: &ExecutableDocument, set: &SelectionSet, is_root: bool) -> Naive {
    let mut sum = Naive::default();
    for selection in &set.items {
        let part = match &selection.node {
            Selection::Field(field) => naive_field(document, &field.node, is_root),
            Selection::InlineFragment(inline) => {
                naive(document, &inline.node.selection_set.node, is_root)
            }
            Selection::FragmentSpread(spread) => document
                .fragments
                .get(&spread.node.fragment_name.node)
                .map_or_else(Naive::default, |fragment| {
                    let mut part = naive(document, &fragment.node.selection_set.node, is_root);
                    part.directives += fragment.node.directives.len();
                    part
                }),
        };
        let own: &[Positioned<Directive>] = match &selection.node {
            Selection::Field(field) => &field.node.directives,
            Selection::InlineFragment(inline) => &inline.node.directives,
            Selection::FragmentSpread(spread) => &spread.node.directives,
        };
        sum.depth = sum.depth.max(part.depth);
        sum.fields += part.fields;
        sum.aliases += part.aliases;
        sum.directives += part.directives + own.len();
        sum.complexity += part.complexity;
        sum.root_fields += part.root_fields;
    }
    sum
}

fn naive_field(document: &ExecutableDocument, field: &Field, is_root: bool) -> Naive {
    let below = naive(document, &field.selection_set.node, false);
    let name = field.name.node.as_str();
    Naive {
        depth: if is_root && name == "__schema" { 0 } else { below.depth + 1 },
        fields: below.fields + 1,
        aliases: below.aliases + usize::from(field.alias.is_some()),
        complexity: below.complexity * naive_length(field) + 1,
        root_fields: 1,
        ..below
    }
}

fn naive_length(field: &Field) -> usize {
    let name = field.name.node.as_str();
    let Some(list) = LIST_FIELDS.iter().find(|list| list.name == name) else {
        return 1;
    };
    match field.get_argument("first").and_then(|value| value.node.clone().into_const()) {
        None => list.default,
        Some(Value::Number(number)) => {
            usize::try_from(number.as_i64().unwrap().clamp(1, 1000)).unwrap()
        }
        Some(value) => panic!("{value} is never written"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn the_measure_is_that_of_the_expanded_document(
        root in proptest::collection::vec(piece(), 1..4),
        fragments in proptest::collection::vec(proptest::collection::vec(piece(), 1..4), 0..4),
    ) {
        let count = fragments.len();
        let operation = format!("query Q @a {{{}}}", write(&root, 0, count));
        let text = operation + &each(count, |index| {
            format!("fragment F{index} on T @b {{{}}}", write(&fragments[index], index + 1, count))
        });
        let parsed = parse_query(&text).unwrap();
        let DocumentOperations::Multiple(operations) = &parsed.operations else {
            panic!("the operation has a name");
        };
        let operation = operations.values().next().unwrap();
        let naive = naive(&parsed, &operation.node.selection_set.node, true);

        let measure = measure(&text).unwrap();

        let expected = Measure {
            depth: naive.depth,
            fields: naive.fields,
            aliases: naive.aliases,
            directives: naive.directives + 1,
            complexity: naive.complexity,
            root_fields: naive.root_fields,
            ..measure
        };
        prop_assert_eq!(measure, expected);
    }
}
