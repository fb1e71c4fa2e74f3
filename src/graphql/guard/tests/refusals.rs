//! What is refused, and with which words.

use async_graphql::Variables;
use serde_json::json;

use super::{bomb, each, guard, measure, refusal};
use crate::config::LimitsConfig;
use crate::graphql::guard::{Guard, INPUT_TYPES, Limit, Refusal};

#[test]
fn a_bomb_of_fragments_is_refused_before_the_parser() {
    let document = bomb(30);
    assert!(document.len() < 1_300, "{}", document.len());

    let sent = measure(&document).unwrap();
    let refusal = guard().admit(&[sent]).unwrap_err();

    assert_eq!(refusal.code(), "QUERY_TOO_COMPLEX");
    assert_eq!(sent.fields, 1 << 30);
    assert_eq!(
        refusal.to_string(),
        "the request has a complexity of 1073741824: limits.max_complexity allows 10000"
    );
}

#[test]
fn a_bomb_in_an_operation_that_is_not_selected_is_refused_all_the_same() {
    let document = bomb(30).replacen("{...f0}", "query Bomb{...f0} query Small{__typename}", 1);

    let sent = guard().measure(&document, Some("Small"), &super::no_variables()).unwrap();
    let refusal = guard().admit(&[sent]).unwrap_err();

    assert_eq!(sent.fields, 1);
    assert!(matches!(refusal, Refusal::TooComplex { limit: Limit::Validation, .. }), "{refusal}");
}

#[test]
fn sums_stop_at_the_largest_number() {
    let links = each(60, |link| {
        format!("fragment f{link} on Q{{{}}}", format!("...f{} ", link + 1).repeat(9))
    });
    let document = format!("{{...f0}}{links}fragment f60 on Q{{a:b@c}}");

    let sent = measure(&document).unwrap();

    assert_eq!(sent.fields, usize::MAX);
    assert_eq!(sent.aliases, usize::MAX);
    assert_eq!(sent.and(sent).complexity, usize::MAX);
}

#[test]
fn a_refusal_names_the_limit_what_it_allows_and_what_was_sent() {
    let fields = |count: usize| "a ".repeat(count);
    let table = [
        (
            "{a".repeat(11) + &"}".repeat(11),
            "the request has a depth of 11: limits.max_depth allows 10",
        ),
        (
            format!("{{{}}}", "a:b ".repeat(101)),
            "the request has 101 aliases: limits.max_aliases allows 100",
        ),
        (
            format!("{{{}}}", "b @c ".repeat(51)),
            "the request has 51 directives: limits.max_directives allows 50",
        ),
        (
            format!("{{{}}}", fields(9_999)),
            "the request has 10001 tokens: limits.max_tokens allows 10000",
        ),
        (
            format!("{{{}}}", fields(12_000)) + "\u{0}",
            "the request has 12002 tokens: limits.max_tokens allows 10000",
        ),
        (
            "{screenRecords(first:1000){operations(first:10){id}}}".to_owned(),
            "the request has a complexity of 11001: limits.max_complexity allows 10000",
        ),
        (
            "{__schema{types{fields{type{fields{type{fields{type{fields{type{name}}}}}}}}}}}"
                .to_owned(),
            "the request has introspection that costs 299554: the gateway allows 100000",
        ),
        (
            format!("{{a(b:{}", "[".repeat(10_000)),
            "the request nests selections or brackets 65 deep: the gateway allows 64",
        ),
        (
            format!("{{{}}}", "a".repeat(129)),
            "the request has a name or number of 129 bytes: the gateway allows 128",
        ),
        (
            format!("{{a({})}}", "b:1 ".repeat(101)),
            "the request has a field or directive with 101 arguments: the gateway allows 100",
        ),
        (
            "query Q{a}".repeat(51),
            "the request has a document with 51 operations: the gateway allows 50",
        ),
        (
            format!("query({}){{a}}", "$a:Int ".repeat(501)),
            "the request has an operation with 501 variables: the gateway allows 500",
        ),
    ];

    for (document, expected) in table {
        assert_eq!(refusal(&document), expected);
    }
}

#[test]
fn what_is_at_a_limit_is_admitted_and_one_more_is_not() {
    let limits = LimitsConfig {
        max_depth: 2,
        max_aliases: 1,
        max_directives: 1,
        max_complexity: 3,
        max_tokens: 12,
        ..LimitsConfig::default()
    };
    let guard = Guard::new(&limits);
    let admit = |document| {
        let sent = guard.measure(document, None, &super::no_variables())?;
        guard.admit(&[sent])
    };

    admit("{a:b@c{d} e}").unwrap();

    for document in ["{a{b{c}}}", "{a:b a:b}", "{a@c b@c}", "{a b c d}", "{a b c(d:[1 2 3 4 5])}"] {
        let refusal = admit(document).expect_err(document);
        assert_eq!(refusal.code(), "QUERY_TOO_COMPLEX", "{document}");
    }
}

#[test]
fn a_batch_is_refused_for_what_its_operations_ask_together() {
    let half = measure(&format!("{{{}}}", "a:b ".repeat(51))).unwrap();

    guard().admit(&[half]).unwrap();
    let refusal = guard().admit(&[half, half]).unwrap_err();

    assert_eq!(refusal, Refusal::TooComplex { limit: Limit::Aliases, allowed: 100, sent: 102 });
}

#[test]
fn a_cycle_of_fragments_is_named() {
    let table = [
        ("{...A}fragment A on Q{...A}", "A -> A"),
        (
            "{a}fragment A on Q{...B}fragment B on Q{b{...C}}fragment C on Q{...{...B}}",
            "B -> C -> B",
        ),
    ];

    for (document, cycle) in table {
        let refusal = measure(document).unwrap_err();

        assert_eq!(refusal.code(), "GRAPHQL_VALIDATION_FAILED");
        assert_eq!(refusal.to_string(), format!("fragments spread themselves in a cycle: {cycle}"));
    }
}

#[test]
fn a_long_cycle_is_cut_in_the_message() {
    let links = each(600, |link| format!("fragment f{link} on Q{{...f{}}}", (link + 1) % 600));

    let refusal = measure(&format!("{{a}}{links}")).unwrap_err().to_string();

    assert!(refusal.ends_with("f0 -> f1 -> f2 -> f3 -> f4 -> f5 -> f6 -> f7 -> ... -> f0"));
}

#[test]
fn a_chain_of_fragments_nests() {
    let links = each(900, |link| format!("fragment f{link} on Q{{...f{}}}", link + 1));

    let refusal = refusal(&format!("{{a}}{links}fragment f900 on Q{{a}}"));

    assert_eq!(refusal, "the request nests selections or brackets 65 deep: the gateway allows 64");
}

#[test]
fn a_second_fragment_of_a_name_is_refused() {
    let refusal = measure("{...A}\nfragment A on Q{a}\nfragment A on Q{b}").unwrap_err();

    assert_eq!(refusal.to_string(), "there is more than one fragment \"A\"");
    assert_eq!(refusal.location(), Some((3, 10)));
}

#[test]
fn a_default_for_a_list_of_an_unknown_type_is_refused() {
    for default in ["1", "[1]", "[[1]]"] {
        let refusal = measure(&format!("query($a:[[Nope!]!]={default}){{a}}")).unwrap_err();

        assert_eq!(refusal.to_string(), "unknown input type \"Nope\"");
        assert_eq!(refusal.location(), Some((1, 10)));
    }
    for known in INPUT_TYPES {
        measure(&format!("query($a:[{known}]=[1]){{a}}")).unwrap();
    }
}

#[test]
fn what_is_not_graphql_is_refused_with_its_place() {
    let table = [
        ("", (1, 1), "expected an operation, found the end of the document"),
        ("{", (1, 2), "expected a field or \"...\", found the end of the document"),
        ("{}", (1, 2), "expected a field or \"...\", found \"}\""),
        ("{a}}", (1, 4), "expected an operation or a fragment, found \"}\""),
        ("{a\r\n b{\r\n}}", (3, 1), "expected a field or \"...\", found \"}\""),
        ("{é}", (1, 2), "unexpected character 'é'"),
        ("{a # é\n ¤}", (2, 2), "unexpected character '¤'"),
        ("{a..}", (1, 3), "unexpected character '.'"),
        ("{a(b:01)}", (1, 6), "a number begins with 0"),
        ("{a(b:-)}", (1, 6), "a number lacks a digit"),
        ("{a(b:1.)}", (1, 6), "a number lacks a digit"),
        ("{a(b:1e)}", (1, 6), "a number lacks a digit"),
        ("{a(b:1x)}", (1, 6), "a number runs into what follows it"),
        ("{a(b:\"x\n\")}", (1, 6), "a string is not closed on its line"),
        ("{a(b:\"x\\", (1, 6), "a string is not closed on its line"),
        ("{a(b:\"\"\"x\"\")}", (1, 6), "a block string is not closed"),
        ("{a(b:)}", (1, 6), "expected a value, found \")\""),
        ("{a()}", (1, 4), "expected a name, found \")\""),
        ("{a(b 1)}", (1, 6), "expected \":\", found \"1\""),
        ("{...}", (1, 5), "expected \"{\", found \"}\""),
        ("{a:}", (1, 4), "expected a name, found \"}\""),
        ("queryfoo{a}", (1, 1), "expected an operation or a fragment, found \"queryfoo\""),
        ("fragment on on Q{a}", (1, 10), "expected a fragment's name, found \"on\""),
        ("fragment A Q{a}", (1, 12), "expected \"on\", found \"Q\""),
        ("query($a){a}", (1, 9), "expected \":\", found \")\""),
        ("query($a:[Int){a}", (1, 14), "expected \"]\", found \")\""),
        ("type A{b:Int}", (1, 1), "expected an operation or a fragment, found \"type\""),
    ];

    for (document, place, message) in table {
        let refusal = measure(document).expect_err(document);

        assert_eq!(refusal.code(), "GRAPHQL_PARSE_FAILED", "{document}");
        assert_eq!(refusal.to_string(), message, "{document}");
        assert_eq!(refusal.location(), Some(place), "{document}");
    }
}

#[test]
fn fields_of_the_root_are_counted_over_all_operations_of_a_request() {
    let sent = measure(&format!("{{{}}}", "a ".repeat(101))).unwrap();

    let refusal = guard().admit(&[sent, sent]).unwrap_err();

    assert_eq!(
        refusal.to_string(),
        "the request has 202 root fields: limits.max_root_fields allows 200"
    );
}

#[test]
fn entities_are_counted_however_their_keys_are_given() {
    let document = "query($r: [_Any!]!) { _entities(representations: $r) { id } }";
    let variables = Variables::from_json(json!({ "r": vec![json!({}); 1001] }));

    let sent = guard().measure(document, None, &variables).unwrap();
    let refusal = guard().admit(&[sent]).unwrap_err();

    let literal = format!("{{_entities(representations:[{}]){{id}}}}", "{} ".repeat(1001));
    assert_eq!([sent, measure(&literal).unwrap()].map(|sent| sent.representations), [1001; 2]);
    assert_eq!(
        refusal.to_string(),
        "the request asks for 1001 entities: limits.max_representations allows 1000"
    );
}
