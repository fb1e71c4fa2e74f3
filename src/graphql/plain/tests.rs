//! The GraphQL library is the oracle: whatever a plan answers, the library answers too, byte for byte.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::Plan;
use crate::config::{GraphqlConfig, LimitsConfig};
use crate::domain::{
    Field, RecordFields, RecordText, RecordTime, ScreenRecord, Timestamp, Unreadable,
};
use crate::graphql::{Answer, Engine, Flat, Operation, OperationContext, Values};
use crate::records::Reader;
use crate::records::testing::{put, reader};

const PROJECT: &str = "p";
const RECORDS: [&str; 3] = ["r0", "r1", "r2"];

/// Every field that a plan can show.
const FIELDS: [&str; 25] = [
    "__typename",
    "id",
    "projectId",
    "desktopId",
    "desktopName",
    "desktopPoolId",
    "username",
    "size",
    "duration",
    "type",
    "rawType",
    "status",
    "rawStatus",
    "policyId",
    "obsBucket",
    "fileDirectory",
    "videoFilename",
    "videoFileSha256",
    "eventFilename",
    "eventFileSha256",
    "startTime",
    "endTime",
    "updateTime",
    "uploadType",
    "siteType",
];

/// A piece of a selection of a recording.
#[derive(Clone, Debug)]
enum Piece {
    Field { alias: Option<&'static str>, name: &'static str, directives: String },
    Desktop { alias: Option<&'static str>, directives: String, fields: Vec<&'static str> },
    Inline { on: &'static str, pieces: Vec<Self> },
    Spread(usize),
}

/// A field of the root.
#[derive(Clone, Debug)]
struct RootPiece {
    alias: Option<&'static str>,
    directives: String,
    arguments: String,
    pieces: Vec<Piece>,
}

fn alias() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![25 => Just(None), 1 => select(vec!["a", "b", "id", "size"]).prop_map(Some)]
}

fn directives() -> impl Strategy<Value = String> {
    let one = select(vec![
        " @include(if: true)",
        " @include(if: false)",
        " @skip(if: true)",
        " @skip(if: false)",
        " @include(if: $yes)",
        " @skip(if: $no)",
        " @include(if: $no)",
        " @skip(if: $yes)",
    ]);
    let odd = select(vec![" @include(if: $p)", " @skip", " @skip(if: \"x\")", " @other"]);
    prop_oneof![
        200 => Just(String::new()),
        1 => odd.prop_map(str::to_owned),
        30 => one.clone().prop_map(str::to_owned),
        4 => (one.clone(), one).prop_map(|(first, second)| format!("{first}{second}")),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    let name = prop_oneof![400 => select(FIELDS.to_vec()), 1 => Just("nonsense")];
    let field = (alias(), name, directives()).prop_map(|(alias, name, directives)| Piece::Field {
        alias,
        name,
        directives,
    });
    let name = select(vec!["id", "__typename", "other: id"]);
    let name = prop_oneof![40 => name, 1 => Just("desktopName")];
    let fields = prop_oneof![10 => vec(name, 1..3), 1 => Just(Vec::new())];
    let desktop = (alias(), directives(), fields)
        .prop_map(|(alias, directives, fields)| Piece::Desktop { alias, directives, fields });
    let leaf = prop_oneof![12 => field, 1 => desktop, 1 => (0..3_usize).prop_map(Piece::Spread)];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let on = select(vec!["", "on ScreenRecord"]);
        let on = prop_oneof![60 => on, 1 => select(vec!["on Desktop", "on Query"])];
        (on, prop_oneof![60 => vec(inner, 1..3), 1 => Just(Vec::new())])
            .prop_map(|(on, pieces)| Piece::Inline { on, pieces })
    })
}

fn root() -> impl Strategy<Value = RootPiece> {
    let good = select(vec![
        "(projectId: \"p\", id: \"r0\")",
        "(id: \"r1\", projectId: \"p\")",
        "(projectId: $p, id: $r)",
        "(projectId: $p, id: \"r2\")",
        "(projectId: \"p\", id: \"../x\")",
        "(projectId: \"\" id: $r)",
    ]);
    let odd = select(vec![
        "(projectId: \"p\")",
        "(projectId: \"p\", id: \"\\u0072\")",
        "(projectId: $p, id: $yes)",
        "(projectId: \"p\" id: 1)",
        "(projectId: \"p\", projectId: \"p\", id: \"r0\")",
        "",
        "(projectId: \"p\", id: null)",
        "(projectId: \"p\", id: \"\"\"r0\"\"\")",
    ]);
    let arguments = prop_oneof![40 => good, 1 => odd];
    let alias =
        prop_oneof![4 => select(vec!["r", "s", "t", "u", "v"]).prop_map(Some), 1 => alias()];
    (alias, directives(), arguments, vec(piece(), 1..6)).prop_map(
        |(alias, directives, arguments, pieces)| RootPiece {
            alias,
            directives,
            arguments: arguments.to_owned(),
            pieces,
        },
    )
}

fn write_all(pieces: &[Piece], into: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Field { alias, name, directives } => {
                let alias = alias.map(|alias| format!("{alias}: ")).unwrap_or_default();
                writeln!(into, "{alias}{name}{directives}").unwrap();
            }
            Piece::Desktop { alias, directives, fields } => {
                let alias = alias.map(|alias| format!("{alias}: ")).unwrap_or_default();
                write!(into, "{alias}desktop{directives} {{ {} }} ", fields.join(" ")).unwrap();
            }
            Piece::Inline { on, pieces } => {
                write!(into, "... {on} {{ ").unwrap();
                write_all(pieces, into);
                *into += "} ";
            }
            Piece::Spread(number) => write!(into, "...F{number} ").unwrap(),
        }
    }
}

/// A document of plain selections and, now and then, of things that nearly are.
fn document() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "($p: ID!, $r: ID!, $yes: Boolean!, $no: Boolean!)",
        "",
        "($p: String!, $r: ID!)",
        "($p: ID, $r: ID!)",
        "($p: ID!, $r: ID! = \"r0\")",
        "($p: ID!, $p: ID!)",
    ]);
    let declared = prop_oneof![20 => Just(None), 1 => odd.prop_map(Some)];
    let on = prop_oneof![30 => Just("ScreenRecord"), 1 => Just("Desktop")];
    let fragments = vec((on, vec(piece(), 1..4)), 3);
    let typename = prop_oneof![6 => Just(""), 1 => select(vec!["__typename ", "x: __typename "])];
    (declared, typename, vec(root(), 1..3), fragments, 0..30_u8).prop_map(
        |(declared, typename, roots, fragments, chance)| {
            let mut text = typename.to_owned();
            for RootPiece { alias, directives, arguments, pieces } in &roots {
                let alias = alias.map(|alias| format!("{alias}: ")).unwrap_or_default();
                write!(text, "{alias}screenRecord{arguments}{directives} {{ ").unwrap();
                write_all(pieces, &mut text);
                text += "}\n";
            }
            text += "}";
            for (number, (on, pieces)) in fragments.iter().enumerate() {
                // One that is not used is an error; now and then that is wanted.
                if text.contains(&format!("...F{number} ")) || chance == 0 {
                    write!(text, " fragment F{number} on {on} {{ ").unwrap();
                    write_all(pieces, &mut text);
                    text += "}";
                }
            }
            let declared = declared.map_or_else(|| declarations(&text), str::to_owned);
            let name = if declared.is_empty() { "" } else { "query Q" };
            format!("{name}{declared} {{ {text}")
        },
    )
}

/// Whether each variable stands in more places than its declaration.
fn uses_all_it_declares(text: &str) -> bool {
    ["$p", "$r", "$yes", "$no"].iter().all(|name| text.matches(name).count() != 1)
}

/// The declarations of the variables that are used.
fn declarations(text: &str) -> String {
    let mut needed = String::new();
    for (name, kind) in [("p", "ID"), ("r", "ID"), ("yes", "Boolean"), ("no", "Boolean")] {
        if text.contains(&format!("${name}")) {
            write!(needed, "${name}: {kind}! ").unwrap();
        }
    }
    if needed.is_empty() { needed } else { format!("({needed})") }
}

fn field<T: std::fmt::Debug + Clone>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Field<T>> {
    prop_oneof![
        6 => value.prop_map(|value| Some(Ok(value))),
        2 => Just(None),
        1 => "\\PC{0,80}".prop_map(|text| Some(Err(Unreadable::new("is no value", &text)))),
    ]
}

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    // Control characters, quotes, any script.
    prop_oneof![3 => "[ -~]{0,20}", 1 => "(?s).{0,12}", 1 => Just("\u{0}\u{1f}\"\\/\u{7f}\u{2028}😀".to_owned())]
        .prop_map(Cow::Owned)
}

/// A text without anything that JSON escapes, as nearly all are.
fn plain_text() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof!["[a-zA-Z0-9 ./:-]{0,20}", "[桌面é/\u{7f}\u{2028}😀]{0,8}"].prop_map(Cow::Owned)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..=9999_i16, 1..=12_i8, 1..=28_i8, 0..=23_i8, 0..=59_i8, 0..=999_999_999_i32).prop_map(
        |(year, month, day, hour, second, nanos)| {
            let utc = jiff::civil::DateTime::new(year, month, day, hour, second, second, nanos);
            Timestamp::from_utc(utc.unwrap()).unwrap()
        },
    )
}

fn kind() -> impl Strategy<Value = Cow<'static, str>> {
    select(vec!["FULL", "INTERVAL", "USER_OPERATION", "SESSION", "odd"]).prop_map(Cow::Borrowed)
}

fn status() -> impl Strategy<Value = Cow<'static, str>> {
    let texts = vec![
        "RECORDING",
        "REC_COMPLETED",
        "REC_FAILED",
        "UPLOADING",
        "UPLOAD_COMPLETED",
        "UPLOAD_FAILED",
        "?",
    ];
    select(texts).prop_map(Cow::Borrowed)
}

fn record() -> impl Strategy<Value = ScreenRecord> {
    let count = RecordText::ALL.len();
    let texts = prop_oneof![vec(field(text()), count), vec(field(plain_text()), count)];
    let times = vec(field(time()), RecordTime::ALL.len());
    let rest = (field(any::<i64>()), field(any::<i32>()), field(kind()), field(status()));
    let id = proptest::option::of(text());
    (id, texts, times, rest).prop_map(|(id, texts, times, (size, duration, kind, status))| {
        let mut fields = RecordFields::default();
        (fields.size, fields.duration) = (size, duration);
        for (of, text) in RecordText::ALL.into_iter().zip(texts) {
            *fields.text(of) = text;
        }
        for (of, time) in RecordTime::ALL.into_iter().zip(times) {
            *fields.time(of) = time;
        }
        *fields.text(RecordText::Id) = id.map(Ok);
        *fields.text(RecordText::Type) = kind;
        *fields.text(RecordText::Status) = status;
        fields.into()
    })
}

fn values() -> Values {
    let text = |text: &str| Flat::Text(text.to_owned());
    let named = [
        ("p", text(PROJECT)),
        ("r", text("r1")),
        ("yes", Flat::Boolean(true)),
        ("no", Flat::Boolean(false)),
        ("unknown", Flat::Null),
    ];
    Values::Flat(named.map(|(name, value)| (name.to_owned(), value)).into())
}

/// The answer of the library, whatever plan there is.
fn library(engine: &Engine, reader: &Arc<Reader>, text: &str) -> String {
    let query = text.to_owned();
    let operation = Operation { query, variables: values(), ..Operation::default() };
    let context = OperationContext::new(Arc::clone(reader), Duration::from_secs(15));
    let answer = engine.execute_by_library(operation, context).now_or_never().unwrap();
    match answer {
        Answer::Executed(response) => {
            let mut shown =
                format!("{{\"data\":{}", serde_json::to_string(&response.data).unwrap());
            if !response.errors.is_empty() {
                shown.push_str(",\"errors\":");
                shown.push_str(&serde_json::to_string(&response.errors).unwrap());
            }
            shown + "}"
        }
        other => format!("{other:?}"),
    }
}

/// The answer of the plan, where there is one.
fn plan(reader: &Arc<Reader>, text: &str) -> Option<String> {
    let bound = Arc::new(Plan::of(text)?).bind(&values())?;
    let context = OperationContext::new(Arc::clone(reader), Duration::from_secs(15));
    let written = bound.execute(&context).now_or_never().unwrap();
    let mut shown = String::from_utf8(written.body).unwrap();
    if !written.errors.is_empty() {
        shown.push_str(",\"errors\":");
        shown.push_str(&serde_json::to_string(&written.errors).unwrap());
    }
    Some(shown + "}")
}

fn engine() -> Engine {
    Engine::new(&GraphqlConfig::default(), &LimitsConfig::default())
}

#[test]
fn a_line_that_ends_in_a_return_alone_is_left_to_the_library() {
    assert!(Plan::of("{\r\n__typename\r\n}").is_some());
    assert!(Plan::of("{\r__typename}").is_none());
    assert!(Plan::of("{__typename}\r").is_none());
}

#[test]
fn a_plan_answers_what_the_library_answers_byte_for_byte() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let (engine, reader, planned) = (engine(), Arc::new(reader()), std::cell::Cell::new(0));
    let config = ProptestConfig { cases: 1_000, failure_persistence: None, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);

    let outcome = runner.run(&(document(), vec(record(), 3)), |(text, records)| {
        for (id, record) in RECORDS.iter().zip(records) {
            put(&reader, PROJECT, id, record);
        }
        // The library answers null for an object whose fields are all left out, which is to be empty
        // (specification, section 6.3).
        let answer = plan(&reader, &text).filter(|answer| !answer.contains("{}"));
        if let Some(answer) = answer {
            planned.set(planned.get() + 1);
            let expected = library(&engine, &reader, &text);
            // The library overlooks uses of variables in inline fragments and refuses good documents.
            if !(expected.contains("is not used by operation") && uses_all_it_declares(&text)) {
                prop_assert_eq!(answer, expected, "{}", text);
            }
        }
        Ok(())
    });

    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(planned.get() > 200, "only {} of the documents were plain", planned.get());
}
