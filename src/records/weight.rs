//! How many bytes a cache entry takes, so that the cache is bounded by memory and not by count.

use std::mem::size_of;
use std::sync::Arc;

use super::cache::{Entry, Value};
use super::key::RecordKey;
use super::links::KeptLink;
use super::pages::{KeptPage, Listing, PageKey};
use crate::domain::{
    DesktopOperation, Failure, Field, OpenEnum, ScreenRecord, Unreadable, UpstreamAnswer,
};

/// What the cache itself needs for an entry beside key and value: hash-table slots, queue nodes and
/// reference counts, estimated from moka's structures.
pub(crate) const BOOKKEEPING: usize = 200;
/// Reference counts before a shared text.
const ARC_HEADER: usize = 2 * size_of::<usize>();

/// The weight of an entry in bytes.
pub(crate) fn weight(key: &RecordKey, entry: &Arc<Entry>) -> u32 {
    let key_bytes = size_of::<RecordKey>() + text(key.project.as_str()) + text(key.id.as_str());
    let value_bytes = size_of::<Entry>()
        + match &entry.value {
            Value::Record(record) => of_record(record),
            Value::Absent(failure) => failure_bytes(failure),
        };
    u32::try_from(BOOKKEEPING + key_bytes + value_bytes).unwrap_or(u32::MAX)
}

/// The weight of a page in bytes. Its recordings are counted although the record cache may hold
/// them too: whichever lets go of them last frees them.
pub(crate) fn of_page<L: Listing>(key: &PageKey<L>, kept: &Arc<KeptPage<L::Row>>) -> u32 {
    let rows = kept.page.rows.iter().map(|row| match row {
        Ok(row) => size_of::<Result<L::Row, Arc<Unreadable>>>() + L::row_bytes(row),
        Err(unreadable) => unreadable_bytes(unreadable),
    });
    let key_bytes = size_of::<PageKey<L>>() + text(key.project.as_str()) + key.listing.bytes();
    let bytes = BOOKKEEPING + key_bytes + size_of::<KeptPage<L::Row>>() + rows.sum::<usize>();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The weight of a link in bytes.
pub(crate) fn of_link(key: &RecordKey, kept: &Arc<KeptLink>) -> u32 {
    let link = match &kept.link {
        Some(Ok(link)) => link.expose().len(),
        Some(Err(unreadable)) => unreadable_bytes(unreadable),
        None => 0,
    };
    let key_bytes = size_of::<RecordKey>() + text(key.project.as_str()) + text(key.id.as_str());
    u32::try_from(BOOKKEEPING + key_bytes + size_of::<KeptLink>() + link).unwrap_or(u32::MAX)
}

/// The bytes of an operation.
pub(crate) fn of_operation(operation: &DesktopOperation) -> usize {
    let texts = [&operation.desktop_id, &operation.username, &operation.event, &operation.data];
    size_of::<DesktopOperation>()
        + ARC_HEADER
        + operation.id.as_deref().map_or(0, text)
        + texts.into_iter().map(|field| field_bytes(field, |value| text(value))).sum::<usize>()
        + field_bytes(&operation.kind, open_enum_bytes)
        + field_bytes(&operation.level, open_enum_bytes)
        + field_bytes(&operation.time, |_| 0)
        + field_bytes(&operation.offset, |_| 0)
}

/// The bytes of a recording.
pub(crate) fn of_record(record: &ScreenRecord) -> usize {
    record.bytes() + ARC_HEADER
}

fn field_bytes<T>(field: &Field<T>, heap: impl Fn(&T) -> usize) -> usize {
    match field {
        None => 0,
        Some(Ok(value)) => heap(value),
        Some(Err(unreadable)) => unreadable_bytes(unreadable),
    }
}

fn unreadable_bytes(unreadable: &Unreadable) -> usize {
    ARC_HEADER + unreadable.bytes()
}

fn open_enum_bytes<T>(value: &OpenEnum<T>) -> usize {
    text(&value.raw)
}

fn failure_bytes(failure: &Failure) -> usize {
    let texts = failure.upstream().map_or(0, answer_bytes);
    size_of::<UpstreamAnswer>() + ARC_HEADER + texts
}

fn answer_bytes(answer: &UpstreamAnswer) -> usize {
    [
        &answer.error_code,
        &answer.error_message,
        &answer.request_id,
        &answer.encoded_authorization_message,
    ]
    .into_iter()
    .flatten()
    .map(String::len)
    .sum()
}

fn text(text: &str) -> usize {
    ARC_HEADER + text.len()
}
