//! Each defence that docs/SECURITY.md lists names the tests that hold it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where tests are: folders, and how their files end.
const SOURCES: [(&str, &str); 3] = [("src", "rs"), ("tests/it", "rs"), ("tests/clients", "mjs")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cells of a line of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// The rows of tables with a column `held by`: the attempt, and the tests that hold the defence.
fn promises(page: &str) -> Vec<(String, Vec<String>)> {
    let mut promises = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if cells(line).is_none_or(|cells| cells.last() != Some(&"held by")) {
            continue;
        }
        lines.next_if(|line| line.starts_with("| ---")).expect("a table has a line below its head");
        while let Some(row) = lines.next_if(|line| cells(line).is_some()) {
            let row = cells(row).unwrap();
            let tests = row.last().unwrap().split('`').skip(1).step_by(2).map(str::to_owned);
            promises.push((row[0].to_owned(), tests.collect()));
        }
    }
    promises
}

/// The names of the tests in a file.
fn tests_in(text: &str, ending: &str) -> BTreeSet<String> {
    let name_after = |text: &str, before: &str, end: char| {
        let (name, _) = text.trim().strip_prefix(before)?.split_once(end)?;
        Some(name.to_owned())
    };
    if ending == "mjs" {
        return text.lines().filter_map(|line| name_after(line, "\"", '"')).collect();
    }
    let after_attributes = text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1));
    let functions = after_attributes.filter_map(|rest| {
        let line = rest.lines().find(|line| line.contains("fn "))?;
        name_after(line.trim().trim_start_matches("async "), "fn ", '(')
    });
    functions.collect()
}

fn all_tests(folder: &Path, ending: &str, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("node_modules") {
                all_tests(&path, ending, into);
            }
        } else if path.extension().is_some_and(|extension| extension == ending) {
            into.extend(tests_in(&fs::read_to_string(&path).unwrap(), ending));
        }
    }
}

#[test]
fn every_defence_of_the_security_page_names_tests_that_exist() {
    let mut known = BTreeSet::new();
    for (folder, ending) in SOURCES {
        all_tests(&root().join(folder), ending, &mut known);
    }

    let promises = promises(&fs::read_to_string(root().join("docs/SECURITY.md")).unwrap());

    assert!(promises.len() >= 40, "only {} promises were found", promises.len());
    for (fault, tests) in promises {
        assert!(!tests.is_empty(), "{fault:?} names no test");
        for test in tests {
            assert!(known.contains(&test), "{fault:?} names {test}, which is no test");
        }
    }
}

#[test]
fn a_name_of_a_missing_test_is_detected() {
    let page = "| fault | seen | held by |\n| --- | --- | --- |\n| one | x | `a`, `b` |\n\ntext\n";
    let source =
        "#[test]\nfn a() {}\n\nfn b() {}\n\n#[tokio::test(flavor = \"x\")]\nasync fn c() {}\n";

    let promises = promises(page);
    let known = tests_in(source, "rs");

    assert_eq!(promises, [("one".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
    assert_eq!(known, BTreeSet::from(["a".to_owned(), "c".to_owned()]));
}
