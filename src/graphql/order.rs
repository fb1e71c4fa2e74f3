//! Repairs what the executor leaves out of order: it writes fields as they finish, and clients are
//! promised the document's order (specification, section 7.2.2). Only fields that wait for something
//! can finish out of order, so only the objects around them are looked at.

use std::collections::HashSet;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Response, ServerError, Value};

/// The fields below the root that wait.
const WAITING: [&str; 2] = ["downloadUrl", "operations"];

/// The keys that an object of the answer will have, in the document's order, each with the keys of
/// the objects below it.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    members: IndexMap<Name, Self>,
    /// Whether a field waits here or further down.
    waits: bool,
}

/// The keys of the answer to an operation.
pub(crate) fn keys(operation: &OperationDefinition, document: &ExecutableDocument) -> Keys {
    let mut keys = Keys::default();
    keys.collect(&operation.selection_set.node, document, &mut HashSet::new());
    keys
}

/// The response with its objects in the order of `keys`, with an object where every field was left
/// out, and with one error for each place: a field selected twice is executed twice.
pub(crate) fn repaired(mut response: Response, keys: &Keys) -> Response {
    response.data = match response.data {
        Value::Object(mut fields) => {
            keys.sort(&mut fields);
            keys.put_members_in_order(&mut fields);
            Value::Object(fields)
        }
        Value::Null if response.errors.is_empty() => Value::Object(IndexMap::default()),
        data => data,
    };
    keep_one_for_each_place(&mut response.errors);
    response
}

impl Keys {
    fn collect<'d>(
        &mut self,
        selection: &'d SelectionSet,
        document: &'d ExecutableDocument,
        spread: &mut HashSet<&'d str>,
    ) {
        for item in &selection.items {
            match &item.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    let member = self.members.entry(field.response_key().node.clone()).or_default();
                    member.collect(&field.selection_set.node, document, &mut HashSet::new());
                    self.waits |= member.waits || WAITING.contains(&field.name.node.as_str());
                }
                Selection::InlineFragment(fragment) => {
                    self.collect(&fragment.node.selection_set.node, document, spread);
                }
                Selection::FragmentSpread(fragment) => {
                    let name = fragment.node.fragment_name.node.as_str();
                    let definition = document.fragments.get(name).filter(|_| spread.insert(name));
                    if let Some(definition) = definition {
                        self.collect(&definition.node.selection_set.node, document, spread);
                    }
                }
            }
        }
    }

    fn put_in_order(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                self.sort(fields);
                self.put_members_in_order(fields);
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.put_in_order(item)),
            _ => {}
        }
    }

    fn sort(&self, fields: &mut IndexMap<Name, Value>) {
        if fields.len() > 1 {
            let place = |name: &Name| self.members.get_index_of(name);
            fields.sort_by_cached_key(|name, _| place(name).unwrap_or(usize::MAX));
        }
    }

    fn put_members_in_order(&self, fields: &mut IndexMap<Name, Value>) {
        for (name, member) in self.members.iter().filter(|(_, member)| member.waits) {
            if let Some(value) = fields.get_mut(name) {
                member.put_in_order(value);
            }
        }
    }
}

fn keep_one_for_each_place(errors: &mut Vec<ServerError>) {
    if errors.len() > 1 {
        let mut seen = HashSet::new();
        errors.retain(|error| {
            error.path.is_empty() || seen.insert(serde_json::to_string(&error.path).ok())
        });
    }
}
