//! What operations cost, and what is refused.

use std::sync::LazyLock;

use apollo_compiler::validation::Valid;
use serde_json::{Value as Json, json};

use super::*;
use crate::graphql::document::Document;
use crate::graphql::sdl::validation_schema;
use crate::graphql::variables::coerce;

static SCHEMA: LazyLock<Valid<apollo_compiler::Schema>> = LazyLock::new(validation_schema);

fn cost_with(text: &str, name: Option<&str>, variables: Json) -> QueryCost {
    let document = Document::parse(text, name, &SCHEMA, 1_000_000)
        .unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let variables = coerce(&SCHEMA, &document, Variables::from_json(variables)).unwrap();
    let cost = cost(&document.executable, &document.operation, &variables, 3);
    QueryCost { tokens: document.tokens, ..cost }
}

fn cost_of(text: &str) -> QueryCost {
    cost_with(text, None, json!({}))
}

fn refusal(cost: QueryCost) -> String {
    check(cost, &LimitsConfig::default()).unwrap_err().to_string()
}

const RECORD: &str = "screenRecord(projectId:\"p\",id:\"i\")";

#[test]
fn a_plain_query_is_counted_field_by_field() {
    let cost = cost_of(
        r#"query Q($id: ID!) { # comment
            one: screenRecord(projectId: "p", id: $id) @skip(if: false) { id, size desktop { id } }
            __typename
        } "#
        .replace("$id: ID!", "$id: ID! = \"x\"")
        .as_str(),
    );

    let expected = QueryCost {
        tokens: 41,
        depth: 3,
        aliases: 1,
        directives: 1,
        complexity: 6,
        root_fields: 2,
        ..QueryCost::default()
    };
    assert_eq!(cost, expected);
}

#[test]
fn a_fragment_counts_wherever_it_is_spread() {
    let cost = cost_of(&format!(
        "{{ a: {RECORD} {{ ...F @skip(if: true) }} b: {RECORD} {{ ...F }} ...R }} \
         fragment F on ScreenRecord {{ k: desktop @include(if: true) {{ id }} }} \
         fragment R on Query {{ ... on Query {{ __typename }} }}"
    ));

    assert_eq!((cost.depth, cost.complexity, cost.root_fields), (3, 7, 3));
    assert_eq!((cost.aliases, cost.directives), (4, 3));
}

#[test]
fn a_list_multiplies_what_is_below_it() {
    let list =
        |first: &str| format!("{{ screenRecords(projectId: 1{first}) {{ edges {{ cursor }} }} }}");
    let by_variable = |declared: &str| format!("query({declared}) {}", list(", first: $n"));
    let table = [
        (list(""), json!({}), 1 + 50 * 2),
        (list(", first: 3"), json!({}), 1 + 3 * 2),
        (list(", first: null"), json!({}), 1 + 50 * 2),
        (list(", first: -3"), json!({}), 1 + 2),
        (list(", first: 99999999"), json!({}), 1 + 1000 * 2),
        (by_variable("$n: Int"), json!({}), 1 + 50 * 2),
        (by_variable("$n: Int"), json!({"n": null}), 1 + 50 * 2),
        (by_variable("$n: Int"), json!({"n": 7}), 1 + 7 * 2),
        (by_variable("$n: Int"), json!({"n": -7}), 1 + 2),
        (by_variable("$n: Int = 9"), json!({}), 1 + 9 * 2),
        (by_variable("$n: Int = 9"), json!({"n": 4}), 1 + 4 * 2),
    ];

    for (document, variables, expected) in table {
        let cost = cost_with(&document, None, variables.clone());
        assert_eq!(cost.complexity, expected, "{document} {variables}");
    }
}

#[test]
fn the_list_of_projects_is_as_long_as_the_settings_make_it() {
    let cost = cost_of("{ projects { screenRecords(first: 2) { edges { cursor } } } }");

    assert_eq!(cost.complexity, 1 + 3 * (1 + 2 * 2));
}

#[test]
fn a_refusal_names_the_limit_what_it_allows_and_what_was_sent() {
    let deep = "{__type(name:\"A\"){ofType{name}}}";
    let described =
        "{__schema{types{fields{type{fields{type{fields{type{fields{type{name}}}}}}}}}}}";
    let table = [
        (
            format!("{{{}}}", "b:__typename ".repeat(101)),
            "the request has 101 aliases: limits.max_aliases allows 100",
        ),
        (
            format!("{{{}}}", "__typename @skip(if:true) ".repeat(51)),
            "the request has 51 directives: limits.max_directives allows 50",
        ),
        (
            format!("{{{}}}", "__typename ".repeat(201)),
            "the request has 201 root fields: limits.max_root_fields allows 200",
        ),
        (
            "{screenRecords(projectId:1,first:1000){nodes{operations(first:10){nodes{id}}}}}"
                .into(),
            "the request has a complexity of 22001: limits.max_complexity allows 10000",
        ),
        (
            described.to_owned(),
            "the request has introspection that costs 299554: the gateway allows 100000",
        ),
    ];

    for (document, expected) in table {
        assert_eq!(refusal(cost_of(&document)), expected);
    }
    assert_eq!(cost_of(deep).depth, 0);
}

#[test]
fn entities_are_counted_however_their_keys_are_given() {
    let by_variable = "query($r: [_Any!]!) { _entities(representations: $r) { __typename } }";
    let variables = json!({ "r": vec![json!({}); 1001] });

    let sent = cost_with(by_variable, None, variables);

    let keys = "{} ".repeat(1001);
    let literal = cost_of(&format!("{{_entities(representations:[{keys}]){{__typename}}}}"));
    assert_eq!([sent, literal].map(|cost| cost.representations), [1001; 2]);
    assert_eq!(
        refusal(sent),
        "the request asks for 1001 entities: limits.max_representations allows 1000"
    );
}
