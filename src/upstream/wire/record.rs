//! One recording, as the detail call answers it and as it stands in a list.

use std::fmt;

use jiff::tz::TimeZone;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{ERROR_KEYS, Key, Unlike, read_object};
use crate::domain::{RecordFields, RecordText, RecordTime, ScreenRecord};
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
        read => Ok(read.fields.into()),
    }
}

/// The fields of a record and what else its object held.
#[derive(Default)]
struct Read<'t> {
    fields: RecordFields<'t>,
    known: usize,
    errors: usize,
    others: usize,
}

struct RecordVisitor<'z> {
    zone: &'z TimeZone,
}

impl<'de> Visitor<'de> for RecordVisitor<'_> {
    type Value = Read<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read<'de>, A::Error> {
        let mut read = Read::default();
        while let Some(Key(key)) = map.next_key()? {
            if let Some(place) = Place::named(&key) {
                // Of a key that comes twice the last one counts, as for the official SDK.
                let value: &RawValue = map.next_value()?;
                place.set(&mut read.fields, WireValue::new(value.get()), self.zone);
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

/// A place in a record, by the type of what belongs there.
enum Place {
    Id,
    Text(RecordText),
    Time(RecordTime),
    Size,
    Duration,
}

impl Place {
    fn named(key: &str) -> Option<Self> {
        Some(match key {
            "id" => Self::Id,
            "desktop_id" => Self::Text(RecordText::DesktopId),
            "desktop_name" => Self::Text(RecordText::DesktopName),
            "desktop_pool_id" => Self::Text(RecordText::DesktopPoolId),
            "username" => Self::Text(RecordText::Username),
            "size" => Self::Size,
            "type" => Self::Text(RecordText::Type),
            "status" => Self::Text(RecordText::Status),
            "policy_id" => Self::Text(RecordText::PolicyId),
            "obs_bucket" => Self::Text(RecordText::ObsBucket),
            "file_directory" => Self::Text(RecordText::FileDirectory),
            "video_filename" => Self::Text(RecordText::VideoFilename),
            "video_file_sha256" => Self::Text(RecordText::VideoFileSha256),
            "event_filename" => Self::Text(RecordText::EventFilename),
            "event_file_sha256" => Self::Text(RecordText::EventFileSha256),
            "start_time" => Self::Time(RecordTime::Start),
            "end_time" => Self::Time(RecordTime::End),
            "update_time" => Self::Time(RecordTime::Update),
            "duration" => Self::Duration,
            "upload_type" => Self::Text(RecordText::UploadType),
            "site_type" => Self::Text(RecordText::SiteType),
            _ => return None,
        })
    }

    fn set<'t>(self, fields: &mut RecordFields<'t>, value: WireValue<'t>, zone: &TimeZone) {
        match self {
            Self::Id => *fields.text(RecordText::Id) = value.name().map(Ok),
            Self::Text(of) => *fields.text(of) = value.text(),
            Self::Time(of) => *fields.time(of) = value.timestamp(zone),
            Self::Size => fields.size = value.long(),
            Self::Duration => fields.duration = value.int(),
        }
    }
}
