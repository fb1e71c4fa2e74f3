//! What stands in the shared tier for one record: a version byte, then JSON.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Field, OpenEnum, ScreenRecord, ScreenRecordStatus, ScreenRecordType, Timestamp, Unreadable,
};

/// The form of entries that this version writes and reads. Any other is not read.
const VERSION: u8 = 1;
/// The largest entry that is kept, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;

/// Names the last purge, or the time before the first: a random number, odd for a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Stamp(u64);

/// The last purges that an entry could fall to; `None` where there was none, or it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamps {
    pub(super) all: Option<Stamp>,
    pub(super) project: Option<Stamp>,
    pub(super) record: Option<Stamp>,
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
    let written: Written<StoredRecord> = serde_json::from_slice(json).ok()?;
    Some(Stored {
        record: written.record.read()?,
        stamps: written.stamps,
        ttl: Duration::from_millis(written.ttl_ms),
        age: Duration::from_millis(written.age_ms),
        life: Duration::from_millis(written.life_ms),
    })
}

/// A value with a form for storing.
trait Store: Sized {
    type Form;

    fn store(&self) -> Self::Form;
    fn restore(form: Self::Form) -> Option<Self>;
}

/// A field as it is written: the value, or the problem with it and what the upstream wrote.
type StoredField<T> = Option<Result<<T as Store>::Form, (String, String)>>;

fn store<T: Store>(field: &Field<T>) -> StoredField<T> {
    field.as_ref().map(|read| match read {
        Ok(value) => Ok(value.store()),
        Err(unreadable) => Err((unreadable.problem.clone(), unreadable.value.clone())),
    })
}

/// The field; nothing where what was written cannot be one.
fn restore<T: Store>(stored: StoredField<T>) -> Option<Field<T>> {
    Some(match stored {
        None => None,
        Some(Ok(form)) => Some(Ok(T::restore(form)?)),
        Some(Err((problem, value))) => Some(Err(Unreadable::new(problem, &value))),
    })
}

/// Declares how a record is written, field by field.
macro_rules! stored_record {
    ($($field:ident: $kind:ty),* $(,)?) => {
        #[derive(Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct StoredRecord {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            id: Option<Arc<str>>,
            $(
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $field: StoredField<$kind>,
            )*
        }

        impl StoredRecord {
            fn of(record: &ScreenRecord) -> Self {
                Self { id: record.id.clone(), $($field: store(&record.$field)),* }
            }

            fn read(self) -> Option<ScreenRecord> {
                Some(ScreenRecord { id: self.id, $($field: restore(self.$field)?),* })
            }
        }
    };
}

stored_record! {
    desktop_id: Arc<str>,
    desktop_name: Arc<str>,
    desktop_pool_id: Arc<str>,
    username: Arc<str>,
    size: i64,
    duration: i32,
    kind: OpenEnum<ScreenRecordType>,
    status: OpenEnum<ScreenRecordStatus>,
    policy_id: Arc<str>,
    obs_bucket: Arc<str>,
    file_directory: Arc<str>,
    video_filename: Arc<str>,
    video_file_sha256: Arc<str>,
    event_filename: Arc<str>,
    event_file_sha256: Arc<str>,
    start_time: Timestamp,
    end_time: Timestamp,
    update_time: Timestamp,
    upload_type: Arc<str>,
    site_type: Arc<str>,
}

/// Values that are written as they are.
macro_rules! stored_as_it_is {
    ($($kind:ty),*) => {
        $(impl Store for $kind {
            type Form = Self;

            fn store(&self) -> Self {
                self.clone()
            }

            fn restore(form: Self) -> Option<Self> {
                Some(form)
            }
        })*
    };
}

stored_as_it_is!(Arc<str>, i64, i32);

impl Store for Timestamp {
    type Form = String;

    fn store(&self) -> String {
        self.as_utc().to_string()
    }

    fn restore(form: String) -> Option<Self> {
        Self::from_utc(form.parse().ok()?)
    }
}

impl Store for OpenEnum<ScreenRecordType> {
    type Form = Arc<str>;

    fn store(&self) -> Arc<str> {
        Arc::clone(&self.raw)
    }

    fn restore(raw: Arc<str>) -> Option<Self> {
        Some(Self { known: ScreenRecordType::from_upstream(&raw), raw })
    }
}

impl Store for OpenEnum<ScreenRecordStatus> {
    type Form = Arc<str>;

    fn store(&self) -> Arc<str> {
        Arc::clone(&self.raw)
    }

    fn restore(raw: Arc<str>) -> Option<Self> {
        Some(Self { known: ScreenRecordStatus::from_upstream(&raw), raw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const STAMPS: Stamps =
        Stamps { all: Some(Stamp(1)), project: Some(Stamp(u64::MAX)), record: None };

    fn time(value: &str) -> Timestamp {
        Timestamp::from_utc(value.parse().unwrap()).unwrap()
    }

    fn full_record() -> ScreenRecord {
        let status = ScreenRecordStatus::UploadCompleted;
        ScreenRecord {
            id: Some(Arc::from("r")),
            desktop_id: Some(Ok("d".into())),
            desktop_name: Some(Ok("桌面".into())),
            desktop_pool_id: None,
            username: Some(Ok("u\u{0}\"\\".into())),
            size: Some(Ok(i64::MAX)),
            duration: Some(Ok(i32::MIN)),
            kind: Some(Ok(OpenEnum {
                known: ScreenRecordType::Operation,
                raw: "USER_OPERATION".into(),
            })),
            status: Some(Ok(OpenEnum { known: status, raw: "UPLOAD_COMPLETED".into() })),
            policy_id: Some(Err(Unreadable::new("is not a text", "[1]"))),
            obs_bucket: Some(Ok("b".into())),
            file_directory: Some(Ok("f".into())),
            video_filename: Some(Ok("v".into())),
            video_file_sha256: Some(Ok("s".into())),
            event_filename: Some(Ok("e".into())),
            event_file_sha256: Some(Ok("h".into())),
            start_time: Some(Ok(time("0000-01-01T00:00:00"))),
            end_time: Some(Ok(time("9999-12-31T23:59:59.999999999"))),
            update_time: Some(Err(Unreadable::new("is no instant", "\"soon\""))),
            upload_type: Some(Ok("t".into())),
            site_type: Some(Ok("c".into())),
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_with_its_times_and_its_purges() {
        for record in [full_record(), ScreenRecord::default()] {
            let bytes = encode(&record, STAMPS, [SECOND, SECOND * 2, SECOND * 10]).unwrap();

            let stored = decode(&bytes).unwrap();

            assert_eq!((&stored.record, stored.stamps), (&record, STAMPS));
            assert_eq!((stored.ttl, stored.age(7000)), (SECOND, Some(SECOND * 5)));
        }
    }

    #[test]
    fn an_entry_that_is_gone_has_no_age() {
        let bytes = encode(&full_record(), STAMPS, [SECOND; 3]).unwrap();

        assert_eq!(decode(&bytes).unwrap().age(-2), None);
    }

    #[test]
    fn another_version_and_broken_bytes_are_not_read() {
        let bytes = encode(&full_record(), STAMPS, [SECOND; 3]).unwrap();
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
        let record =
            ScreenRecord { username: Some(Ok("u".repeat(LARGEST).into())), ..full_record() };

        assert_eq!(encode(&record, STAMPS, [SECOND; 3]), None);
    }
}
