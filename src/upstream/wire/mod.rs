//! The upstream's JSON, read value by value.

mod object;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::tz::TimeZone;

pub use self::object::Unlike;
use self::object::items;
pub(crate) use self::object::read_object;
use crate::domain::{
    DesktopOperation, DesktopOperationLevel, DesktopOperationType, DownloadLink, Field, Page,
    RecordFields, RecordText, RecordTime, ScreenRecord, Unreadable,
};
use crate::upstream::normalize::WireValue;

/// Keys that hold an error's code, in any of the shapes that are in use, or an error object.
const ERROR_KEYS: [&str; 6] = ["error_code", "errorCode", "errCode", "code", "error", "result"];

/// Reads a recording.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object that could be a record.
pub fn screen_record(body: &[u8], zone: &TimeZone) -> Result<ScreenRecord, Unlike> {
    let read =
        read_object(body, |read: &mut RecordObject<'_>, key, value| read.note(key, value, zone))?;
    match read {
        RecordObject { known: 0, errors: 1.., .. } => Err(Unlike::Error),
        RecordObject { known: 0, others: 1.., .. } => {
            Err(Unlike::Malformed("holds none of a recording's fields".to_owned()))
        }
        read => Ok(read.fields.into()),
    }
}

/// The fields of a record and what else its object held.
#[derive(Default)]
struct RecordObject<'t> {
    fields: RecordFields<'t>,
    known: usize,
    errors: usize,
    others: usize,
}

impl<'t> RecordObject<'t> {
    /// Of a key that comes twice the last one counts, as for the official SDK.
    fn note(&mut self, key: &str, value: WireValue<'t>, zone: &TimeZone) {
        let fields = &mut self.fields;
        match key {
            "id" => *fields.text(RecordText::Id) = value.name().map(Ok),
            "size" => fields.size = value.long(),
            "duration" => fields.duration = value.int(),
            _ => {
                if let Some(text) = RecordText::of_wire_name(key) {
                    *fields.text(text) = value.text();
                } else if let Some(time) = RecordTime::of_wire_name(key) {
                    *fields.time(time) = value.timestamp(zone);
                } else if ERROR_KEYS.contains(&key) {
                    self.errors += usize::from(!value.is_null());
                    return;
                } else {
                    self.others += 1;
                    return;
                }
            }
        }
        self.known += 1;
    }
}

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

/// Reads an operation on a desktop, as it stands in the list of a recording.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object.
pub(crate) fn desktop_operation(row: &[u8], zone: &TimeZone) -> Result<DesktopOperation, Unlike> {
    let text = |value: WireValue<'_>| value.text().map(|text| text.map(Arc::from));
    let operation = read_object(row, |operation: &mut DesktopOperation, key, value| match key {
        "id" => operation.id = value.name().unwrap_or_default().into(),
        "desktop_id" => operation.desktop_id = text(value),
        "username" => operation.username = text(value),
        "event_type" => operation.kind = value.open_enum(DesktopOperationType::from_upstream),
        "event_level" => operation.level = value.open_enum(DesktopOperationLevel::from_upstream),
        "event_id" => operation.event = text(value),
        "event_data" => operation.data = text(value),
        "operation_time" => operation.time = value.timestamp(zone),
        "relative_start_time" => operation.offset = value.int(),
        _ => {}
    })?;
    if operation.id.is_empty() {
        return Err(Unlike::Malformed("has no id".to_owned()));
    }
    Ok(operation)
}

/// A link and the recording it belongs to.
#[derive(Debug, Default)]
pub(crate) struct LinkRow {
    pub(crate) id: Option<String>,
    pub(crate) link: Field<DownloadLink>,
}

/// Reads all links of an answer. Rows that are no objects are left out: they name no recording.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object with rows.
pub(crate) fn download_links(body: &[u8]) -> Result<Vec<LinkRow>, Unlike> {
    let note = |row: &mut LinkRow, key: &str, value: WireValue<'_>| match key {
        "id" => row.id = value.name().map(Cow::into_owned),
        "download_url" => row.link = link(value),
        _ => {}
    };
    let page = list(body, "address", |row| read_object(row, note))?;
    Ok(page.rows.into_iter().filter_map(Result::ok).collect())
}

/// What cannot be read is not repeated: it may be a link all the same.
fn link(value: WireValue<'_>) -> Field<DownloadLink> {
    let unreadable = || Unreadable::new("is not an address on the web", "");
    match value.text()? {
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => Some(DownloadLink::parse(&text).ok_or_else(unreadable)),
        Err(_) => Some(Err(unreadable())),
    }
}

#[cfg(test)]
mod tests;
