//! One recording, as the detail call answers it and as it stands in a list.

use std::fmt;

use jiff::tz::TimeZone;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{ERROR_KEYS, Key, Unlike, flat, read_object};
use crate::domain::{RecordFields, RecordText, RecordTime, ScreenRecord};
use crate::upstream::normalize::WireValue;

/// Reads the answer of the detail call.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object that could be a record.
pub fn screen_record(body: &[u8], zone: &TimeZone) -> Result<ScreenRecord, Unlike> {
    let read = match plain_record(body, zone) {
        Some(read) => read,
        None => read_object(body, RecordVisitor { zone })?,
    };
    match read {
        Read { known: 0, errors: 1.., .. } => Err(Unlike::Error),
        Read { known: 0, others: 1.., .. } => {
            Err(Unlike::Malformed("holds none of a recording's fields".to_owned()))
        }
        read => Ok(read.fields.into()),
    }
}

/// The fields of a record and what else its object held.
#[derive(Debug, Default, PartialEq)]
struct Read<'t> {
    fields: RecordFields<'t>,
    known: usize,
    errors: usize,
    others: usize,
}

impl<'t> Read<'t> {
    /// Of a key that comes twice the last one counts, as for the official SDK.
    fn note(&mut self, key: &str, value: WireValue<'t>, zone: &TimeZone) {
        if let Some(place) = Place::named(key) {
            place.set(&mut self.fields, value, zone);
            self.known += 1;
        } else if ERROR_KEYS.contains(&key) {
            self.errors += usize::from(!value.is_null());
        } else {
            self.others += 1;
        }
    }
}

/// A recording as nearly all are written; nothing where it is written in any other way.
fn plain_record<'t>(body: &'t [u8], zone: &TimeZone) -> Option<Read<'t>> {
    let mut read = Read::default();
    flat::members(str::from_utf8(body).ok()?, |key, value| {
        read.note(key, WireValue::new(value), zone);
    })?;
    Some(read)
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
            let value: &RawValue = map.next_value()?;
            read.note(&key, WireValue::new(value.get()), self.zone);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_reads_the_same_either_way(
            values in proptest::collection::vec(
                "(null|true|0|-?[1-9][0-9]{0,20}|\"[ !#-Z^-~]{0,20}\"|\"2024-0[0-9]-1[0-9]T10:04:41Z?\")", 21,
            ),
        ) {
            let names = [
                "id", "desktop_id", "desktop_name", "desktop_pool_id", "username", "size", "type", "status",
                "policy_id", "obs_bucket", "file_directory", "video_filename", "video_file_sha256",
                "event_filename", "event_file_sha256", "start_time", "end_time", "update_time", "duration",
                "error_code", "unknown",
            ];
            let members: Vec<_> =
                names.iter().zip(&values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let body = format!("{{{}}}", members.join(","));
            let zone = &TimeZone::UTC;

            let plain = plain_record(body.as_bytes(), zone).unwrap();
            let general = read_object(body.as_bytes(), RecordVisitor { zone }).unwrap();

            prop_assert_eq!(plain, general);
        }
    }
}
