//! One operation on a desktop, as it stands in the list of a recording.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{Unlike, read_object};
use crate::domain::{DesktopOperation, DesktopOperationLevel, DesktopOperationType, Field};
use crate::upstream::normalize::WireValue;

/// Reads a row.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object with an id.
pub(crate) fn desktop_operation(row: &[u8], zone: &TimeZone) -> Result<DesktopOperation, Unlike> {
    let operation: DesktopOperation =
        read_object(row, |operation, key, value| set(operation, key, value, zone))?;
    if operation.id.is_empty() {
        return Err(Unlike::Malformed("has no id".to_owned()));
    }
    Ok(operation)
}

fn set(operation: &mut DesktopOperation, key: &str, value: WireValue<'_>, zone: &TimeZone) {
    match key {
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
    }
}

fn text(value: WireValue<'_>) -> Field<Arc<str>> {
    value.text().map(|text| text.map(Arc::from))
}
