//! What has changed in a list between two reads of it. Pure: two lists go in, changes come out.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::{RecordId, ScreenRecord};

/// The rows of a list, in its order, found by id.
#[derive(Default)]
pub(crate) struct Rows {
    rows: Vec<Arc<ScreenRecord>>,
    numbers: HashMap<String, usize>,
}

/// A change of a watched list.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    /// What has changed.
    pub kind: RowChangeKind,
    /// The recording now; one that was removed as it was last seen.
    pub record: Arc<ScreenRecord>,
}

/// What has changed of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChangeKind {
    /// It is in the list now.
    Added,
    /// It has other values.
    Changed,
    /// It is no longer in the list.
    Removed,
}

impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl Rows {
    /// Rows without an id are left out: nothing tells whether they are the same the next time.
    pub(crate) fn new(listed: impl IntoIterator<Item = Arc<ScreenRecord>>) -> Self {
        let mut all = Self::default();
        for row in listed {
            if let Some(id) = row.id().map(RecordId::folded) {
                all.numbers.insert(id, all.rows.len());
                all.rows.push(row);
            }
        }
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What has changed since `previous` for one who sees only some recordings: removed rows first, then the
    /// others in the order of the list.
    pub(crate) fn changes_since(
        &self,
        previous: &Self,
        sees: impl Fn(&ScreenRecord) -> bool,
    ) -> Vec<RowChange> {
        let change =
            |kind, record: &Arc<ScreenRecord>| RowChange { kind, record: Arc::clone(record) };
        let gone = previous.seen(&sees).filter(|row| self.find(row, &sees).is_none());
        let mut changes: Vec<_> = gone.map(|row| change(RowChangeKind::Removed, row)).collect();
        for row in self.seen(&sees) {
            match previous.find(row, &sees) {
                None => changes.push(change(RowChangeKind::Added, row)),
                Some(before) if before != row => changes.push(change(RowChangeKind::Changed, row)),
                Some(_) => {}
            }
        }
        changes
    }

    fn seen(
        &self,
        sees: impl Fn(&ScreenRecord) -> bool,
    ) -> impl Iterator<Item = &Arc<ScreenRecord>> {
        self.rows.iter().filter(move |row| sees(row))
    }

    fn find(
        &self,
        row: &ScreenRecord,
        sees: impl Fn(&ScreenRecord) -> bool,
    ) -> Option<&Arc<ScreenRecord>> {
        let number = self.numbers.get(&RecordId::folded(row.id()?))?;
        self.rows.get(*number).filter(|row| sees(row))
    }
}
