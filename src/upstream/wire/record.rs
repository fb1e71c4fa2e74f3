//! One recording, in the response of the detail call or in a list.

use jiff::tz::TimeZone;

use super::{ERROR_KEYS, Unlike, read_object};
use crate::domain::{RecordFields, RecordText, RecordTime, ScreenRecord};
use crate::upstream::normalize::WireValue;

/// Reads a recording.
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
