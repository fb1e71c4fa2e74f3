//! How many bytes values take, so that caches are bounded by memory and not by count.

use std::mem::size_of;

use crate::domain::{
    DesktopOperation, Failure, Field, OpenEnum, ScreenRecord, Unreadable, UpstreamAnswer,
};

/// Reference counts before a shared text.
const ARC_HEADER: usize = 2 * size_of::<usize>();

/// The bytes of an operation.
pub(crate) fn of_operation(operation: &DesktopOperation) -> usize {
    let texts = [&operation.desktop_id, &operation.username, &operation.event, &operation.data];
    size_of::<DesktopOperation>()
        + ARC_HEADER
        + text(&operation.id)
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
        Some(Err(unreadable)) => of_unreadable(unreadable),
    }
}

pub(crate) fn of_unreadable(unreadable: &Unreadable) -> usize {
    ARC_HEADER + unreadable.bytes()
}

fn open_enum_bytes<T>(value: &OpenEnum<T>) -> usize {
    text(&value.raw)
}

pub(crate) fn of_failure(failure: &Failure) -> usize {
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

pub(crate) fn text(text: &str) -> usize {
    ARC_HEADER + text.len()
}
