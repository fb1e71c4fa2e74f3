//! One recording, as the detail call answers it and as it stands in a list.

use jiff::tz::TimeZone;

use super::{ERROR_KEYS, Unlike, read_object};
use crate::domain::{RecordFields, RecordText, RecordTime, ScreenRecord};
use crate::upstream::normalize::WireValue;

/// Reads the answer of the detail call.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object that could be a record.
pub fn screen_record(body: &[u8], zone: &TimeZone) -> Result<ScreenRecord, Unlike> {
    let read = read_object(body, |read: &mut Read<'_>, key, value| read.note(key, value, zone))?;
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

impl<'t> Read<'t> {
    /// Of a key that comes twice the last one counts, as for the official SDK.
    fn note(&mut self, key: &str, value: WireValue<'t>, zone: &TimeZone) {
        if let Some(slot) = FieldSlot::named(key) {
            slot.set(&mut self.fields, value, zone);
            self.known += 1;
        } else if ERROR_KEYS.contains(&key) {
            self.errors += usize::from(!value.is_null());
        } else {
            self.others += 1;
        }
    }
}

/// A slot in a record, by the type of what belongs there.
enum FieldSlot {
    Id,
    Text(RecordText),
    Time(RecordTime),
    Size,
    Duration,
}

impl FieldSlot {
    fn named(key: &str) -> Option<Self> {
        Some(match key {
            "id" => Self::Id,
            "size" => Self::Size,
            "duration" => Self::Duration,
            _ => {
                let text = RecordText::of_wire_name(key).map(Self::Text);
                return text.or_else(|| RecordTime::of_wire_name(key).map(Self::Time));
            }
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
