//! Bounds what a document expands to before anything recurses into it or validates it: how deep selection
//! sets nest, and how many selections there are, fragments expanded.
//!
//! The validator visits a fragment wherever it is spread under another name, so its work is in proportion
//! to the expanded selections. Each fragment is counted once here, so this work is linear.

use std::collections::HashMap;

use apollo_compiler::ast::{Definition, Document, Selection};

use crate::graphql::limits::{Limit, LimitExceeded, MAX_NESTING, SELECTIONS_PER_TOKEN};

/// Checks every definition of a document.
pub(super) fn check(document: &Document, max_tokens: usize) -> Result<(), LimitExceeded> {
    let fragments = document.definitions.iter().filter_map(Definition::as_fragment_definition);
    let fragments =
        fragments.map(|fragment| (fragment.name.as_str(), fragment.selection_set.as_slice()));
    let mut counter = Counter { fragments: fragments.collect(), counted: HashMap::new() };
    let mut selections = 0_usize;
    for definition in &document.definitions {
        match definition {
            Definition::OperationDefinition(operation) => {
                let expanded = counter.set(&operation.selection_set, 0)?;
                selections = selections.saturating_add(expanded.selections);
            }
            Definition::FragmentDefinition(fragment) => {
                counter.fragment(&fragment.name, 0)?;
            }
            _ => {}
        }
    }
    Limit::SELECTIONS.check(selections, max_tokens.saturating_mul(SELECTIONS_PER_TOKEN))
}

/// What a selection set expands to.
#[derive(Clone, Copy, Default)]
struct Expanded {
    /// Levels of selection sets.
    levels: usize,
    selections: usize,
}

struct Counter<'d> {
    fragments: HashMap<&'d str, &'d [Selection]>,
    /// The fragments that were looked at; `None` while one is being looked at.
    counted: HashMap<&'d str, Option<Expanded>>,
}

impl<'d> Counter<'d> {
    /// Counts a set nested below `above` others.
    fn set(&mut self, set: &'d [Selection], above: usize) -> Result<Expanded, LimitExceeded> {
        Limit::NESTING.check(above + 1, MAX_NESTING)?;
        let mut sum = Expanded::default();
        for selection in set {
            let expanded = match selection {
                Selection::Field(field) if field.selection_set.is_empty() => Expanded::default(),
                Selection::Field(field) => self.set(&field.selection_set, above + 1)?,
                Selection::InlineFragment(inline) => self.set(&inline.selection_set, above + 1)?,
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.fragment_name, above + 1)?
                }
            };
            sum.levels = sum.levels.max(expanded.levels);
            sum.selections = sum.selections.saturating_add(expanded.selections).saturating_add(1);
        }
        Ok(Expanded { levels: sum.levels + 1, ..sum })
    }

    fn fragment(&mut self, name: &str, above: usize) -> Result<Expanded, LimitExceeded> {
        let Some((&name, &set)) = self.fragments.get_key_value(name) else {
            return Ok(Expanded::default());
        };
        let expanded = match self.counted.get(name) {
            Some(Some(expanded)) => *expanded,
            // A cycle, which validation refuses.
            Some(None) => return Ok(Expanded::default()),
            None => {
                self.counted.insert(name, None);
                let expanded = self.set(set, above)?;
                self.counted.insert(name, Some(expanded));
                expanded
            }
        };
        Limit::NESTING.check(above + expanded.levels, MAX_NESTING)?;
        Ok(expanded)
    }
}
