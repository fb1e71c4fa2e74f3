//! Bounds what a document expands to before anything recurses into it or validates it: how deep selection
//! sets nest, and how many selections there are, fragments expanded.
//!
//! The validator visits a fragment wherever it is spread under another name, so its work is in proportion
//! to the expanded selections. Counting stops at the limit, so this work is bounded, too.

use std::collections::{HashMap, HashSet};

use apollo_compiler::ast::{Definition, Document, Selection};

use crate::graphql::limits::{Limit, LimitExceeded, MAX_NESTING, SELECTIONS_PER_TOKEN};

/// Checks every definition of a document.
pub(super) fn check(document: &Document, max_tokens: usize) -> Result<(), LimitExceeded> {
    let definitions = document.definitions.iter();
    let fragments = definitions.clone().filter_map(Definition::as_fragment_definition);
    let fragments = fragments.map(|fragment| (&*fragment.name, &*fragment.selection_set));
    let mut counter = Counter {
        fragments: fragments.collect(),
        seen: HashSet::new(),
        open: Vec::new(),
        selections: 0,
        most: max_tokens.saturating_mul(SELECTIONS_PER_TOKEN),
    };
    for operation in definitions.clone().filter_map(Definition::as_operation_definition) {
        counter.set(&operation.selection_set, 1)?;
    }
    // A fragment that no operation reaches is an error that validation finds.
    for fragment in definitions.filter_map(Definition::as_fragment_definition) {
        if !counter.seen.contains(&*fragment.name) {
            counter.fragment(&fragment.name, 0)?;
        }
    }
    Ok(())
}

struct Counter<'d> {
    fragments: HashMap<&'d str, &'d [Selection]>,
    /// The fragments that were counted.
    seen: HashSet<&'d str>,
    /// The fragments around the selection.
    open: Vec<&'d str>,
    selections: usize,
    most: usize,
}

impl<'d> Counter<'d> {
    fn set(&mut self, set: &'d [Selection], level: usize) -> Result<(), LimitExceeded> {
        Limit::NESTING.check(level, MAX_NESTING)?;
        for selection in set {
            self.selections += 1;
            Limit::SELECTIONS.check(self.selections, self.most)?;
            match selection {
                Selection::Field(field) if field.selection_set.is_empty() => {}
                Selection::Field(field) => self.set(&field.selection_set, level + 1)?,
                Selection::InlineFragment(inline) => self.set(&inline.selection_set, level + 1)?,
                Selection::FragmentSpread(spread) => self.fragment(&spread.fragment_name, level)?,
            }
        }
        Ok(())
    }

    fn fragment(&mut self, name: &str, level: usize) -> Result<(), LimitExceeded> {
        let Some((&name, &set)) = self.fragments.get_key_value(name) else { return Ok(()) };
        // Validation refuses a cycle.
        if self.open.contains(&name) {
            return Ok(());
        }
        self.seen.insert(name);
        self.open.push(name);
        self.set(set, level + 1)?;
        self.open.pop();
        Ok(())
    }
}
