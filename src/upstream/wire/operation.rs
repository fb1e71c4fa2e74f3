//! One operation on a desktop, as it stands in the list of a recording.

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Key, Unlike, read_object};
use crate::domain::{DesktopOperation, Field};
use crate::upstream::normalize::WireValue;

/// Reads a row.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object.
pub(crate) fn desktop_operation(row: &[u8], zone: &TimeZone) -> Result<DesktopOperation, Unlike> {
    read_object(row, OperationVisitor { zone })
}

struct OperationVisitor<'z> {
    zone: &'z TimeZone,
}

impl<'de> Visitor<'de> for OperationVisitor<'_> {
    type Value = DesktopOperation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut operation = DesktopOperation::default();
        while let Some(Key(key)) = map.next_key()? {
            if !KEYS.contains(&key.as_ref()) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let raw: &RawValue = map.next_value()?;
            set(&mut operation, &key, WireValue::new(raw.get()), self.zone);
        }
        Ok(operation)
    }
}

const KEYS: [&str; 9] = [
    "id",
    "desktop_id",
    "username",
    "event_type",
    "event_level",
    "event_id",
    "event_data",
    "operation_time",
    "relative_start_time",
];

fn set(operation: &mut DesktopOperation, key: &str, value: WireValue<'_>, zone: &TimeZone) {
    match key {
        "id" => operation.id = value.name().map(Arc::from),
        "desktop_id" => operation.desktop_id = text(value),
        "username" => operation.username = text(value),
        "event_type" => operation.kind = value.operation_type(),
        "event_level" => operation.level = value.operation_level(),
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
