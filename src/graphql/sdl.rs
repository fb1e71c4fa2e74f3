//! The schema as text: for clients, for federation routers, and for the validation of documents.

use std::borrow::Cow;

use apollo_compiler::Schema as ParsedSchema;
use apollo_compiler::validation::Valid;
use async_graphql::{EmptyMutation, SDLExportOptions, Schema};

use super::schema::query::{ScreenRecordQueries, ShownRoot};
use super::schema::subscription::Subscription;
use crate::domain::CacheTag;

/// The oldest version of the federation specification that has the directives below: Hive's composition knows
/// none after 2.11.
const FEDERATION: &str = "v2.9";
/// The oldest version that has `@cacheTag`.
const TAGGED_FEDERATION: &str = "v2.12";

/// A directive that routers find at a definition.
struct Annotation {
    /// The type that is defined, or that has the field.
    owner: &'static str,
    /// How the last line before the directive begins.
    line: &'static str,
    directive: Cow<'static, str>,
}

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
    subgraph(FEDERATION, "[\"@key\", \"@cost\", \"@listSize\"]", &keys_and_costs())
}

/// The same with the tags under which a router caches answers. Only Apollo's composition accepts it.
pub fn tagged_federation_sdl() -> String {
    let annotations: Vec<Annotation> = keys_and_costs().into_iter().chain(cache_tags()).collect();
    let imports = "[\"@key\", \"@cost\", \"@listSize\", \"@cacheTag\"]";
    subgraph(TAGGED_FEDERATION, imports, &annotations)
}

fn subgraph(version: &str, imports: &str, annotations: &[Annotation]) -> String {
    let url = format!("https://specs.apollo.dev/federation/{version}");
    let annotated = annotate(&sdl(), annotations);
    format!("extend schema @link(url: \"{url}\", import: {imports})\n\n{annotated}")
}

fn keys_and_costs() -> [Annotation; 7] {
    let annotation = |owner, line, directive: &'static str| Annotation {
        owner,
        line,
        directive: directive.into(),
    };
    [
        annotation("ScreenRecord", "type ScreenRecord", "@key(fields: \"projectId id\")"),
        annotation("Desktop", "type Desktop", "@key(fields: \"id\", resolvable: false)"),
        annotation("Query", "  ): ScreenRecordConnection!", LIST_SIZE),
        annotation("Project", "  ): ScreenRecordConnection", LIST_SIZE),
        annotation("ScreenRecord", "  ): DesktopOperationConnection", LIST_SIZE),
        // Each may be an upstream call of its own, beside that for the recording.
        annotation("ScreenRecord", "  downloadUrl: String", "@cost(weight: 10)"),
        annotation("ScreenRecord", "  downloadLink: DownloadLink", "@cost(weight: 10)"),
    ]
}

/// Apollo allows tags only on entities that can be resolved and on fields of `Query`.
fn cache_tags() -> [Annotation; 5] {
    let annotation = |owner, line, tags: &[CacheTag<'_>]| {
        let directives = tags.iter().map(|tag| format!("@cacheTag(format: \"{tag}\")"));
        let directive = directives.collect::<Vec<_>>().join(" ").into();
        Annotation { owner, line, directive }
    };
    let [key, argument] = ["{$key.projectId}", "{$args.projectId}"];
    let of_key =
        [CacheTag::Recording { project: key, id: "{$key.id}" }, CacheTag::Project { project: key }];
    let of_record = [
        CacheTag::Recording { project: argument, id: "{$args.id}" },
        CacheTag::Project { project: argument },
    ];
    let of_list = [CacheTag::Lists { project: argument }, CacheTag::Project { project: argument }];
    [
        annotation("ScreenRecord", "type ScreenRecord", &of_key),
        annotation("Query", "  ): ScreenRecord", &of_record),
        annotation("Query", "  ): ScreenRecordConnection!", &of_list),
        annotation("Query", "  ): ScreenRecordStatistics", &of_list),
        annotation("Query", "  projects: [Project!]!", &[CacheTag::Projects]),
    ]
}

fn annotate(sdl: &str, annotations: &[Annotation]) -> String {
    let mut owner = "";
    let mut annotated = String::new();
    for line in sdl.lines() {
        if let Some(definition) = line.strip_prefix("type ") {
            owner = definition.trim_end_matches(" {");
        }
        let mut line = line.to_owned();
        for Annotation { line: start, directive, .. } in
            annotations.iter().filter(|annotation| annotation.owner == owner)
        {
            let rest =
                line.strip_prefix(start).filter(|rest| rest.is_empty() || rest.starts_with(' '));
            if let Some(rest) = rest {
                line = format!("{start} {directive}{rest}");
            }
        }
        annotated.push_str(&line);
        annotated.push('\n');
    }
    annotated
}

/// What documents are validated against: the schema that is printed, with what routers ask for.
pub(crate) fn validation_schema() -> Valid<ParsedSchema> {
    let whole = format!("{}\n{FEDERATION_FIELDS}\n{INTROSPECTION_FIELDS}", sdl());
    let parsed = ParsedSchema::parse_and_validate(whole, "schema.graphql");
    parsed.expect("async-graphql prints a valid schema")
}
