//! A list's envelope: rows under one key, and how many there are in all.

use std::fmt;
use std::sync::Arc;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{ERROR_KEYS, Key, Unlike, read_object};
use crate::domain::{Field, Page, Unreadable};
use crate::upstream::normalize::WireValue;

/// What one call's lists are like.
#[derive(Clone, Copy)]
pub(crate) struct Listed {
    /// The key of the rows.
    pub(crate) rows: &'static str,
    /// The key of the number of all rows, where the call has one.
    pub(crate) total: Option<&'static str>,
}

/// Reads a list; each row on its own, by `row`.
///
/// # Errors
/// [`Unlike`] for anything but a JSON object with rows.
pub(crate) fn list<T>(
    body: &[u8],
    listed: Listed,
    row: impl Fn(&[u8]) -> Result<T, Unlike>,
) -> Result<Page<T>, Unlike> {
    let envelope = read_object(body, EnvelopeVisitor { listed })?;
    let Some(rows) = envelope.rows else {
        return Err(if envelope.has_error {
            Unlike::Error
        } else {
            Unlike::Malformed(format!("holds no {}", listed.rows))
        });
    };
    let read = |raw: &&RawValue| {
        row(raw.get().as_bytes()).map_err(|unlike| {
            let problem = match unlike {
                Unlike::Error => "is an error and not a row".to_owned(),
                Unlike::Malformed(problem) => problem,
            };
            Unreadable::new(problem, raw.get())
        })
    };
    Ok(Page { rows: rows.iter().map(read).collect(), total: envelope.total })
}

#[derive(Default)]
struct Envelope<'b> {
    rows: Option<Vec<&'b RawValue>>,
    total: Field<i64>,
    has_error: bool,
}

struct EnvelopeVisitor {
    listed: Listed,
}

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(Key(key)) = map.next_key()? {
            if key == self.listed.rows {
                // Where there is nothing, some servers write null for an empty list.
                envelope.rows = Some(map.next_value::<Option<_>>()?.unwrap_or_default());
            } else if self.listed.total.is_some_and(|total| key == total) {
                let value: &RawValue = map.next_value()?;
                envelope.total = count(WireValue::new(value.get()));
            } else if ERROR_KEYS.contains(&key.as_ref()) {
                let value: &RawValue = map.next_value()?;
                envelope.has_error |= !WireValue::new(value.get()).is_null();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(envelope)
    }
}

/// A number of rows, which is never negative.
fn count(value: WireValue<'_>) -> Field<i64> {
    let negative =
        |number: &i64| Arc::clone(&Unreadable::new("is not a number of rows", &number.to_string()));
    value.long().map(|read| {
        read.and_then(|number| if number < 0 { Err(negative(&number)) } else { Ok(number) })
    })
}
