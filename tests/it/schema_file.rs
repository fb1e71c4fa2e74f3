//! `schema.graphql` is what the code says.

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

#[test]
fn the_guard_knows_no_input_type_that_the_schema_lacks() {
    // The last is there as well, but only routers know.
    const BUILT_IN: [&str; 6] = ["Boolean", "Float", "ID", "Int", "String", "_Any"];
    let sdl = screen_record_gateway::graphql::sdl();

    for name in screen_record_gateway::graphql::guard::INPUT_TYPES {
        let defined = ["scalar", "enum", "input"].iter().any(|keyword| {
            sdl.lines().any(|line| {
                line.starts_with(&format!("{keyword} {name} "))
                    || line == format!("{keyword} {name}")
            })
        });
        assert!(defined || BUILT_IN.contains(name), "{name} is in no line of the schema");
    }
}
