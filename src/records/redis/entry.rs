//! What stands in Redis: keys, and the entry of one record, which is a version byte and JSON.
//!
//! Every key begins with a hash of the upstream, the credentials and `cache.key_secret`: deployments that
//! share a server never see each other's entries. Keys of one project have the project in braces, so that a
//! cluster keeps them in one slot. Project and record ids hold neither braces nor colons. Keys of records have
//! the region, so that a project that has moved finds nothing of its old one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use redis::{ErrorKind, RedisResult};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::super::key::{CallerKey, RecordKey};
use crate::domain::{
    Field, ProjectId, RecordFields, RecordId, RecordText, RecordTime, ScreenRecord, Secret,
    Timestamp, Unreadable,
};

/// The only version that is read.
const VERSION: u8 = 2;
/// The largest entry that is stored, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;

/// A record in the region that it is loaded from.
#[derive(Clone)]
pub(crate) struct SharedKey {
    pub(crate) record: RecordKey,
    /// Distinguishes regions with other recordings.
    pub(crate) tag: Arc<str>,
}

pub(super) struct RedisKeys {
    prefix: String,
}

impl RedisKeys {
    /// The keys of a deployment: `identity` names its upstream and credentials, and how it reads answers.
    pub(super) fn new(key_secret: Option<&Secret>, identity: &[String]) -> Self {
        const BYTES: usize = 16;
        let key = key_secret.map_or(&b""[..], |secret| secret.expose().as_bytes());
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(b"names");
        for part in identity {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        let hash: Vec<u8> = mac.finalize().into_bytes().into_iter().take(BYTES).collect();
        Self { prefix: format!("srg:{}", hex::encode(hash)) }
    }

    /// A record as one caller may see it.
    pub(super) fn entry(&self, key: &SharedKey) -> String {
        self.of_one("record", key)
    }

    /// Held by the replica that loads a record.
    pub(super) fn lease(&self, key: &SharedKey) -> String {
        self.of_one("lease", key)
    }

    /// Changed when the upstream refuses a caller's token.
    pub(super) fn caller_generation(&self, caller: &CallerKey) -> String {
        format!("{}:caller:{}", self.prefix, name_of(caller))
    }

    /// Changed by a purge of everything.
    pub(super) fn generation_of_all(&self) -> String {
        format!("{}:purged", self.prefix)
    }

    /// Changed by a purge of a project.
    pub(super) fn project_generation(&self, project: &ProjectId) -> String {
        format!("{}:{{{}}}:purged", self.prefix, project.folded())
    }

    /// Changed by a purge of a record, in whichever form its id is written.
    pub(super) fn record_generation(&self, project: &ProjectId, id: &RecordId) -> String {
        let (project, id) = (project.folded(), RecordId::folded(id.as_str()));
        format!("{}:{{{project}}}:purged:{id}", self.prefix)
    }

    /// The id of the last purge.
    pub(super) fn last_purge(&self) -> String {
        format!("{}:last-purge", self.prefix)
    }

    /// The channel of invalidations.
    pub(super) fn channel(&self) -> String {
        format!("{}:news", self.prefix)
    }

    fn of_one(&self, kind: &str, SharedKey { record, tag }: &SharedKey) -> String {
        let RecordKey { caller, project, id } = record;
        let (project, caller) = (project.folded(), name_of(caller));
        format!("{}:{{{project}}}:{kind}:{tag}:{caller}:{id}", self.prefix)
    }
}

fn name_of(caller: &CallerKey) -> String {
    match caller {
        CallerKey::Gateway => "gateway".to_owned(),
        CallerKey::Holder(hash) => hex::encode(hash),
    }
}

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

    fn identity(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn two_deployments_share_no_key() {
        let secret = Secret::new("a secret of one deployment");
        let prefixes: Vec<String> = [
            RedisKeys::new(None, &identity(&["https://a", "aksk", "AK1"])),
            RedisKeys::new(None, &identity(&["https://a", "aksk", "AK2"])),
            RedisKeys::new(None, &identity(&["https://a", "aks", "kAK1"])),
            RedisKeys::new(Some(&secret), &identity(&["https://a", "aksk", "AK1"])),
        ]
        .map(|keys| keys.prefix)
        .to_vec();

        for (number, prefix) in prefixes.iter().enumerate() {
            assert!(!prefixes[..number].contains(prefix), "of {number}");
        }
    }

    #[test]
    fn a_key_holds_the_region_the_caller_the_project_and_the_record_in_full() {
        let keys = RedisKeys { prefix: "srg:0".to_owned() };
        let record = RecordKey {
            caller: CallerKey::Holder([0xab; 32]),
            project: ProjectId::parse("P-").unwrap(),
            id: RecordId::parse("A-1").unwrap(),
        };
        let key = SharedKey { record: record.clone(), tag: "r-1".into() };

        assert_eq!(keys.entry(&key), format!("srg:0:{{p}}:record:r-1:{}:A-1", "ab".repeat(32)));
        assert_eq!(keys.lease(&key), format!("srg:0:{{p}}:lease:r-1:{}:A-1", "ab".repeat(32)));
        assert_eq!(keys.record_generation(&record.project, &record.id), "srg:0:{p}:purged:a1");
    }
}
