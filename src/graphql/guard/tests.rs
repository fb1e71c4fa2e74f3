use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn guard() -> Guard {
    Guard::new(&LimitsConfig::default())
}

fn measure(document: &str) -> Measure {
    guard().measure(document).unwrap()
}

/// Fragments that each spread the next one twice.
fn bomb(fragments: usize) -> String {
    let mut document = "{...f0}".to_owned();
    for at in 0..fragments {
        write!(document, "fragment f{at} on Query{{...f{next} ...f{next}}}", next = at + 1)
            .unwrap();
    }
    document + &format!("fragment f{fragments} on Query{{__typename}}")
}

#[test]
fn an_ordinary_query_is_measured_as_it_reads() {
    let document = r#"
        # comment { { {
        query Q($id: ID! = "}" @deprecated, $o: O = {a: [1, {b: 2}]}) @live {
          one: screenRecord(projectId: "p", id: $id) { id ...F desktop { id } }
          ... on Query @include(if: true) { __typename }
        }
        fragment F on ScreenRecord { a: username size """ not a field """ }
    "#
    .replace(r#"""" not a field """"#, "");

    let measure = measure(&document);

    assert_eq!((measure.depth, measure.complexity, measure.aliases), (3, 7, 2));
    assert_eq!((measure.directives, measure.introspection), (3, 0));
}

#[test]
fn fragments_count_wherever_they_are_spread() {
    let document = "{ a { ...F } b { c { ...F } } } fragment F on T { x { y: z @d } }";

    let measure = measure(document);

    assert_eq!((measure.depth, measure.complexity), (4, 7));
    assert_eq!((measure.aliases, measure.directives), (2, 2));
}

#[test]
fn thirty_fragments_of_900_bytes_that_expand_to_a_billion_fields_are_refused() {
    let document = bomb(30);

    let refusal = guard().measure(&document).unwrap_err();

    let expected = Refusal::OverLimit {
        what: "fields",
        limit: "limits.max_complexity",
        allowed: 10_000,
        sent: 1 << 30,
    };
    assert_eq!(refusal, expected);
    assert_eq!(
        refusal.to_string(),
        "the request has 1073741824 fields: limits.max_complexity allows 10000"
    );
}

#[test]
fn fragments_in_a_circle_are_refused() {
    let document = "{ ...A } fragment A on Q { ...B } fragment B on Q { x ...A }";

    let refusal = guard().measure(document).unwrap_err();

    assert!(matches!(refusal, Refusal::FragmentCycle(_)), "{refusal:?}");
}

#[test]
fn each_limit_is_named_with_its_value_and_what_was_sent() {
    for (document, expected) in [
        (
            "{".to_owned() + &"a{".repeat(10) + "a" + &"}".repeat(11),
            "the request has 11 levels of fields: limits.max_depth allows 10",
        ),
        (
            "{".to_owned() + &"a:b ".repeat(101) + "}",
            "the request has 101 aliases: limits.max_aliases allows 100",
        ),
        (
            "{a ".to_owned() + &"@d ".repeat(51) + "}",
            "the request has 51 directives: limits.max_directives allows 50",
        ),
        ("a ".repeat(20_000), "the request has 10001 tokens: limits.max_tokens allows 10000"),
    ] {
        assert_eq!(guard().measure(&document).unwrap_err().to_string(), expected);
    }
}

#[test]
fn limits_are_those_of_a_whole_batch() {
    let measures = [measure(&("{".to_owned() + &"a:b ".repeat(60) + "}")); 2];

    let refusal = guard().admit(&measures).unwrap_err();

    assert_eq!(refusal.to_string(), "the request has 120 aliases: limits.max_aliases allows 100");
}

#[test]
fn introspection_does_not_count_towards_depth_but_is_bounded() {
    let deep = "{ __schema { types { fields { type { ofType { ofType { ofType { ofType { ofType { ofType { name } } } } } } } } } } }";
    let nested = "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }";

    assert_eq!(measure(deep).depth, 0);
    let refusal = guard().measure(nested).unwrap_err();
    assert!(matches!(refusal, Refusal::OutOfBounds(_)), "{refusal:?}");
}

#[test]
fn brackets_cannot_nest_so_deep_that_the_parser_runs_out_of_stack() {
    for (open, close) in [("{a", "}"), ("[", "]"), ("(a:{b:", "})")] {
        let document = format!("{{a(b:{}{})}}", open.repeat(5000), close.repeat(5000));

        let cut: String = document.chars().take(9000).collect();

        let refusal = guard().measure(&cut).unwrap_err();

        assert!(matches!(refusal, Refusal::OutOfBounds(_)), "{open}: {refusal:?}");
    }
}

#[test]
fn strings_and_comments_hide_what_they_hold() {
    for document in [
        r#"{ a(b: "} \" {{{{ @d") }"#,
        r#"{ a(b: """ } \""" {{{{ " @d""") }"#,
        "{ a # } {{{{ @d \" \n }",
    ] {
        let measure = measure(document);

        assert_eq!(
            (measure.complexity, measure.depth, measure.directives),
            (1, 1, 0),
            "{document}"
        );
    }
}

#[test]
fn what_cannot_be_graphql_is_refused_where_it_is() {
    for (document, offset) in [("{ a \"", 4), ("{ a ; }", 4), ("{ ü }", 2), ("{ .. }", 2)] {
        let refusal = guard().measure(document).unwrap_err();

        assert!(
            matches!(refusal, Refusal::Syntax { offset: at, .. } if at == offset),
            "{document}: {refusal:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_panics(document in "\\PC{0,400}") {
        let _ = guard().measure(&document);
    }

    #[test]
    fn no_token_soup_panics(
        tokens in proptest::collection::vec(
            prop::sample::select(vec!["{", "}", "(", ")", "[", "]", "...", "on", "fragment", "a", ":", "@", "$", "\"s\"", "1", "query"]),
            0..300,
        ),
    ) {
        let _ = guard().measure(&tokens.join(" "));
    }
}
