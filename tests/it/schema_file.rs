//! The committed schema files equal the schema of the code.

use std::fs;
use std::path::Path;

#[test]
fn schema_graphql_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");

    let written = fs::read_to_string(path).unwrap_or_default();

    let current = screen_record_gateway::graphql::sdl();
    assert!(
        written == current,
        "schema.graphql differs from the code: run `just schema`, \
         or `cargo run -- schema > schema.graphql`, and read the difference"
    );
}

#[test]
fn the_example_of_a_federation_has_the_current_subgraph() {
    let written = include_str!("../../examples/federation/recordings.graphql");

    let current = screen_record_gateway::graphql::federation_sdl();
    assert!(
        written == current,
        "run `just schema` for examples/federation/recordings.graphql, and compose the supergraph anew"
    );
}
