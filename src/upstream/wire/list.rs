//! A list's envelope: rows under one key, and how many there are in all.

use super::object::items;
use super::{ERROR_KEYS, Unlike, read_object};
use crate::domain::{Field, Page};
use crate::upstream::normalize::WireValue;

/// Reads a list with its rows under a key; each row on its own, by `row`.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object with rows.
pub(crate) fn list<T>(
    body: &[u8],
    rows_key: &'static str,
    row: impl Fn(&[u8]) -> Result<T, Unlike>,
) -> Result<Page<T>, Unlike> {
    let envelope = read_object(body, |envelope: &mut Envelope<'_>, key, value| {
        if key == rows_key {
            envelope.rows = Some(value);
        } else if key == "total_count" {
            envelope.total = count(value);
        } else if ERROR_KEYS.contains(&key) {
            envelope.has_error |= !value.is_null();
        }
    })?;
    let Some(rows) = envelope.rows else {
        return Err(if envelope.has_error {
            Unlike::Error
        } else {
            Unlike::Malformed(format!("holds no {rows_key}"))
        });
    };
    let no_list = || Unlike::Malformed(format!("holds {rows_key}, which is not a list"));
    let rows = items(rows).ok_or_else(no_list)?;
    let read = |value: WireValue<'_>| {
        row(value.as_bytes()).map_err(|unlike| match unlike {
            Unlike::Error => value.unreadable("is an error and not a row"),
            Unlike::Malformed(problem) => value.unreadable(&problem),
        })
    };
    Ok(Page { rows: rows.into_iter().map(read).collect(), total: envelope.total })
}

#[derive(Default)]
struct Envelope<'b> {
    rows: Option<WireValue<'b>>,
    total: Field<i64>,
    has_error: bool,
}

/// A number of rows, which is never negative.
fn count(value: WireValue<'_>) -> Field<i64> {
    let check = |number: i64| {
        if number < 0 { Err(value.unreadable("is not a number of rows")) } else { Ok(number) }
    };
    value.long().map(|read| read.and_then(check))
}
