//! What a key or a token allows its bearer to see.
//!
//! This is the only place that turns an entry of the key file or a claim into a grant.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::ProjectId;

/// Projects that a caller may see; `None` for all that are served.
pub(crate) type Projects = Option<Arc<BTreeSet<ProjectId>>>;

/// Stands for every project.
const ALL: &str = "*";

/// Reads the projects of a key in the key file: a list of ids, or `*` alone. `None` for anything else.
pub(super) fn projects_of_key(projects: &[&str]) -> Option<Projects> {
    match projects {
        [] => None,
        [ALL] => Some(None),
        ids => {
            let ids: Option<BTreeSet<_>> = ids.iter().map(|id| ProjectId::parse(id).ok()).collect();
            Some(Some(Arc::new(ids?)))
        }
    }
}

/// Reads the projects of a token's claim: a text with blanks between the ids, or a list. A missing or
/// malformed claim allows no project, and so does a malformed id.
pub(super) fn projects_of_claim(claim: Option<&Value>) -> Projects {
    let ids: Vec<&str> = match claim {
        Some(Value::String(text)) => text.split_whitespace().collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    if ids.contains(&ALL) {
        return None;
    }
    Some(Arc::new(ids.into_iter().filter_map(|id| ProjectId::parse(id).ok()).collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_of_projects_is_a_text_or_a_list_and_grants_nothing_else() {
        for (claim, expected) in [
            (json!("*"), None),
            (json!(["p1", "*"]), None),
            (json!("p1"), Some(vec!["p1"])),
            (json!("p1 p2"), Some(vec!["p1", "p2"])),
            (json!(["p2", "p1", 3, "../x"]), Some(vec!["p1", "p2"])),
            (json!([]), Some(vec![])),
            (json!(""), Some(vec![])),
            (json!(true), Some(vec![])),
            (json!({ "*": "*" }), Some(vec![])),
        ] {
            let projects = projects_of_claim(Some(&claim));

            let projects = projects.as_ref().map(|projects| projects.iter().map(ProjectId::as_str));
            assert_eq!(projects.map(Vec::from_iter), expected, "of {claim}");
        }
        assert_eq!(projects_of_claim(None).map(|projects| projects.len()), Some(0));
    }
}
