//! What the guard costs beside the parser that it stands before.

use async_graphql::Variables;
use async_graphql::parser::parse_query;
use divan::{Bencher, black_box};
use screen_record_gateway::config::LimitsConfig;
use screen_record_gateway::graphql::Guard;

fn main() {
    divan::main();
}

/// Twelve fields of one recording.
const RECORD: &str = r"
query Recording($project: ID!, $id: ID!) {
  screenRecord(projectId: $project, id: $id) {
    id desktopName username size duration
    type status startTime endTime
    desktop { id }
  }
}";

/// The whole schema, as GraphQL tools ask for it.
const INTROSPECTION: &str = r"
query Introspection {
  __schema {
    queryType { name } mutationType { name } subscriptionType { name }
    types { ...Full }
    directives { name description locations args { ...Input } }
  }
}
fragment Full on __Type {
  kind name description specifiedByURL
  fields(includeDeprecated: true) {
    name description args { ...Input } type { ...Reference } isDeprecated deprecationReason
  }
  inputFields { ...Input }
  interfaces { ...Reference }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...Reference }
}
fragment Input on __InputValue { name description type { ...Reference } defaultValue }
fragment Reference on __Type {
  kind name
  ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
    kind name ofType { kind name ofType { kind name } } } } } } }
}";

/// The documents by the names that the report shows.
const DOCUMENTS: [&str; 2] = ["introspection", "record"];

fn document(name: &str) -> &'static str {
    if name == "record" { RECORD } else { INTROSPECTION }
}

#[divan::bench(args = DOCUMENTS)]
fn guard(bencher: Bencher<'_, '_>, name: &str) {
    let guard = Guard::new(&LimitsConfig::default());
    let variables = Variables::default();
    bencher.bench_local(|| {
        let measure = guard.measure(black_box(document(name)), None, &variables)?;
        guard.admit(&[measure])
    });
}

#[divan::bench(args = DOCUMENTS)]
fn parser(bencher: Bencher<'_, '_>, name: &str) {
    bencher.bench_local(|| parse_query(black_box(document(name))));
}
