//! What a key or a token allows its bearer to see and do.
//!
//! This is the only place that turns an entry of the key file or claims into a grant.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::config::GrantClaims;
use crate::domain::{Grant, Permission, ProjectId, Rights};

/// Projects that a caller may see; `None` for all that are served.
type Projects = Option<BTreeSet<ProjectId>>;

/// Stands for every project.
const ALL: &str = "*";
/// What the permissions in a claim begin with.
const PERMISSION_PREFIX: &str = "screen-records:";

/// Reads the projects of a key in the key file: a list of ids, or `*` alone. `None` for anything else.
pub(super) fn projects_of_key(projects: &[String]) -> Option<Projects> {
    if projects == [ALL] {
        return Some(None);
    }
    let ids: Option<BTreeSet<_>> = projects.iter().map(|id| ProjectId::parse(id).ok()).collect();
    ids.filter(|ids| !ids.is_empty()).map(Some)
}

/// Reads the permissions of a key in the key file. `None` for a list without `read`, and for a permission
/// that does not exist.
pub(super) fn permissions_of_key(names: &[String]) -> Option<BTreeSet<Permission>> {
    let all: Option<BTreeSet<_>> = names.iter().map(|name| Permission::of_name(name)).collect();
    all.filter(|all| all.contains(&Permission::Read))
}

/// Reads the grant of a verified token. A claim that is missing or malformed grants nothing.
pub(super) fn grant_of_token(claims: &Map<String, Value>, names: &GrantClaims) -> Arc<Grant> {
    let GrantClaims { projects, usernames, desktop_ids, desktop_pool_ids, permissions } = names;
    let constraint = |name: &Option<String>| name.as_ref().map(|name| values(claims.get(name)));
    let usernames = constraint(usernames);
    let rights = Rights {
        projects: projects_of_claim(claims.get(projects)),
        usernames: usernames.map(|names| names.into_iter().map(Arc::from).collect()),
        desktop_ids: constraint(desktop_ids).map(Rights::folded_ids),
        desktop_pool_ids: constraint(desktop_pool_ids).map(Rights::folded_ids),
        permissions: permissions.as_ref().map(|name| permissions_of_claim(claims.get(name))),
    };
    Arc::new(rights.into())
}

/// A malformed id names no project.
fn projects_of_claim(claim: Option<&Value>) -> Projects {
    let ids = words(claim);
    if ids.contains(&ALL) {
        return None;
    }
    Some(ids.into_iter().filter_map(|id| ProjectId::parse(id).ok()).collect())
}

/// Words that are no permission here belong to other services.
fn permissions_of_claim(claim: Option<&Value>) -> BTreeSet<Permission> {
    let names = words(claim).into_iter().filter_map(|word| word.strip_prefix(PERMISSION_PREFIX));
    names.filter_map(Permission::of_name).collect()
}

/// The words of a claim: a list, or a text with blanks between them.
fn words(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(text)) => text.split_whitespace().collect(),
        other => values(other),
    }
}

/// The values of a claim. A text is one value, whatever it contains: an issuer may let users choose it.
fn values(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{RecordFields, RecordText};

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

    /// Whether a token with this claim of users shows a recording of each of these users.
    fn shows(claim: Option<Value>, usernames: [&str; 4]) -> [bool; 4] {
        let names = GrantClaims { usernames: Some("user".to_owned()), ..GrantClaims::default() };
        let claims = claim.map(|claim| ("user".to_owned(), claim)).into_iter().collect();
        let grant = grant_of_token(&claims, &names);
        usernames.map(|name| {
            grant.shows(&RecordFields::default().with_text(RecordText::Username, name).into())
        })
    }

    #[test]
    fn a_claim_of_users_that_is_a_text_is_one_user_whatever_it_contains() {
        let users = ["alice", "bob", "alice bob", "*"];
        for (claim, expected) in [
            (Some(json!("alice")), [true, false, false, false]),
            (Some(json!("alice bob")), [false, false, true, false]),
            (Some(json!("*")), [false, false, false, true]),
            (Some(json!(["alice", "bob", 7])), [true, true, false, false]),
            (Some(json!(["*"])), [false, false, false, true]),
            (Some(json!([])), [false; 4]),
            (Some(json!(true)), [false; 4]),
            (Some(json!({ "alice": true })), [false; 4]),
            (Some(json!(null)), [false; 4]),
            (None, [false; 4]),
        ] {
            assert_eq!(shows(claim.clone(), users), expected, "of {claim:?}");
        }
    }

    #[test]
    fn a_claim_of_permissions_is_a_text_with_blanks_or_a_list_and_grants_nothing_else() {
        let of = |claim: Option<Value>| {
            let granted = permissions_of_claim(claim.as_ref());
            [Permission::Read, Permission::Operations, Permission::Download]
                .map(|permission| granted.contains(&permission))
        };
        for (claim, expected) in [
            (json!("openid screen-records:read"), [true, false, false]),
            (json!("screen-records:read screen-records:download"), [true, false, true]),
            (json!(["screen-records:read", "screen-records:operations"]), [true, true, false]),
            (json!(["screen-records:read screen-records:operations"]), [false; 3]),
            (json!("read operations download"), [false; 3]),
            (json!("screen-records:*"), [false; 3]),
            (json!(7), [false; 3]),
        ] {
            assert_eq!(of(Some(claim.clone())), expected, "of {claim}");
        }
        assert_eq!(of(None), [false; 3]);
    }
}
