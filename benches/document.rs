//! What it costs to read a document that is new, and one that is in the cache.

use divan::{Bencher, black_box};
use screen_record_gateway::config::{GraphqlConfig, LimitsConfig};
use screen_record_gateway::graphql::{Engine, Operation};

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

fn engine() -> Engine {
    let config = GraphqlConfig { introspection: true, ..GraphqlConfig::default() };
    Engine::new(&config, &LimitsConfig::default())
}

fn operation(query: String) -> Operation {
    Operation { query, ..Operation::default() }
}

/// Parsed, validated, limited; refused for its variables where it has some, which costs next to nothing.
#[divan::bench(args = DOCUMENTS)]
fn new(bencher: Bencher<'_, '_>, name: &str) {
    let (engine, mut number) = (engine(), 0);
    bencher.bench_local(|| {
        number += 1;
        engine.admit(vec![operation(format!("{}#{number}", document(name)))])
    });
}

#[divan::bench(args = DOCUMENTS)]
fn cached(bencher: Bencher<'_, '_>, name: &str) {
    let engine = engine();
    bencher.bench_local(|| engine.admit(vec![operation(black_box(document(name)).to_owned())]));
}
