//! The response cache: complete responses, by the bytes of the request. It stands in front of JSON parsing.
//!
//! A response is valid while `records` says that everything it was made from still holds, so purges,
//! refreshes, refusals and changed rights need no rule here. A change of settings begins with an empty cache,
//! so a response never outlives the limits and the trusted documents that it was made under.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::audit_log::AnswerEvents;
use super::negotiation::MediaType;
use crate::domain::GrantKey;
use crate::records::{CacheSize, CallerKey, Dependency};

/// The longest request and the longest response that are cached, in bytes.
const MAX_CACHED_BYTES: usize = 1024 * 1024;
/// What moka needs for an entry beside key and value, estimated.
const BOOKKEEPING: usize = 200;
/// A response that no request asks for is dropped after this time.
const MAX_IDLE: Duration = Duration::from_mins(2);

/// The cached responses. Clones share them.
#[derive(Clone)]
pub(crate) struct ResponseCache(Cache<ResponseKey, Arc<CachedResponse>, RandomState>);

/// A response to a query, without errors.
pub(crate) struct CachedResponse {
    pub(crate) body: Bytes,
    /// For the access log.
    pub(crate) operation_name: Option<Arc<str>>,
    /// For the audit log.
    pub(crate) events: AnswerEvents,
    pub(crate) dependencies: Vec<Dependency>,
}

/// Everything that the bytes of a response depend on. Compared in full.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct ResponseKey {
    /// Whose data is read.
    pub(crate) data_of: CallerKey,
    /// What the caller may see and do.
    pub(crate) grant: GrantKey,
    /// The caller's name, where the gateway has verified one. A token is in `data_of`; an address has no rights of
    /// its own.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) media_type: MediaType,
    /// Whether the bytes are the parameters of a GET, or the body of a POST.
    pub(crate) by_get: bool,
    /// The bytes that carry the operations of the request.
    pub(crate) bytes: Bytes,
}

impl ResponseCache {
    pub(crate) fn new(max_bytes: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weight)
            .time_to_idle(MAX_IDLE)
            .build_with_hasher(RandomState::default());
        Self(entries)
    }

    /// An empty cache of the same size.
    #[must_use]
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.0.policy().max_capacity().unwrap_or_default())
    }

    /// The response to a request. Whether it is still valid is for `records` to say.
    pub(crate) fn get(&self, key: &ResponseKey) -> Option<Arc<CachedResponse>> {
        self.0.get(key)
    }

    pub(crate) fn insert(&self, mut key: ResponseKey, response: CachedResponse) {
        if key.bytes.len().max(response.body.len()) <= MAX_CACHED_BYTES {
            // A copy, because the bytes may be a part of a connection's buffer.
            key.bytes = Bytes::copy_from_slice(&key.bytes);
            self.0.insert(key, Arc::new(response));
        }
    }

    pub(crate) fn size(&self) -> CacheSize {
        self.0.run_pending_tasks();
        CacheSize { entries: self.0.entry_count(), bytes: self.0.weighted_size() }
    }
}

fn weight(key: &ResponseKey, response: &Arc<CachedResponse>) -> u32 {
    let names = [&key.name, &response.operation_name];
    let texts = names.into_iter().flatten().map(|name| name.len()).sum::<usize>();
    let dependencies =
        response.dependencies.iter().map(|dependency| dependency.bytes).sum::<usize>();
    let events = response.events.bytes();
    let own = BOOKKEEPING + size_of::<(ResponseKey, CachedResponse)>();
    let bytes = own + key.bytes.len() + response.body.len() + texts + events + dependencies;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Grant, Rights};

    const MAX_BYTES: u64 = 1024 * 1024;

    fn key(bytes: &[u8]) -> ResponseKey {
        ResponseKey {
            data_of: CallerKey::Gateway,
            grant: Grant::unrestricted().key(),
            name: Some("one".into()),
            media_type: MediaType::Json,
            by_get: false,
            bytes: Bytes::copy_from_slice(bytes),
        }
    }

    fn response(body: &'static [u8]) -> CachedResponse {
        CachedResponse {
            body: Bytes::from_static(body),
            operation_name: None,
            events: AnswerEvents::default(),
            dependencies: Vec::new(),
        }
    }

    #[test]
    fn a_response_is_found_only_by_exactly_the_same_request() {
        let cache = ResponseCache::new(MAX_BYTES);
        cache.insert(key(b"body"), response(b"{}"));

        let found = |change: fn(&mut ResponseKey)| {
            let mut key = key(b"body");
            change(&mut key);
            cache.get(&key).is_some()
        };
        assert!(found(|_| {}));
        assert!(!found(|key| key.bytes = Bytes::from_static(b"body ")));
        assert!(!found(|key| key.data_of = CallerKey::Holder([0; 32])));
        assert!(!found(|key| key.name = Some("other".into())));
        assert!(!found(|key| key.name = None));
        assert!(!found(|key| {
            let nothing = Rights {
                permissions: Some(std::collections::BTreeSet::new()),
                ..Rights::default()
            };
            key.grant = Grant::from(nothing).key();
        }));
        assert!(!found(|key| key.media_type = MediaType::GraphqlResponse));
        assert!(!found(|key| key.by_get = true));
    }

    #[test]
    fn a_flood_of_bodies_stays_within_its_memory() {
        let cache = ResponseCache::new(MAX_BYTES);

        for number in 0..5_000 {
            let body = format!("{number}{}", " ".repeat(2_000));
            cache.insert(key(body.as_bytes()), response(b"{}"));
        }

        let CacheSize { entries, bytes } = cache.size();
        assert!(entries > 100 && bytes <= MAX_BYTES, "{entries} of {bytes} bytes");
    }
}
