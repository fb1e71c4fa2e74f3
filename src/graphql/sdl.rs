//! The schema as text: for clients, for federation routers, and for the validation of documents.

use apollo_compiler::Schema as ParsedSchema;
use apollo_compiler::validation::Valid;
use async_graphql::{EmptyMutation, SDLExportOptions, Schema};

use super::schema::query::{ScreenRecordQueries, ShownRoot};
use super::schema::subscription::Subscription;

/// The oldest version of the federation specification that has the directives below: Hive's composition knows
/// none after 2.11.
const FEDERATION: &str = "https://specs.apollo.dev/federation/v2.9";
/// Ends of definitions, and the directives that routers find there.
const DIRECTIVES: [(&str, &str); 7] = [
    ("\ntype ScreenRecord", "@key(fields: \"projectId id\")"),
    ("\ntype Desktop", "@key(fields: \"id\", resolvable: false)"),
    ("): ScreenRecordConnection!", LIST_SIZE),
    ("): ScreenRecordConnection", LIST_SIZE),
    ("): DesktopOperationConnection", LIST_SIZE),
    // Each may be an upstream call of its own, beside that for the recording.
    ("\n  downloadUrl: String", "@cost(weight: 10)"),
    ("\n  downloadLink: DownloadLink", "@cost(weight: 10)"),
];
/// How many rows a connection has.
const LIST_SIZE: &str = "@listSize(slicingArguments: [\"first\"], \
                         sizedFields: [\"edges\", \"nodes\"], requireOneSlicingArgument: false)";
/// What routers ask a subgraph for. It is no part of the schema that clients see. `conversion` relies on
/// the union having one member.
const FEDERATION_FIELDS: &str = "
extend type Query { _service: _Service! _entities(representations: [_Any!]!): [_Entity]! }
type _Service { sdl: String! }
union _Entity = ScreenRecord
scalar _Any
";
/// What introspection answers here and the validator does not know yet.
const INTROSPECTION_FIELDS: &str = "extend type __Type { isOneOf: Boolean }";
/// The schema in GraphQL's definition language, as `schema.graphql` holds it.
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .include_specified_by()
        .prefer_single_line_descriptions()
        .use_space_ident()
        .indent_width(2);
    // What routers ask for is theirs to know; it is no part of the schema that clients see.
    let schema = Schema::new(ShownRoot(ScreenRecordQueries), EmptyMutation, Subscription);
    tidy(&schema.sdl_with_options(options))
}

/// Without what every reader knows (the directives of the specification, and that `Query` is the
/// root of queries), without blanks at the ends of lines, and with one line feed at the end.
fn tidy(sdl: &str) -> String {
    const SPECIFIED: &str = "\n\"Directs the executor to include";
    let own = sdl.split_once(SPECIFIED).map_or(sdl, |(own, _)| own);
    let lines: Vec<&str> = own.trim().lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// The schema as a subgraph of a federation, as `_service` answers it: with the entities' keys, and with what
/// fields cost.
pub fn federation_sdl() -> String {
    let with_directives = DIRECTIVES.into_iter().fold(sdl(), |sdl, (definition, directive)| {
        ["\n", " {"].into_iter().fold(sdl, |sdl, end| {
            sdl.replace(&format!("{definition}{end}"), &format!("{definition} {directive}{end}"))
        })
    });
    let import = "[\"@key\", \"@cost\", \"@listSize\"]";
    format!("extend schema @link(url: \"{FEDERATION}\", import: {import})\n\n{with_directives}")
}

/// What documents are validated against: the schema that is printed, with what routers ask for.
pub(crate) fn validation_schema() -> Valid<ParsedSchema> {
    let whole = format!("{}\n{FEDERATION_FIELDS}\n{INTROSPECTION_FIELDS}", sdl());
    let parsed = ParsedSchema::parse_and_validate(whole, "schema.graphql");
    parsed.expect("async-graphql prints a valid schema")
}
