//! Repairs what the executor leaves out of order: it writes fields as they finish, and clients are
//! promised the document's order (specification, section 7.2.2). Only root fields ever wait, so only
//! they can finish out of order.

use std::collections::HashSet;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Response, ServerError, Value};

/// The keys that the root of the answer will have, in the document's order.
pub(crate) fn root_keys(
    operation: &OperationDefinition,
    document: &ExecutableDocument,
) -> Vec<Name> {
    let selection = &operation.selection_set.node;
    let mut keys = Vec::with_capacity(selection.items.len());
    collect_keys(selection, document, &mut keys, &mut HashSet::new());
    keys
}

/// The response with its root in the order of `keys`, with an object where every field was left out,
/// and with one error for each place: a field selected twice is executed twice.
pub(crate) fn repaired(mut response: Response, keys: &[Name]) -> Response {
    response.data = match response.data {
        Value::Object(mut fields) if keys.len() > 1 => {
            let place = |name: &Name| keys.iter().position(|key| key == name);
            fields.sort_by_cached_key(|name, _| place(name).unwrap_or(keys.len()));
            Value::Object(fields)
        }
        Value::Null if response.errors.is_empty() => Value::Object(IndexMap::default()),
        data => data,
    };
    keep_one_for_each_place(&mut response.errors);
    response
}

fn keep_one_for_each_place(errors: &mut Vec<ServerError>) {
    if errors.len() > 1 {
        let mut seen = HashSet::new();
        errors.retain(|error| {
            error.path.is_empty() || seen.insert(serde_json::to_string(&error.path).ok())
        });
    }
}

fn collect_keys<'d>(
    selection: &'d SelectionSet,
    document: &'d ExecutableDocument,
    keys: &mut Vec<Name>,
    spread: &mut HashSet<&'d str>,
) {
    for item in &selection.items {
        match &item.node {
            Selection::Field(field) => keys.push(field.node.response_key().node.clone()),
            Selection::InlineFragment(fragment) => {
                collect_keys(&fragment.node.selection_set.node, document, keys, spread);
            }
            Selection::FragmentSpread(fragment) => {
                let name = fragment.node.fragment_name.node.as_str();
                let definition = document.fragments.get(name).filter(|_| spread.insert(name));
                if let Some(definition) = definition {
                    collect_keys(&definition.node.selection_set.node, document, keys, spread);
                }
            }
        }
    }
}
