//! Which documents are valid, and what is said of the others.

use std::sync::LazyLock;

use super::*;
use crate::graphql::sdl::validation_schema;

static SCHEMA: LazyLock<Valid<Schema>> = LazyLock::new(validation_schema);

fn parse(text: &str) -> Result<Document, DocumentError> {
    Document::parse(text, None, &SCHEMA, 10_000)
}

/// The code and message of the first error.
fn refusal(text: &str) -> String {
    match parse(text) {
        Ok(_) => format!("{text} is valid"),
        Err(DocumentError::TooComplex(exceeded)) => exceeded.to_string(),
        Err(DocumentError::Invalid(errors)) => {
            let code = errors[0].extensions.as_ref().and_then(|own| own.get("code")).cloned();
            format!("{}: {}", code.unwrap_or_default(), errors[0].message)
        }
    }
}

fn record(selections: &str) -> String {
    format!("{{screenRecord(projectId:\"p\",id:\"i\"){{{selections}}}}}")
}

fn list(filter: &str) -> String {
    format!("screenRecords(projectId:\"p\",filter:{filter}){{totalCount}}")
}

#[test]
fn what_the_specification_allows_is_valid() {
    let documents = [
        "query($b:Boolean!){x1:__typename @include(if:$b)}".to_owned(),
        "query($n:[ String ! ]){".to_owned() + &list("{desktopNames:$n}") + "}",
        "query($b:Boolean! = true){__typename @skip(if:$b) @include(if:$b)}".to_owned(),
        "{screenRecord(projectId:\"\\uD83D\\uDE00\",id:\"\\u{41}\"){id}}".to_owned(),
        "{screenRecord(projectId:123456789012345678901234567890,id:-0){id}}".to_owned(),
        "{screenRecords(projectId:1,first:-0){totalCount}}".to_owned(),
        record("id id ... on ScreenRecord{id} ...{size}"),
        "subscription{...F} fragment F on Subscription{screenRecord(projectId:1,id:2){id}}".into(),
        "subscription{screenRecord(projectId:1,id:2){id}screenRecord(projectId:1,id:2){size}}"
            .into(),
        "\u{feff}{__typename,,,#\n}".to_owned(),
        "query query{...fragment} fragment fragment on Query{__typename}".to_owned(),
        "query($r:[_Any!]!){_entities(representations:$r){...on ScreenRecord{id}}}".to_owned(),
        "{".to_owned()
            + &list("{startedAfter:\"2026-01-01T00:00:00+08:00\",status:UPLOADING}")
            + "}",
    ];

    for document in &documents {
        assert!(parse(document).is_ok(), "{}", refusal(document));
    }
}

#[test]
fn operations_fragments_and_variables_may_be_described() {
    let documents = [
        r#""An operation" query Q { __typename }"#,
        r#""""An operation {""" query Q("a project" $p: ID!, """an "id" 桌""" $r: ID = "x" "and" $s: ID!)
            { a: screenRecord(projectId: $p, id: $r) { ...F } b: screenRecord(projectId: $p, id: $s) { id } }
            "A fragment" fragment F on ScreenRecord { id }"#,
    ];
    for document in documents {
        assert!(parse(document).is_ok(), "{}", refusal(document));
    }

    for document in [
        r#""No shorthand" { __typename }"#,
        r#"query "within" Q { __typename }"#,
        r#"{ "a field" __typename }"#,
        r#"query("x" "y" $p: ID!) { screenRecord(projectId: $p, id: $p) { id } }"#,
        r#"query @skip("x" if: true) { __typename }"#,
    ] {
        assert!(refusal(document).starts_with("\"GRAPHQL_PARSE_FAILED\""), "{}", refusal(document));
    }
}

#[test]
fn what_the_specification_forbids_is_refused() {
    let conflict =
        "{a:screenRecord(projectId:1,id:2){x:id}a:screenRecord(projectId:1,id:2){x:size}}";
    let documents = [
        conflict.to_owned(),
        "query($i:ID){screenRecord(projectId:1,id:$i){id}}".to_owned(),
        "{".to_owned() + &list("{status:\"UPLOADING\"}") + "}",
        "{".to_owned() + &list("{status:UPLOADING,status:UPLOADING}") + "}",
        "{__typename @skip}".to_owned(),
        "{__typename @skip(if:true) @skip(if:true)}".to_owned(),
        "subscription{a:screenRecord(projectId:1,id:2){id}b:screenRecord(projectId:1,id:2){id}}"
            .into(),
        "{__typename{x}}".to_owned(),
        record("nonsense"),
        record("...on Desktop{id}"),
        record("id @defer"),
        "{...F} fragment F on Query{...F}".to_owned(),
        "{__typename} fragment F on Query{__typename}".to_owned(),
        "{...F} fragment F on Query{__typename} fragment F on Query{__typename}".to_owned(),
        "query($a:[Nope]=[1]){__typename}".to_owned(),
        "mutation{a}".to_owned(),
        "type A{b:Int}".to_owned(),
        "{screenRecords(projectId:1,first:2147483648){totalCount}}".to_owned(),
    ];
    for document in &documents {
        assert!(
            refusal(document).starts_with("\"GRAPHQL_VALIDATION_FAILED\""),
            "{}",
            refusal(document)
        );
    }

    for document in [
        "",
        "{",
        "{}",
        "query Q(){__typename}",
        "{__typename()}",
        "{é}",
        "{__typename}}",
        "{a(b:01)}",
    ] {
        assert!(refusal(document).starts_with("\"GRAPHQL_PARSE_FAILED\""), "{}", refusal(document));
    }
}

#[test]
fn variables_inside_lists_and_objects_have_to_fit() {
    let document = |declared: &str, filter: &str| format!("query({declared}){{{}}}", list(filter));
    for (declared, filter) in [
        ("$n:String!", "{desktopNames:[$n]}"),
        ("$n:String! = \"x\"", "{desktopNames:[$n]}"),
        ("$u:String", "{username:$u}"),
        ("$t:DateTime", "{startedAfter:$t}"),
    ] {
        let document = document(declared, filter);
        assert!(parse(&document).is_ok(), "{}", refusal(&document));
    }
    for (declared, filter) in [
        ("$n:String", "{desktopNames:[$n]}"),
        ("$n:[String!]", "{desktopNames:[$n]}"),
        ("$u:[String]", "{username:$u}"),
        ("$u:ID", "{username:$u}"),
        ("$b:Boolean", "{username:$u}"),
    ] {
        let document = document(declared, filter);
        assert!(refusal(&document).contains("VALIDATION_FAILED"), "{}", refusal(&document));
    }
    let null_default = "query($b:Boolean = null){__typename @skip(if:$b)}";
    assert!(refusal(null_default).contains("VALIDATION_FAILED"), "{}", refusal(null_default));
    let undefined =
        "{_entities(representations:[{__typename:\"ScreenRecord\",id:$i}]){__typename}}";
    assert!(refusal(undefined).contains("`$i` is not defined"), "{}", refusal(undefined));
}

#[test]
fn literals_of_custom_scalars_are_checked() {
    for (filter, is_valid) in [
        ("{startedAfter:\"2026-01-01T00:00:00Z\"}", true),
        ("{startedAfter:null}", true),
        ("{startedAfter:\"yesterday\"}", false),
        ("{startedAfter:1}", false),
        ("{startedAfter:UPLOADING}", false),
    ] {
        let document = format!("{{{}}}", list(filter));
        assert_eq!(parse(&document).is_ok(), is_valid, "{document}");
        let default = format!("query($f:ScreenRecordFilter={filter}){{{}}}", list("$f"));
        assert_eq!(parse(&default).is_ok(), is_valid, "{default}");
    }
    assert_eq!(
        refusal(&format!("{{{}}}", list("{startedAfter:\"yesterday\"}"))),
        "\"GRAPHQL_VALIDATION_FAILED\": Failed to parse \"DateTime\": \"yesterday\" is not an instant: write \
         YYYY-MM-DDTHH:MM:SS.sssZ, or with an offset such as +08:00 in place of Z"
    );
}

#[test]
fn errors_have_the_places_that_the_client_knows() {
    for (text, place) in [
        ("{\r\n\r nonsense}", Pos { line: 3, column: 2 }),
        ("\"\"\"桌\n面\"\"\" query Q{nonsense}", Pos { line: 2, column: 14 }),
        ("{__typename} #桌\n{", Pos { line: 2, column: 2 }),
        ("query($i:ID){screenRecord(projectId:1,id:$i){id}}", Pos { line: 1, column: 39 }),
    ] {
        let Err(DocumentError::Invalid(errors)) = parse(text) else { panic!("{text} is valid") };
        assert_eq!(errors[0].locations, [place], "{text}: {}", errors[0].message);
    }
}

/// Texts with running numbers from 0, one after the other.
fn each(times: usize, text: impl Fn(usize) -> String) -> String {
    (0..times).map(text).collect::<Vec<_>>().concat()
}

#[test]
fn what_would_recurse_too_deep_is_refused_before_it_is_parsed_or_validated() {
    let chain = each(900, |link| format!("fragment f{link} on Query{{...f{}}}", link + 1));
    let wide = each(60, |link| {
        format!(
            "fragment g{link} on Query{{{}...g{}{}}}",
            "...{".repeat(40),
            link + 1,
            "}".repeat(40)
        )
    });
    for document in [
        format!("{{a(b:{}", "[".repeat(10_000)),
        "{a".repeat(5_000),
        format!("query($a:{}){{a}}", "[".repeat(10_000)),
        format!("{{...f0}}{chain}fragment f900 on Query{{__typename}}"),
        format!("{{...g0}}{wide}fragment g60 on Query{{__typename}}"),
    ] {
        let nesting = "the request nests selections or brackets 65 deep: the gateway allows 64";
        assert_eq!(refusal(&document), nesting);
    }
}

#[test]
fn tokens_and_operations_are_limited() {
    let tokens = "the request has 10001 tokens: limits.max_tokens allows 10000";
    assert_eq!(refusal(&format!("{{{}}}", "a ".repeat(9_999))), tokens);
    let ignored = format!("{{__typename{}}}", ", #\n".repeat(20_000));
    assert_eq!(parse(&ignored).unwrap().tokens, 3);

    let operations = each(51, |number| format!("query Q{number}{{__typename}}"));
    let allowed = "the request has a document with 51 operations: the gateway allows 50";
    assert_eq!(refusal(&operations), allowed);
}

#[test]
fn fragments_that_expand_too_far_are_refused_before_validation() {
    let bomb = |spreads: usize| {
        let links = each(30, |link| {
            format!("fragment f{link} on Query{{{}}}", format!("...f{} ", link + 1).repeat(spreads))
        });
        format!("{{...f0}}{links}fragment f30 on Query{{__typename}}")
    };
    let too_many =
        "the request expands to 50001 selections: five times limits.max_tokens allows 50000";

    assert_eq!(refusal(&bomb(2)), too_many);
    assert_eq!(refusal(&bomb(9)), too_many);
    let unused = bomb(2).replacen("{...f0}", "{__typename}", 1);
    assert_eq!(refusal(&unused), too_many);
    let elsewhere = bomb(2).replacen("{...f0}", "query Bomb{...f0} query Small{__typename}", 1);
    assert!(refusal(&elsewhere).starts_with("the request expands to"), "{}", refusal(&elsewhere));
}
