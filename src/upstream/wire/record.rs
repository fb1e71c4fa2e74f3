//! One recording, as the detail call answers it and as it stands in a list.

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{ERROR_KEYS, Key, Unlike, read_object};
use crate::domain::{Field, ScreenRecord, Timestamp};
use crate::upstream::normalize::WireValue;

/// Reads the answer of the detail call.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object that could be a record.
pub fn screen_record(body: &[u8], zone: &TimeZone) -> Result<ScreenRecord, Unlike> {
    let read = read_object(body, RecordVisitor { zone })?;
    match read {
        Read { known: 0, errors: 1.., .. } => Err(Unlike::Error),
        Read { known: 0, others: 1.., .. } => {
            Err(Unlike::Malformed("holds none of a recording's fields".to_owned()))
        }
        read => Ok(read.record),
    }
}

/// A record and what else its object held.
#[derive(Default)]
struct Read {
    record: ScreenRecord,
    known: usize,
    errors: usize,
    others: usize,
}

struct RecordVisitor<'z> {
    zone: &'z TimeZone,
}

impl<'de> Visitor<'de> for RecordVisitor<'_> {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let mut read = Read::default();
        while let Some(Key(key)) = map.next_key()? {
            if let Some(field) = field(&mut read.record, &key) {
                // Of a key that comes twice the last one counts, as for the official SDK.
                let value: &RawValue = map.next_value()?;
                field.set(WireValue::new(value.get()), self.zone);
                read.known += 1;
            } else if ERROR_KEYS.contains(&key.as_ref()) {
                let value: &RawValue = map.next_value()?;
                read.errors += usize::from(!WireValue::new(value.get()).is_null());
            } else {
                map.next_value::<IgnoredAny>()?;
                read.others += 1;
            }
        }
        Ok(read)
    }
}

/// A place in the record, by the type of what belongs there.
enum Place<'r> {
    Id(&'r mut ScreenRecord),
    Text(&'r mut Field<Arc<str>>),
    Time(&'r mut Field<Timestamp>),
    Size(&'r mut ScreenRecord),
    Duration(&'r mut ScreenRecord),
    Kind(&'r mut ScreenRecord),
    Status(&'r mut ScreenRecord),
}

fn field<'r>(record: &'r mut ScreenRecord, key: &str) -> Option<Place<'r>> {
    Some(match key {
        "id" => Place::Id(record),
        "desktop_id" => Place::Text(&mut record.desktop_id),
        "desktop_name" => Place::Text(&mut record.desktop_name),
        "desktop_pool_id" => Place::Text(&mut record.desktop_pool_id),
        "username" => Place::Text(&mut record.username),
        "size" => Place::Size(record),
        "type" => Place::Kind(record),
        "status" => Place::Status(record),
        "policy_id" => Place::Text(&mut record.policy_id),
        "obs_bucket" => Place::Text(&mut record.obs_bucket),
        "file_directory" => Place::Text(&mut record.file_directory),
        "video_filename" => Place::Text(&mut record.video_filename),
        "video_file_sha256" => Place::Text(&mut record.video_file_sha256),
        "event_filename" => Place::Text(&mut record.event_filename),
        "event_file_sha256" => Place::Text(&mut record.event_file_sha256),
        "start_time" => Place::Time(&mut record.start_time),
        "end_time" => Place::Time(&mut record.end_time),
        "update_time" => Place::Time(&mut record.update_time),
        "duration" => Place::Duration(record),
        "upload_type" => Place::Text(&mut record.upload_type),
        "site_type" => Place::Text(&mut record.site_type),
        _ => return None,
    })
}

impl Place<'_> {
    fn set(self, value: WireValue<'_>, zone: &TimeZone) {
        match self {
            Self::Id(record) => record.id = value.name(),
            Self::Text(field) => *field = value.text(),
            Self::Time(field) => *field = value.timestamp(zone),
            Self::Size(record) => record.size = value.long(),
            Self::Duration(record) => record.duration = value.int(),
            Self::Kind(record) => record.kind = value.kind(),
            Self::Status(record) => record.status = value.status(),
        }
    }
}
