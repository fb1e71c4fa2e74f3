//! The fields of an object, with fragments expanded: `CollectFields` of the specification (section 6.3.2).

use std::collections::HashSet;

use apollo_compiler::executable::{DirectiveList, Field, Selection, SelectionSet};
use apollo_compiler::{ExecutableDocument, Node};
use async_graphql::indexmap::IndexMap;
use foldhash::quality::RandomState;
use smallvec::SmallVec;

/// The fields of an object by response key, in the order of the response.
pub(crate) type FieldGroups<'d> = IndexMap<&'d str, SmallVec<[&'d Node<Field>; 1]>, RandomState>;

/// Collects the fields that selection sets of one object have together.
///
/// Every fragment applies: all types of the schema are objects, or unions of one, and the document is
/// valid.
///
/// # Errors
/// What `is_included` fails with. It tells whether directives include their selection.
pub(crate) fn collect_fields<'d, E>(
    document: &'d ExecutableDocument,
    sets: impl IntoIterator<Item = &'d SelectionSet>,
    is_included: &impl Fn(&DirectiveList) -> Result<bool, E>,
) -> Result<FieldGroups<'d>, E> {
    let (mut groups, mut spread) = (FieldGroups::default(), HashSet::new());
    let mut pending: Vec<_> = sets.into_iter().map(|set| set.selections.iter()).collect();
    pending.reverse();
    while let Some(selections) = pending.last_mut() {
        let Some(selection) = selections.next() else {
            pending.pop();
            continue;
        };
        if !is_included(selection.directives())? {
            continue;
        }
        match selection {
            Selection::Field(field) => {
                groups.entry(field.response_key()).or_default().push(field);
            }
            Selection::InlineFragment(inline) => {
                pending.push(inline.selection_set.selections.iter());
            }
            Selection::FragmentSpread(named) => {
                if spread.insert(&named.fragment_name)
                    && let Some(fragment) = document.fragments.get(&named.fragment_name)
                {
                    pending.push(fragment.selection_set.selections.iter());
                }
            }
        }
    }
    Ok(groups)
}
