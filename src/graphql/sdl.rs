//! The schema as text: for clients, for federation routers, and for the validation of documents.

use apollo_compiler::Schema as ParsedSchema;
use apollo_compiler::validation::Valid;
use async_graphql::{EmptyMutation, SDLExportOptions, Schema};

use super::schema::query::{ScreenRecordQueries, ShownRoot};
use super::schema::subscription::Subscription;

/// The newest version of the federation specification that Apollo's composition accepts.
const FEDERATION: &str = "https://specs.apollo.dev/federation/v2.14";
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

/// The schema as a subgraph of a federation, as `_service` answers it: with the entities' keys.
pub fn federation_sdl() -> String {
    let keyed = sdl()
        .replace("\ntype ScreenRecord {", "\ntype ScreenRecord @key(fields: \"projectId id\") {")
        .replace("\ntype Desktop {", "\ntype Desktop @key(fields: \"id\", resolvable: false) {");
    format!("extend schema @link(url: \"{FEDERATION}\", import: [\"@key\"])\n\n{keyed}")
}

/// What documents are validated against: the schema that is printed, with what routers ask for.
pub(crate) fn validation_schema() -> Valid<ParsedSchema> {
    let whole = format!("{}\n{FEDERATION_FIELDS}\n{INTROSPECTION_FIELDS}", sdl());
    let parsed = ParsedSchema::parse_and_validate(whole, "schema.graphql");
    parsed.expect("async-graphql prints a valid schema")
}
