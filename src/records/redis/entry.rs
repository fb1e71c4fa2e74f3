//! The entry of one record in Redis: a version byte, then JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisResult};
use serde::{Deserialize, Serialize};

use crate::domain::{
    Field, RecordFields, RecordText, RecordTime, ScreenRecord, Timestamp, Unreadable,
};

/// The only version that is read.
const VERSION: u8 = 2;
/// The largest entry that is stored, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;

/// The generations that an entry belongs to; `None` where Redis has none. Each is a random number that a
/// purge or refusal changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryGenerations {
    pub(super) all: Option<u64>,
    pub(super) project: Option<u64>,
    pub(super) record: Option<u64>,
    /// Only of callers with tokens of their own.
    pub(super) caller: Option<u64>,
}

/// The times of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntryTimes {
    /// How long the record was fresh when it was read from the upstream.
    pub(super) ttl: Duration,
    /// How old it was when it was stored.
    pub(super) age: Duration,
    /// How long it stays in Redis after that.
    pub(super) expires_in: Duration,
}

/// An entry that was read.
#[derive(Debug, PartialEq)]
pub(super) struct StoredRecord {
    pub(super) record: ScreenRecord,
    pub(super) generations: EntryGenerations,
    pub(super) lifetime: EntryTimes,
}

/// The JSON of an entry. Texts and times have the names that they have on the wire.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEntry<'r> {
    generations: EntryGenerations,
    lifetime: EntryTimes,
    #[serde(borrow)]
    texts: BTreeMap<&'r str, Result<Cow<'r, str>, Arc<Unreadable>>>,
    #[serde(borrow)]
    times: BTreeMap<&'r str, Result<Cow<'r, str>, Arc<Unreadable>>>,
    size: Field<i64>,
    duration: Field<i32>,
}

pub(super) fn random() -> RedisResult<u64> {
    getrandom::u64().map_err(|_| (ErrorKind::Client, "no random number").into())
}

/// A generation after a purge or refusal.
pub(super) fn purge_generation() -> RedisResult<u64> {
    random().map(|number| number | 1)
}

/// A generation where Redis knows no purge.
pub(super) fn first_generation() -> RedisResult<u64> {
    random().map(|number| number & !1)
}

pub(super) fn is_of_purge(generation: u64) -> bool {
    generation & 1 == 1
}

impl EntryTimes {
    /// The age of the record, by the time that Redis gives until the entry expires. So the clocks of two
    /// replicas need not agree.
    pub(super) fn age(&self, expires_in_ms: i64) -> Option<Duration> {
        let left = Duration::from_millis(u64::try_from(expires_in_ms).ok()?);
        self.age.checked_add(self.expires_in.saturating_sub(left))
    }
}

/// The bytes of an entry; `None` if they are too many.
pub(super) fn encode(
    record: &ScreenRecord,
    generations: EntryGenerations,
    lifetime: EntryTimes,
) -> Option<Vec<u8>> {
    let text = |of: RecordText| Some((of.wire_name(), record.text(of)?.map(Cow::Borrowed)));
    let written = |time: Timestamp| Cow::Owned(time.as_utc().to_string());
    let time = |of: RecordTime| Some((of.wire_name(), record.time(of)?.map(written)));
    let entry = StoredEntry {
        generations,
        lifetime,
        texts: RecordText::ALL.into_iter().filter_map(text).collect(),
        times: RecordTime::ALL.into_iter().filter_map(time).collect(),
        size: record.size(),
        duration: record.duration(),
    };
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, &entry).ok()?;
    (bytes.len() <= LARGEST).then_some(bytes)
}

/// Reads an entry; `None` for another version and for a broken one.
pub(super) fn decode(bytes: &[u8]) -> Option<StoredRecord> {
    let (version, json) = bytes.split_first()?;
    if *version != VERSION || bytes.len() > LARGEST {
        return None;
    }
    let StoredEntry { generations, lifetime, texts, times, size, duration } =
        serde_json::from_slice(json).ok()?;
    let mut fields = RecordFields::default();
    (fields.size, fields.duration) = (size, duration);
    for (name, text) in texts {
        *fields.text(RecordText::of_wire_name(name)?) = Some(text);
    }
    for (name, time) in times {
        let time = match time {
            Ok(written) => Ok(Timestamp::from_utc(written.parse().ok()?)?),
            Err(unreadable) => Err(unreadable),
        };
        *fields.time(RecordTime::of_wire_name(name)?) = Some(time);
    }
    Some(StoredRecord { record: fields.into(), generations, lifetime })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const GENERATIONS: EntryGenerations =
        EntryGenerations { all: Some(1), project: Some(u64::MAX), record: None, caller: Some(2) };
    const LIFETIME: EntryTimes = EntryTimes {
        ttl: SECOND,
        age: Duration::from_secs(2),
        expires_in: Duration::from_secs(10),
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
    fn a_record_is_read_as_it_was_stored_with_its_times_and_generations() {
        for record in [full_record().into(), ScreenRecord::default()] {
            let bytes = encode(&record, GENERATIONS, LIFETIME).unwrap();

            let stored = decode(&bytes).unwrap();

            assert_eq!((&stored.record, stored.generations), (&record, GENERATIONS));
            assert_eq!(stored.lifetime.age(-2), None, "of an entry that has expired");
            assert_eq!((stored.lifetime, stored.lifetime.age(7000)), (LIFETIME, Some(SECOND * 5)));
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
