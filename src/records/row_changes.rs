//! What has changed in a list between two reads of it. Pure: two lists go in, changes come out.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::domain::{RecordId, ScreenRecord};

/// The rows of a list, in its order, by folded id. Rows without an id are left out: nothing tells whether
/// they are the same the next time.
pub(crate) type Rows = IndexMap<String, Arc<ScreenRecord>>;

/// A change of a watched list.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    /// What has changed.
    pub kind: RowChangeKind,
    /// The recording now; one that was removed as it was last seen.
    pub record: Arc<ScreenRecord>,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, async_graphql::Enum)]
#[graphql(name = "ScreenRecordChangeKind")]
pub enum RowChangeKind {
    /// The recording is in the list now.
    Added,
    /// The recording has other values.
    Changed,
    /// The recording is no longer in the list.
    Removed,
}

pub(crate) fn rows(listed: impl IntoIterator<Item = Arc<ScreenRecord>>) -> Rows {
    let keyed = |row: Arc<ScreenRecord>| Some((RecordId::folded(row.id()?), row));
    listed.into_iter().filter_map(keyed).collect()
}

/// What has changed for one who sees only some recordings: removed rows first, then the others in the order
/// of the list.
pub(crate) fn changes(
    before: &Rows,
    now: &Rows,
    sees: impl Fn(&ScreenRecord) -> bool,
) -> Vec<RowChange> {
    let shown = |rows: &Rows, id: &str| rows.get(id).filter(|row| sees(row)).cloned();
    let removed = before.keys().filter(|id| shown(now, id).is_none());
    let removed = removed.filter_map(|id| Some((RowChangeKind::Removed, shown(before, id)?)));
    let others = now.keys().filter_map(|id| {
        let (before, record) = (shown(before, id), shown(now, id)?);
        match before {
            None => Some((RowChangeKind::Added, record)),
            Some(before) if before != record => Some((RowChangeKind::Changed, record)),
            Some(_) => None,
        }
    });
    removed.chain(others).map(|(kind, record)| RowChange { kind, record }).collect()
}
