//! What documents weigh.

use async_graphql::Variables;
use serde_json::{Value, json};

use super::{admit, guard, introspection_query, measure, no_variables};
use crate::graphql::guard::{MAX_INTROSPECTION, Measure};

fn complexity(document: &str, variables: Value) -> usize {
    let variables = Variables::from_json(variables);
    guard().measure(document, None, &variables).unwrap().complexity
}

#[test]
fn a_plain_query_is_counted_field_by_field() {
    let document = r#"query Q($id: ID!) @a { # comment
        one: screenRecord(projectId: "p", id: $id) @b { id, size desktop { id } }
        __typename
    }"#;

    let measure = measure(document).unwrap();

    assert_eq!(measure.tokens, 36);
    assert_eq!(measure.depth, 3);
    assert_eq!(measure.fields, 6);
    assert_eq!(measure.complexity, 6);
    assert_eq!(measure.root_fields, 2);
    assert_eq!(measure.aliases, 1);
    assert_eq!(measure.directives, 2);
    assert_eq!(measure.introspection, 0);
}

#[test]
fn a_fragment_counts_wherever_it_is_spread() {
    let document = "{ a { ...F @x } b { c { ...F } } ...R } \
        fragment F on T @y { k: d @z { e } } fragment R on Query { ... on Query { f } }";

    let measure = measure(document).unwrap();

    assert_eq!(measure.depth, 4);
    assert_eq!(measure.fields, 8);
    assert_eq!(measure.aliases, 2);
    assert_eq!(measure.directives, 5);
    assert_eq!(measure.root_fields, 3);
}

#[test]
fn a_list_multiplies_what_is_below_it() {
    let table = [
        ("{ screenRecords { edges { cursor } } }", json!({}), 1 + 50 * 2),
        ("{ screenRecords(first: 3) { edges { cursor } } }", json!({}), 1 + 3 * 2),
        ("{ screenRecords(first: null) { id } }", json!({}), 1 + 50),
        ("{ screenRecords(first: -3) { id } }", json!({}), 1 + 1),
        ("{ screenRecords(first: 99999999999999999999) { id } }", json!({}), 1 + 1000),
        ("{ screenRecords(first: [1]) { id } }", json!({}), 1 + 1000),
        ("query($n: Int) { screenRecords(first: $n) { id } }", json!({}), 1 + 50),
        ("query($n: Int) { screenRecords(first: $n) { id } }", json!({"n": null}), 1 + 50),
        ("query($n: Int) { screenRecords(first: $n) { id } }", json!({"n": 7}), 1 + 7),
        ("query($n: Int) { screenRecords(first: $n) { id } }", json!({"n": -7}), 1 + 1),
        ("query($n: Int) { screenRecords(first: $n) { id } }", json!({"n": "7"}), 1 + 1000),
        ("query($n: Int) { screenRecords(first: $n) { id } }", json!({"n": 7.5}), 1 + 1000),
        ("query($n: Int = 9) { screenRecords(first: $n) { id } }", json!({}), 1 + 9),
        ("query($n: Int = 9) { screenRecords(first: $n) { id } }", json!({"n": 4}), 1 + 4),
        (
            "{ screenRecords(first: 4) { operations(first: 5) { ...F } } } fragment F on X { id }",
            json!({}),
            1 + 4 * (1 + 5),
        ),
    ];

    for (document, variables, expected) in table {
        assert_eq!(complexity(document, variables.clone()), expected, "{document} {variables}");
    }
}

#[test]
fn only_the_selected_operation_is_executed_and_counted() {
    let document = "query A { a { b { c } } } query B { x: a y: b }";
    let measure = |name| guard().measure(document, name, &no_variables()).unwrap();

    let (first, second, unknown, absent) =
        (measure(Some("A")), measure(Some("B")), measure(Some("C")), measure(None));

    assert_eq!((first.depth, first.aliases, first.fields), (3, 0, 3));
    assert_eq!((second.depth, second.aliases, second.fields), (1, 2, 2));
    assert_eq!((unknown.depth, unknown.aliases, unknown.fields), (3, 2, 3));
    assert_eq!(absent, unknown);
    assert_eq!(first.tokens, second.tokens);
    assert_eq!(first.validation, second.validation);
}

#[test]
fn every_operation_counts_towards_validation() {
    let one = measure("query A { ...F } fragment F on Query { a b c }").unwrap();

    let two = measure("query A { ...F } query B { ...F } fragment F on Query { a b c }").unwrap();

    assert!(two.validation > one.validation + 3, "{one:?} {two:?}");
}

#[test]
fn a_large_variable_counts_wherever_it_is_used() {
    let document = "query($f: F) { a: r(f: $f) b: r(f: $f) }";
    let validation = |variables| {
        let variables = Variables::from_json(variables);
        guard().measure(document, None, &variables).unwrap().validation
    };

    let small = validation(json!({ "f": {} }));
    let large = validation(json!({ "f": { "list": vec![0; 1000], "text": "x".repeat(64_000) } }));

    assert!(large - small >= 2 * 2000, "{small} {large}");
}

#[test]
fn a_batch_adds_up_and_its_depth_is_the_deepest() {
    let first = measure("{ a: b { c } }").unwrap();
    let second = measure("{ a: b @x }").unwrap();

    let both = first.and(second);

    assert_eq!((both.depth, both.aliases, both.directives, both.fields), (2, 2, 1, 3));
    assert_eq!(both.tokens, first.tokens + second.tokens);
    assert_eq!(Measure::default().and(first), first);
}

#[test]
fn the_fullest_introspection_query_is_admitted_and_has_no_depth() {
    for unwrapped in [7, 9, 13] {
        let measure = admit(&introspection_query(unwrapped)).unwrap();

        assert_eq!(measure.depth, 0);
        assert!(measure.introspection * 2 < MAX_INTROSPECTION, "{measure:?}");
    }
}

#[test]
fn introspection_below_the_root_has_depth() {
    let measure = measure("{ a { __schema { types { name } } } ...F } fragment F on Query { __type(name: \"A\") { name } }").unwrap();

    assert_eq!(measure.depth, 4);
    assert_eq!(measure.introspection, 2);
}

#[test]
fn everything_that_grammar_allows_is_read() {
    let documents = [
        "\u{feff}{a}",
        "query{a}",
        "query Q{a}",
        "mutation M($a:Int=1@d,$b:[[Int!]!]! @d(e:1)){a}",
        "subscription{on:query{fragment{on}}}",
        "query fragment{...onX...on X{a}...@d{b}...{c}} fragment onX on on{a}",
        r#"{a(s:"",b:"\"\\\u0041\n",c:"""""",d:"""a\"""b""c""",e:"é")}"#,
        "{a(i:-0 f:1.5e+10 g:1E2 h:true i:null j:ENUM k:$v l:[] m:{} n:[{a:[1]}])}",
        "{a#\n,,,\r\n}#end",
        "query($a:Int@d=1){a}",
        "query(){a}",
    ];

    for document in documents {
        admit(document).expect(document);
    }
}
