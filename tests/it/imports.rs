//! Each area knows only the areas below it.

use std::fs;
use std::path::{Path, PathBuf};

/// What each area may import besides itself. `app`, `checks`, `cli` and `fuzzing` may import everything.
const MAY_IMPORT: [(&str, &[&str]); 18] = [
    ("version", &[]),
    ("domain", &[]),
    ("clock", &[]),
    ("signature", &[]),
    ("spans", &[]),
    ("resizable_semaphore", &[]),
    ("fair_semaphore", &["domain"]),
    ("body_limit", &[]),
    ("error_chain", &[]),
    ("counters", &[]),
    ("config", &["domain", "version"]),
    ("telemetry", &["clock", "spans", "config", "version", "counters"]),
    (
        "upstream",
        &[
            "spans",
            "signature",
            "clock",
            "config",
            "domain",
            "fair_semaphore",
            "error_chain",
            "counters",
            "body_limit",
        ],
    ),
    ("records", &["upstream", "spans", "clock", "config", "domain", "counters"]),
    ("graphql", &["records", "spans", "config", "domain"]),
    (
        "http",
        &[
            "graphql",
            "records",
            "spans",
            "config",
            "domain",
            "clock",
            "resizable_semaphore",
            "fair_semaphore",
            "counters",
            "body_limit",
            "error_chain",
        ],
    ),
    ("simulator", &["clock", "signature"]),
    ("main", &["cli"]),
];

fn sources(of: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(of).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn no_area_imports_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut checked = 0;

    for file in &files {
        let inside = file.strip_prefix(&root).unwrap();
        let area = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let area = area.trim_end_matches(".rs");
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == area) else {
            assert!(
                ["app", "checks", "cli", "fuzzing", "lib"].contains(&area),
                "{area} is in no row of the table"
            );
            continue;
        };
        for imported in fs::read_to_string(file).unwrap().split("crate::").skip(1) {
            let name: String =
                imported.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            checked += 1;
            assert!(
                name == area || allowed.contains(&name.as_str()),
                "{} imports {name}, which {area} must not know",
                inside.display()
            );
        }
    }
    assert!(checked > 50, "only {checked} imports were seen");
}
