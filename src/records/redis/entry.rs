//! What stands in the shared tier for one record: a version byte, then JSON.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Field, RecordFields, RecordText, RecordTime, ScreenRecord, Timestamp, Unreadable, record_fields,
};

/// The form of entries that this version writes and reads. Any other is not read.
const VERSION: u8 = 1;
/// The largest entry that is kept, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;

/// Names the last purge, or the time before the first: a random number, odd for a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Stamp(u64);

/// The last purges that an entry could fall to, and the last refusal of its caller's token; `None` where
/// there was none, or it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamps {
    pub(super) all: Option<Stamp>,
    pub(super) project: Option<Stamp>,
    pub(super) record: Option<Stamp>,
    /// Only of callers with tokens of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) caller: Option<Stamp>,
}

/// An entry as it was found.
#[derive(Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) record: ScreenRecord,
    pub(super) stamps: Stamps,
    /// For how long the record was fresh when it was read from the upstream.
    pub(super) ttl: Duration,
    /// How old it was when it was written here.
    pub(super) age: Duration,
    /// How long it was to stay here from then on.
    pub(super) life: Duration,
}

/// An entry as it is written.
#[derive(Serialize, Deserialize)]
struct Written<R> {
    stamps: Stamps,
    ttl_ms: u64,
    age_ms: u64,
    life_ms: u64,
    record: R,
}

impl Stamp {
    /// A name for a new purge.
    pub(super) fn of_purge() -> Result<Self, getrandom::Error> {
        getrandom::u64().map(|number| Self(number | 1))
    }

    /// A name where no purge is known of.
    pub(super) fn of_none() -> Result<Self, getrandom::Error> {
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
    /// How old the record is, when the entry has some milliseconds left.
    ///
    /// Told by the tier's own clock, so that the clocks of two replicas need not agree.
    pub(super) fn age(&self, left_ms: i64) -> Option<Duration> {
        let left = Duration::from_millis(u64::try_from(left_ms).ok()?);
        Some(self.age + self.life.saturating_sub(left))
    }
}

/// The bytes of an entry; `None` where they would be too many.
pub(super) fn encode(
    record: &ScreenRecord,
    stamps: Stamps,
    [ttl, age, life]: [Duration; 3],
) -> Option<Vec<u8>> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let written = Written {
        stamps,
        ttl_ms: millis(ttl),
        age_ms: millis(age),
        life_ms: millis(life),
        record: StoredRecord::of(record),
    };
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, &written).ok()?;
    (bytes.len() <= LARGEST).then_some(bytes)
}

/// Reads an entry; `None` for another version and for anything broken.
pub(super) fn decode(bytes: &[u8]) -> Option<Stored> {
    let (version, json) = bytes.split_first()?;
    if *version != VERSION || bytes.len() > LARGEST {
        return None;
    }
    let written: Written<StoredRecord<'_>> = serde_json::from_slice(json).ok()?;
    Some(Stored {
        record: written.record.read()?,
        stamps: written.stamps,
        ttl: Duration::from_millis(written.ttl_ms),
        age: Duration::from_millis(written.age_ms),
        life: Duration::from_millis(written.life_ms),
    })
}

/// A field as it is written: the value, or the problem with it and what the upstream wrote.
type StoredField<T> = Option<Result<T, (String, String)>>;

fn store<T, U>(field: Field<T>, form: impl FnOnce(T) -> U) -> StoredField<U> {
    field.map(|read| match read {
        Ok(value) => Ok(form(value)),
        Err(unreadable) => Err((unreadable.problem.clone(), unreadable.value.clone())),
    })
}

/// The field; nothing where what was written cannot be one.
fn restore<T, U>(stored: StoredField<T>, value: impl FnOnce(T) -> Option<U>) -> Option<Field<U>> {
    Some(match stored {
        None => None,
        Some(Ok(form)) => Some(Ok(value(form)?)),
        Some(Err((problem, value))) => Some(Err(Unreadable::new(problem, &value))),
    })
}

/// Declares how a record is written.
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
    const STAMPS: Stamps = Stamps {
        all: Some(Stamp(1)),
        project: Some(Stamp(u64::MAX)),
        record: None,
        caller: Some(Stamp(2)),
    };

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
    fn a_record_comes_back_as_it_was_with_its_times_and_its_purges() {
        for record in [full_record().into(), ScreenRecord::default()] {
            let bytes = encode(&record, STAMPS, [SECOND, SECOND * 2, SECOND * 10]).unwrap();

            let stored = decode(&bytes).unwrap();

            assert_eq!((&stored.record, stored.stamps), (&record, STAMPS));
            assert_eq!((stored.ttl, stored.age(7000)), (SECOND, Some(SECOND * 5)));
        }
    }

    #[test]
    fn an_entry_that_is_gone_has_no_age() {
        let bytes = encode(&full_record().into(), STAMPS, [SECOND; 3]).unwrap();

        assert_eq!(decode(&bytes).unwrap().age(-2), None);
    }

    #[test]
    fn another_version_and_broken_bytes_are_not_read() {
        let bytes = encode(&full_record().into(), STAMPS, [SECOND; 3]).unwrap();
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

        assert_eq!(encode(&record.into(), STAMPS, [SECOND; 3]), None);
    }
}
