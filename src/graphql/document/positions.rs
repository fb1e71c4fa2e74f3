//! Lines and columns of byte offsets, both from 1, as the specification counts them.

use apollo_compiler::ExecutableDocument;
use apollo_compiler::executable::{Selection, SelectionSet};
use async_graphql::Pos;

/// The position of every field and variable of a document.
#[derive(Debug, Default)]
pub(crate) struct FieldPositions(Vec<FieldPosition>);

#[derive(Clone, Copy, Debug)]
struct FieldPosition {
    offset: usize,
    position: Pos,
}

impl FieldPositions {
    pub(super) fn of(document: &ExecutableDocument, text: &str) -> Self {
        let mut offsets = Vec::new();
        for operation in document.operations.iter() {
            let variables = operation.variables.iter();
            offsets.extend(variables.filter_map(|variable| variable.name.location()));
            collect(&operation.selection_set, &mut offsets);
        }
        for fragment in document.fragments.values() {
            collect(&fragment.selection_set, &mut offsets);
        }
        let mut offsets: Vec<usize> = offsets.into_iter().map(|span| span.offset()).collect();
        offsets.sort_unstable();
        offsets.dedup();
        let mut lines = LineCounter::new(text);
        let position = |offset| FieldPosition { offset, position: lines.at(offset) };
        Self(offsets.into_iter().map(position).collect())
    }

    /// The position of a field or variable that begins at an offset.
    pub(crate) fn at(&self, offset: usize) -> Option<Pos> {
        let found = self.0.binary_search_by_key(&offset, |field| field.offset).ok()?;
        self.0.get(found).map(|field| field.position)
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * size_of::<FieldPosition>()
    }
}

fn collect(set: &SelectionSet, offsets: &mut Vec<apollo_compiler::parser::SourceSpan>) {
    for selection in &set.selections {
        match selection {
            Selection::Field(field) => {
                offsets.extend(field.location());
                collect(&field.selection_set, offsets);
            }
            Selection::InlineFragment(fragment) => collect(&fragment.selection_set, offsets),
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// Counts lines and columns. Ascending offsets are found in one pass over the text.
pub(super) struct LineCounter<'d> {
    text: &'d str,
    /// How far the text has been read, and the position there.
    read: usize,
    position: Pos,
}

impl<'d> LineCounter<'d> {
    pub(super) fn new(text: &'d str) -> Self {
        Self { text, read: 0, position: Pos { line: 1, column: 1 } }
    }

    /// The position of an offset. An offset inside a character is the character's; one behind the
    /// text is its end.
    pub(super) fn at(&mut self, offset: usize) -> Pos {
        let offset = self.text.floor_char_boundary(offset);
        if offset < self.read {
            *self = Self::new(self.text);
        }
        let mut returned = self.text.get(..self.read).is_some_and(|read| read.ends_with('\r'));
        for next in self.text.get(self.read..offset).unwrap_or_default().chars() {
            match next {
                // A return and a feed end one line.
                '\n' if returned => {}
                '\r' | '\n' => {
                    self.position = Pos { line: self.position.line + 1, column: 1 };
                }
                _ => self.position.column += 1,
            }
            returned = next == '\r';
        }
        self.read = offset;
        self.position
    }
}
