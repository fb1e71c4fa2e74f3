//! The entry of one record in Redis: a version byte, then JSON.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Field, RecordFields, RecordText, RecordTime, ScreenRecord, Timestamp, Unreadable, record_fields,
};

/// The only version that is read.
const VERSION: u8 = 1;
/// The largest entry that is stored, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;

/// A generation of cached data: a random number that a purge or refusal changes. Odd after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Generation(u64);

/// The generations that an entry belongs to; `None` where Redis has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generations {
    pub(super) all: Option<Generation>,
    pub(super) project: Option<Generation>,
    pub(super) record: Option<Generation>,
    /// Only of callers with tokens of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) caller: Option<Generation>,
}

/// The times of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// How long the record was fresh when it was read from the upstream.
    pub(super) ttl: Duration,
    /// How old it was when it was stored.
    pub(super) age: Duration,
    /// How long it stays in Redis after that.
    pub(super) expires_in: Duration,
}

/// An entry that was read.
#[derive(Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) record: ScreenRecord,
    pub(super) generations: Generations,
    pub(super) lifetime: Lifetime,
}

/// The JSON of an entry.
#[derive(Serialize, Deserialize)]
struct StoredEntry<R> {
    #[serde(rename = "stamps")]
    generations: Generations,
    ttl_ms: u64,
    age_ms: u64,
    #[serde(rename = "life_ms")]
    expires_in_ms: u64,
    record: R,
}

impl Generation {
    /// The generation after a purge or refusal.
    pub(super) fn of_purge() -> Result<Self, getrandom::Error> {
        getrandom::u64().map(|number| Self(number | 1))
    }

    /// A generation where Redis knows no purge.
    pub(super) fn first() -> Result<Self, getrandom::Error> {
        getrandom::u64().map(|number| Self(number & !1))
    }

    pub(super) fn is_of_purge(self) -> bool {
        self.0 & 1 == 1
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok()?.parse().ok().map(Self)
    }

    pub(super) fn to_text(self) -> String {
        self.0.to_string()
    }
}

impl Stored {
    /// The age of the record, by the time that Redis gives until the entry expires. So the clocks of two
    /// replicas need not agree.
    pub(super) fn age(&self, expires_in_ms: i64) -> Option<Duration> {
        let left = Duration::from_millis(u64::try_from(expires_in_ms).ok()?);
        Some(self.lifetime.age + self.lifetime.expires_in.saturating_sub(left))
    }
}

/// The bytes of an entry; `None` if they are too many.
pub(super) fn encode(
    record: &ScreenRecord,
    generations: Generations,
    lifetime: Lifetime,
) -> Option<Vec<u8>> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let entry = StoredEntry {
        generations,
        ttl_ms: millis(lifetime.ttl),
        age_ms: millis(lifetime.age),
        expires_in_ms: millis(lifetime.expires_in),
        record: StoredRecord::of(record),
    };
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, &entry).ok()?;
    (bytes.len() <= LARGEST).then_some(bytes)
}

/// Reads an entry; `None` for another version and for a broken one.
pub(super) fn decode(bytes: &[u8]) -> Option<Stored> {
    let (version, json) = bytes.split_first()?;
    if *version != VERSION || bytes.len() > LARGEST {
        return None;
    }
    let entry: StoredEntry<StoredRecord<'_>> = serde_json::from_slice(json).ok()?;
    Some(Stored {
        record: entry.record.read()?,
        generations: entry.generations,
        lifetime: Lifetime {
            ttl: Duration::from_millis(entry.ttl_ms),
            age: Duration::from_millis(entry.age_ms),
            expires_in: Duration::from_millis(entry.expires_in_ms),
        },
    })
}

/// A field: its value, or the problem with it and the text that the upstream sent.
type StoredField<T> = Option<Result<T, (String, String)>>;

fn store<T, U>(field: Field<T>, form: impl FnOnce(T) -> U) -> StoredField<U> {
    field.map(|read| match read {
        Ok(value) => Ok(form(value)),
        Err(unreadable) => Err((unreadable.problem.clone(), unreadable.value.clone())),
    })
}

/// The field; `None` if the stored value is not one.
fn restore<T, U>(stored: StoredField<T>, value: impl FnOnce(T) -> Option<U>) -> Option<Field<U>> {
    Some(match stored {
        None => None,
        Some(Ok(form)) => Some(Ok(value(form)?)),
        Some(Err((problem, value))) => Some(Err(Unreadable::new(problem, &value))),
    })
}

/// Declares the JSON of a record.
macro_rules! declare_stored_record {
    (
        texts { $($(#[$text_doc:meta])* $text_of:ident $text:ident $text_wire:literal $text_shown:literal $text_type:ident,)* }
        times { $($(#[$time_doc:meta])* $time_of:ident $time:ident $time_wire:literal $time_shown:literal $time_type:ident,)* }
    ) => {
        #[derive(Default, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct StoredRecord<'r> {
            #[serde(borrow, skip_serializing_if = "Option::is_none")]
            id: Option<Cow<'r, str>>,
            $(
                #[serde(borrow, skip_serializing_if = "Option::is_none")]
                $text: StoredField<Cow<'r, str>>,
            )*
            $(
                #[serde(skip_serializing_if = "Option::is_none")]
                $time: StoredField<String>,
            )*
            #[serde(skip_serializing_if = "Option::is_none")]
            size: StoredField<i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            duration: StoredField<i32>,
        }

        impl<'r> StoredRecord<'r> {
            fn of(record: &'r ScreenRecord) -> Self {
                let time = |time: Timestamp| time.as_utc().to_string();
                Self {
                    id: record.id().map(Cow::Borrowed),
                    $($text: store(record.text(RecordText::$text_of), Cow::Borrowed),)*
                    $($time: store(record.time(RecordTime::$time_of), time),)*
                    size: store(record.size(), |size| size),
                    duration: store(record.duration(), |duration| duration),
                }
            }

            fn read(self) -> Option<ScreenRecord> {
                let time = |form: String| Timestamp::from_utc(form.parse().ok()?);
                let mut fields = RecordFields::default();
                *fields.text(RecordText::Id) = self.id.map(Ok);
                $(*fields.text(RecordText::$text_of) = restore(self.$text, Some)?;)*
                $(*fields.time(RecordTime::$time_of) = restore(self.$time, time)?;)*
                fields.size = restore(self.size, Some)?;
                fields.duration = restore(self.duration, Some)?;
                Some(fields.into())
            }
        }
    };
}

record_fields!(declare_stored_record);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const GENERATIONS: Generations = Generations {
        all: Some(Generation(1)),
        project: Some(Generation(u64::MAX)),
        record: None,
        caller: Some(Generation(2)),
    };
    const LIFETIME: Lifetime =
        Lifetime { ttl: SECOND, age: Duration::from_secs(2), expires_in: Duration::from_secs(10) };

    fn time(value: &str) -> Timestamp {
        Timestamp::from_utc(value.parse().unwrap()).unwrap()
    }

    fn full_record() -> RecordFields<'static> {
        let mut fields = RecordFields::default();
        fields.size = Some(Ok(i64::MAX));
        fields.duration = Some(Ok(i32::MIN));
        for of in RecordText::ALL {
            *fields.text(of) = Some(Ok(format!("{of:?}").into()));
        }
        *fields.text(RecordText::DesktopPoolId) = None;
        *fields.text(RecordText::PolicyId) = Some(Err(Unreadable::new("is not a text", "[1]")));
        *fields.time(RecordTime::Update) = Some(Err(Unreadable::new("is no instant", "\"soon\"")));
        fields
            .with_text(RecordText::DesktopName, "桌面")
            .with_text(RecordText::Username, "u\u{0}\"\\")
            .with_text(RecordText::Type, "USER_OPERATION")
            .with_text(RecordText::Status, "UPLOAD_COMPLETED")
            .with_time(RecordTime::Start, time("0000-01-01T00:00:00"))
            .with_time(RecordTime::End, time("9999-12-31T23:59:59.999999999"))
    }

    #[test]
    fn a_record_is_read_as_it_was_stored_with_its_times_and_generations() {
        for record in [full_record().into(), ScreenRecord::default()] {
            let bytes = encode(&record, GENERATIONS, LIFETIME).unwrap();

            let stored = decode(&bytes).unwrap();

            assert_eq!((&stored.record, stored.generations), (&record, GENERATIONS));
            assert_eq!(stored.age(-2), None, "of an entry that has expired");
            assert_eq!((stored.lifetime, stored.age(7000)), (LIFETIME, Some(SECOND * 5)));
        }
    }

    #[test]
    fn another_version_and_broken_bytes_are_not_read() {
        let bytes = encode(&full_record().into(), GENERATIONS, LIFETIME).unwrap();
        let mut newer = bytes.clone();
        newer[0] = VERSION + 1;

        assert_eq!(decode(&newer), None);
        assert_eq!(decode(&[]), None);
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn an_entry_that_is_too_large_is_not_written() {
        let record = full_record().with_text(RecordText::Username, "u".repeat(LARGEST));

        assert_eq!(encode(&record.into(), GENERATIONS, LIFETIME), None);
    }
}
