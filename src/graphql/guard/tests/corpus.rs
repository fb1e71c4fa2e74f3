//! Documents of a given size that are hard on somebody: a lexer, a parser, a validator, a stack.

use super::{bomb, each, introspection_query};

/// Every family of hard documents, each of about so many bytes.
pub(super) fn corpus(bytes: usize) -> Vec<(&'static str, String)> {
    let mut corpus = lexical(bytes);
    corpus.extend(nested(bytes));
    corpus.extend(broken(bytes));
    corpus.extend(flat(bytes));
    corpus.extend(of_arguments(bytes));
    corpus.extend(of_fragments(bytes));
    corpus.extend(of_linked_fragments(bytes));
    corpus.extend(of_operations(bytes));
    corpus
}

/// A text again and again, up to so many bytes.
fn fill(bytes: usize, text: &str) -> String {
    text.repeat(bytes / text.len())
}

/// Texts with running numbers, up to so many bytes.
fn count(bytes: usize, text: impl Fn(usize) -> String) -> String {
    let mut filled = String::new();
    let mut number = 0;
    while filled.len() < bytes {
        filled += &text(number);
        number += 1;
    }
    filled
}

fn lexical(bytes: usize) -> Vec<(&'static str, String)> {
    let value =
        |value: String| format!("{{ screenRecord(projectId: \"p\", id: {value}) {{ id }} }}");
    let around = |ignored: &str| format!("{{ __typename {} }}", fill(bytes, ignored));
    vec![
        ("one string", value(format!("\"{}\"", fill(bytes, "x")))),
        ("escapes", value(format!("\"{}\"", fill(bytes, "\\u0041")))),
        ("wide characters", value(format!("\"{}\"", fill(bytes, "\u{1f3a5}")))),
        ("a block string of lines", value(format!("\"\"\"{}\"\"\"", fill(bytes, "\n x")))),
        ("a block string of quotes", value(format!("\"\"\"{}\"\"\"", fill(bytes, "\\\"\"\"")))),
        (
            "a block string of wide blanks",
            value(format!("\"\"\"{}\"\"\"", fill(bytes, "\n \u{a0}"))),
        ),
        ("one number", value(fill(bytes, "1"))),
        ("one fraction", value(format!("0.{}", fill(bytes, "1")))),
        ("one exponent", value(format!("1e{}", fill(bytes, "1")))),
        ("one name", format!("{{{}}}", fill(bytes, "a"))),
        ("comments", around("#\n")),
        ("one comment", format!("{{ __typename #{}\n}}", fill(bytes, "x"))),
        ("commas", around(",")),
        ("blanks", around(" ")),
        ("byte order marks", around("\u{feff}")),
    ]
}

fn nested(bytes: usize) -> Vec<(&'static str, String)> {
    let nest = |start: &str, middle: &str, end: &str, times: usize| {
        start.repeat(times) + middle + &end.repeat(times)
    };
    vec![
        ("fields all the way", nest("{a", "", "}", bytes / 3)),
        ("inline fragments all the way", format!("{{{}}}", nest("...{", "a", "}", bytes / 5))),
        ("lists all the way", format!("{{a(b:{})}}", nest("[", "", "]", bytes / 2))),
        ("objects all the way", format!("{{a(b:{})}}", nest("{a:", "1", "}", bytes / 4))),
        ("types all the way", format!("query($a:{}){{a}}", nest("[", "Int", "]", bytes / 2))),
        (
            "wide below inline fragments",
            format!("{{{}}}", nest("...{", &fill(bytes, "__typename "), "}", 62)),
        ),
        (
            "wide below a few inline fragments",
            of_record(&nest("...{", &fill(bytes, "id "), "}", 3)),
        ),
        ("wide values", format!("{{a(b:{})}}", nest("[", &fill(bytes, "1 "), "]", 60))),
        (
            "introspection without end",
            format!("{{__schema{}}}", nest("{types{fields{type", "{name}", "}}}", 20)),
        ),
        ("one introspection", introspection_query(13)),
        (
            "introspection by many names",
            format!("{{{}}}", count(bytes, |n| format!("a{n}:__schema{{types{{name}}}}"))),
        ),
    ]
}

fn broken(bytes: usize) -> Vec<(&'static str, String)> {
    vec![
        ("open fields", fill(bytes, "{a")),
        ("open arguments", fill(bytes, "{a(b:")),
        ("open lists", format!("{{a(b:{}", fill(bytes, "["))),
        ("open inline fragments", format!("{{{}", fill(bytes, "...on A{"))),
        ("an open string", format!("{{a(b:\"{}", fill(bytes, "x"))),
        ("an open block string", format!("{{a(b:\"\"\"{}", fill(bytes, "\"\" "))),
        ("quotes", format!("{{a(b:[{}", fill(bytes, "\"\"\"\"\" "))),
        ("backslashes", format!("{{a(b:\"{}", fill(bytes, "\\"))),
        ("dots", fill(bytes, ".")),
        ("closing braces", format!("{{a{}", fill(bytes, "}"))),
        ("zero bytes", fill(bytes, "\0")),
        ("wide then broken", format!("{{a{{{}", fill(bytes, "a "))),
    ]
}

const RECORD: &str = "screenRecord(projectId:\"p\",id:\"i\")";

fn of_record(selections: &str) -> String {
    format!("{{{RECORD}{{{selections}}}}}")
}

fn flat(bytes: usize) -> Vec<(&'static str, String)> {
    let lists = "screenRecords(projectId:\"p\",first:1000){operations(first:1000){id}}";
    let same_record = fill(bytes, &format!("{RECORD}{{id}}"));
    let records = count(bytes, |n| format!("a{n}:{RECORD}{{id}}"));
    let lists_of_lists = count(bytes, |n| format!("a{n}:{lists}"));
    let few_records = each(90, |n| format!("a{n}:{RECORD}{{id projectId desktop{{id}} id id}}"));
    let few_lists = each(9, |n| format!("a{n}:{}", lists.replace("1000", "30")));
    vec![
        ("the same field", of_record(&fill(bytes, "id "))),
        ("the same record", format!("{{{same_record}}}")),
        ("few fields far apart", of_record(&fill(bytes, "id,,,,,,,,,,,,,,,,,,,,"))),
        ("unknown fields", of_record(&count(bytes, |n| format!("f{n} ")))),
        ("conflicting fields", of_record(&fill(bytes, "a:id a:projectId "))),
        ("a few conflicting fields", of_record(&"a:id a:projectId ".repeat(50))),
        ("names by alias", of_record(&count(bytes, |n| format!("a{n}:id ")))),
        ("records by alias", format!("{{{records}}}")),
        ("a few records by alias", format!("{{{few_records}}}")),
        ("lists of lists", format!("{{{lists_of_lists}}}")),
        ("a few lists of lists", format!("{{{few_lists}}}")),
        (
            "unknown directives",
            of_record(&("id ".to_owned() + &count(bytes, |n| format!("@x{n} ")))),
        ),
        ("known directives", of_record(&("id ".to_owned() + &fill(bytes, "@skip(if:false)")))),
        ("a few directives", of_record(&"id@skip(if:false)@include(x:1)".repeat(25))),
    ]
}

fn of_arguments(bytes: usize) -> Vec<(&'static str, String)> {
    let query =
        |filter: &str| format!("{{screenRecords(projectId:\"p\",filter:{{{filter}}}){{id}}}}");
    let variables = count(bytes / 2, |n| format!("$a{n}:ID "));
    let usages = count(bytes / 2, |n| format!("a{n}:id(x:$a{n}) "));
    let undefined = count(bytes, |n| format!("screenRecord(projectId:$a{n},id:$b{n}){{id}}"));
    let unknown = count(bytes, |n| format!("x{n}:1 "));
    let hundred = each(100, |n| format!("x{n}:1 "));
    let used = each(490, |n| format!("$a{n}:ID "));
    vec![
        ("unknown arguments", format!("{{screenRecord({unknown}){{id}}}}")),
        ("equal arguments again", format!("{{{}}}", fill(bytes, &format!("id({hundred})")))),
        ("a long list", query(&format!("desktopNames:[{}]", fill(bytes, "\"x\"")))),
        ("a long object", query(&unknown)),
        ("variables", format!("query({variables}){{{usages}}}")),
        (
            "variables used at the end",
            format!("query({used}){{{}}}", fill(bytes / 2, "id(x:$a489)")),
        ),
        ("unused variables", format!("query({variables}){{__typename}}")),
        ("undefined variables", format!("query Q{{{undefined}}}")),
        ("a default of an unknown type", "query($a:[Nope]=[1]){__typename}".to_owned()),
    ]
}

fn of_fragments(bytes: usize) -> Vec<(&'static str, String)> {
    let wide = fill(bytes / 2, "__typename ");
    let wide = |spreads: &str| {
        let spreads = fill(bytes / 2, spreads);
        format!("{{{spreads}}}fragment f on Query{{{wide}}}")
    };
    let unused = count(bytes, |n| format!("fragment f{n} on Query{{__typename}}"));
    let unknown_types = count(bytes, |n| format!("fragment f{n} on T{n}{{a}}"));
    let names = "id ".repeat(300);
    let shared = format!("{RECORD}{{...f}}").repeat(30);
    vec![
        ("unused fragments", format!("{{__typename}}{unused}")),
        ("fragments on unknown types", format!("{{__typename}}{unknown_types}")),
        ("a wide one spread often", wide("...f ")),
        ("a wide one spread in many sets", wide("...{...f}")),
        (
            "one spread by many records",
            format!("{{{shared}}}fragment f on ScreenRecord{{{names}}}"),
        ),
        ("unknown fragments", format!("{{{}}}", count(bytes, |n| format!("...f{n} ")))),
        ("fragments of one name", format!("{{...f}}{}", fill(bytes, "fragment f on Query{a}"))),
        ("inline fragments", format!("{{{}}}", fill(bytes, "...on Query{__typename}"))),
        ("spreads that read two ways", format!("{{{}}}", fill(bytes, "...on#\nQuery{__typename}"))),
    ]
}

fn of_linked_fragments(bytes: usize) -> Vec<(&'static str, String)> {
    let link = |n: usize, selections: &str| format!("fragment f{n} on Query{{{selections}}}");
    let linked = |fragments: String| format!("{{...f0}}{fragments}");
    let end = |n: usize| link(n, "__typename");
    let diamond = |times: usize| {
        let layers = each(times, |n| link(n, &format!("...f{0} __typename ...f{0}", n + 1)));
        linked(layers + &end(times))
    };
    let filler = fill(bytes / 64, "__typename ");
    let all_below = each(60, |n| link(n, &each(60 - n, |m| format!("...f{} ", n + m + 1))));
    vec![
        ("a bomb of 30", bomb(30)),
        ("a bomb of 62", bomb(62)),
        ("a bomb of all", bomb(bytes / 34)),
        ("a small bomb", diamond(11)),
        ("a smaller bomb", diamond(5)),
        ("a chain", linked(count(bytes, |n| link(n, &format!("...f{}", n + 1))))),
        (
            "a chain of wide ones",
            linked(each(60, |n| link(n, &format!("{filler}...f{}", n + 1))) + &end(60)),
        ),
        ("a cycle", linked(count(bytes, |n| link(n, &format!("...f{}", n / 2))))),
        ("all spread all below them", linked(all_below + &end(60))),
    ]
}

fn of_operations(bytes: usize) -> Vec<(&'static str, String)> {
    let wide = fill(bytes / 2, "__typename ");
    let undefined = fill(bytes / 2, "__type(name:$v){name}");
    let differing = each(800, |n| format!("x(a:$v{n})"));
    let all = |times: usize, selections: &str| {
        each(times, |n| format!("query Q{n}{{...f}}"))
            + &format!("fragment f on Query{{{selections}}}")
    };
    vec![
        ("operations", count(bytes, |n| format!("query Q{n}{{__typename}}"))),
        ("a few operations", each(50, |n| format!("query Q{n}{{__typename}}"))),
        ("operations without names", fill(bytes, "{a}")),
        ("operations that all spread a wide fragment", all(50, &wide)),
        ("operations with undefined variables", all(50, &undefined)),
        ("a few operations with undefined variables", all(8, &differing)),
        (
            "a long name and undefined variables",
            format!("query {}{{{differing}}}", "Q".repeat(128)),
        ),
        ("mutations", fill(bytes, "mutation{a}")),
    ]
}
