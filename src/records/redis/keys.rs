//! The keys in Redis.
//!
//! Every key begins with a hash of the upstream, the credentials and `cache.key_secret`: deployments that
//! share a server never see each other's entries. Keys of one project have the project in braces, so that a
//! cluster keeps them in one slot. Project and record ids hold neither braces nor colons. Keys of records have
//! the region, so that a project that has moved finds nothing of its old one.

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::super::key::{CallerKey, RecordKey};
use crate::domain::{ProjectId, RecordId, Secret};

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

#[cfg(test)]
mod tests {
    use super::*;

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
