//! The schema as text: for clients, for federation routers, and for the validation of documents.

use apollo_compiler::Schema as ParsedSchema;
use apollo_compiler::validation::Valid;
use async_graphql::{EmptyMutation, SDLExportOptions, Schema};

use super::schema::query::Query;
use super::schema::subscription::Subscription;
use crate::domain::CacheTag;

/// The oldest version of the federation specification that has the directives below: Hive's composition knows
/// none after 2.11.
const FEDERATION: &str = "v2.9";
/// The oldest version that has `@cacheTag`.
const TAGGED_FEDERATION: &str = "v2.12";

/// How many rows a connection has.
const LIST_SIZE: &str = "@listSize(slicingArguments: [\"first\"], \
                         sizedFields: [\"edges\", \"nodes\"], requireOneSlicingArgument: false)";
/// What routers ask a subgraph for. It is no part of the schema that clients see. `fields` relies on the
/// union having one member.
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
    // Without the fields that only routers ask for: `federation` leaves them out.
    let options = SDLExportOptions::new()
        .federation()
        .include_specified_by()
        .prefer_single_line_descriptions()
        .use_space_ident();
    let schema = Schema::build(Query::default(), EmptyMutation, Subscription);
    tidy(&schema.enable_subscription_in_federation().finish().sdl_with_options(options))
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
    let mut subgraph = subgraph(FEDERATION, "[\"@key\", \"@cost\", \"@listSize\"]");
    add_keys_and_costs(&mut subgraph);
    subgraph
}

/// The same with the tags under which a router caches answers. Only Apollo's composition accepts it.
pub fn tagged_federation_sdl() -> String {
    let imports = "[\"@key\", \"@cost\", \"@listSize\", \"@cacheTag\"]";
    let mut subgraph = subgraph(TAGGED_FEDERATION, imports);
    add_keys_and_costs(&mut subgraph);
    add_cache_tags(&mut subgraph);
    subgraph
}

fn subgraph(version: &str, imports: &str) -> String {
    let url = format!("https://specs.apollo.dev/federation/{version}");
    format!("extend schema @link(url: \"{url}\", import: {imports})\n\n{}", sdl())
}

fn add_keys_and_costs(sdl: &mut String) {
    for (owner, field, directive) in [
        ("ScreenRecord", None, "@key(fields: \"projectId id\")"),
        ("Desktop", None, "@key(fields: \"id\", resolvable: false)"),
        ("Query", Some("): ScreenRecordConnection!"), LIST_SIZE),
        ("Project", Some("): ScreenRecordConnection"), LIST_SIZE),
        ("ScreenRecord", Some("): DesktopOperationConnection"), LIST_SIZE),
        // Each may be an upstream call of its own, beside that for the recording.
        ("ScreenRecord", Some("  downloadUrl: String"), "@cost(weight: 10)"),
        ("ScreenRecord", Some("  downloadLink: DownloadLink"), "@cost(weight: 10)"),
    ] {
        annotate(sdl, owner, field, directive);
    }
}

/// Apollo allows tags only on entities that can be resolved and on fields of `Query`.
fn add_cache_tags(sdl: &mut String) {
    let project = "{$args.projectId}";
    let record =
        |project, id| vec![CacheTag::Recording { project, id }, CacheTag::Project(project)];
    let list = || vec![CacheTag::Lists(project), CacheTag::Project(project)];
    for (owner, field, tags) in [
        ("ScreenRecord", None, record("{$key.projectId}", "{$key.id}")),
        ("Query", Some("): ScreenRecord"), record(project, "{$args.id}")),
        ("Query", Some("): ScreenRecordConnection!"), list()),
        ("Query", Some("): ScreenRecordStatistics"), list()),
        ("Query", Some("  projects: [Project!]!"), vec![CacheTag::Projects]),
    ] {
        let tags = tags.iter().map(|tag| format!("@cacheTag(format: \"{tag}\")"));
        annotate(sdl, owner, field, &tags.collect::<Vec<_>>().join(" "));
    }
}

/// Adds directives to a type, or to the field of it whose definition ends as given.
fn annotate(sdl: &mut String, owner: &str, field: Option<&str>, directives: &str) {
    let at = place(sdl, owner, field).expect("the schema has the field");
    sdl.insert_str(at, &format!(" {directives}"));
}

/// The end of a type's name, or of the definition of one of its fields.
fn place(sdl: &str, owner: &str, field: Option<&str>) -> Option<usize> {
    let name = format!("\ntype {owner}");
    let behind = sdl.find(&format!("{name} "))? + name.len();
    let Some(field) = field else { return Some(behind) };
    let rest = sdl.get(behind..)?;
    // Other directives may follow.
    let places = ["\n", " @"].into_iter().filter_map(|end| rest.find(&format!("{field}{end}")));
    Some(behind + places.min()? + field.len())
}

/// What documents are validated against: the schema that is printed, with what routers ask for.
pub(crate) fn validation_schema() -> Valid<ParsedSchema> {
    let whole = format!("{}\n{FEDERATION_FIELDS}\n{INTROSPECTION_FIELDS}", sdl());
    let parsed = ParsedSchema::parse_and_validate(whole, "schema.graphql");
    parsed.expect("async-graphql prints a valid schema")
}
