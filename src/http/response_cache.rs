//! The response cache: complete responses, by the bytes of the request. It stands in front of JSON parsing.
//!
//! A response is valid while `records` says that everything it was made from still holds, so purges,
//! refreshes, refusals and changed rights need no rule here. A change of settings begins with an empty cache,
//! so a response never outlives the limits and the trusted documents that it was made under.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use foldhash::quality::RandomState;
use moka::Equivalent;
use moka::sync::Cache;

use super::audit_log::AnswerEvents;
use super::auth::Caller;
use super::negotiation::MediaType;
use crate::clock::Clock;
use crate::domain::{CallerIdentity, GrantKey};
use crate::records::{CacheSize, CallerKey, Dependency};

/// The longest request and the longest response that are cached, in bytes.
const MAX_CACHED_BYTES: usize = 1024 * 1024;
/// What moka needs for an entry beside key and value, estimated.
const BOOKKEEPING: usize = 200;

/// The cached responses. Clones share them.
#[derive(Clone)]
pub(crate) struct ResponseCache {
    entries: Cache<ResponseKey, Arc<CachedResponse>, RandomState>,
    clock: Clock,
}

/// A response to a query, without errors.
pub(crate) struct CachedResponse {
    pub(crate) body: Bytes,
    /// For the access log.
    pub(crate) operation_name: Option<Arc<str>>,
    /// For the audit log.
    pub(crate) events: AnswerEvents,
    pub(crate) dependencies: Vec<Dependency>,
    /// When it can no longer be valid.
    pub(crate) fresh_until: Instant,
}

/// Everything that the bytes of a response depend on. Compared in full.
#[derive(PartialEq, Eq, Hash)]
struct ResponseKey {
    context: KeyContext,
    request: Box<[u8]>,
}

/// What a request is looked up by. Its hash is that of the key.
#[derive(Hash)]
pub(crate) struct ResponseLookup<'r> {
    context: KeyContext,
    request: &'r [u8],
}

/// Who sends a request, and how.
#[derive(Clone, PartialEq, Eq, Hash)]
struct KeyContext {
    /// Whose data is read.
    data_of: CallerKey,
    /// What the caller may see and do.
    grant: GrantKey,
    /// The caller's name, where the gateway has verified one.
    name: Option<Arc<str>>,
    media_type: MediaType,
    encoding: RequestEncoding,
}

/// The bytes that carry the operations of a request.
#[derive(Clone, Copy)]
pub(crate) struct RequestBytes<'r> {
    pub(crate) encoding: RequestEncoding,
    pub(crate) bytes: &'r [u8],
}

/// How a request carries its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RequestEncoding {
    /// In the parameters of a GET.
    Parameters,
    /// In the body of a POST.
    Body,
}

impl Equivalent<ResponseKey> for ResponseLookup<'_> {
    fn equivalent(&self, key: &ResponseKey) -> bool {
        self.context == key.context && *self.request == *key.request
    }
}

impl<'r> ResponseLookup<'r> {
    pub(crate) fn new(
        caller: &Caller,
        data_of: CallerKey,
        media_type: MediaType,
        sent: RequestBytes<'r>,
    ) -> Self {
        let RequestBytes { encoding, bytes: request } = sent;
        let name = match &caller.identity {
            CallerIdentity::Name(name) => Some(Arc::clone(name)),
            // A token is in `data_of`. An address has no rights of its own.
            CallerIdentity::Token(_) | CallerIdentity::Address(_) | CallerIdentity::Unknown => None,
        };
        let grant = caller.grant.key();
        Self { context: KeyContext { data_of, grant, name, media_type, encoding }, request }
    }
}

impl ResponseCache {
    pub(crate) fn new(max_bytes: u64, clock: Clock) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weight)
            .build_with_hasher(RandomState::default());
        Self { entries, clock }
    }

    /// An empty cache of the same size.
    #[must_use]
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.entries.policy().max_capacity().unwrap_or_default(), self.clock.clone())
    }

    /// The response to a request. Whether it is still valid is for `records` to say.
    pub(crate) fn get(&self, lookup: &ResponseLookup<'_>) -> Option<Arc<CachedResponse>> {
        self.entries.get(lookup)
    }

    pub(crate) fn insert(&self, lookup: ResponseLookup<'_>, response: CachedResponse) {
        if lookup.request.len().max(response.body.len()) > MAX_CACHED_BYTES {
            return;
        }
        let key = ResponseKey { context: lookup.context, request: lookup.request.into() };
        self.entries.insert(key, Arc::new(response));
    }

    /// Frees the memory of responses that can no longer be valid.
    pub(crate) fn evict_expired(&self) {
        let now = self.clock.now();
        for (key, response) in &self.entries {
            if response.fresh_until <= now {
                self.entries.invalidate(&*key);
            }
        }
    }

    pub(crate) fn size(&self) -> CacheSize {
        self.entries.run_pending_tasks();
        CacheSize { entries: self.entries.entry_count(), bytes: self.entries.weighted_size() }
    }
}

fn weight(key: &ResponseKey, response: &Arc<CachedResponse>) -> u32 {
    let names = [&key.context.name, &response.operation_name];
    let texts = names.into_iter().flatten().map(|name| name.len()).sum::<usize>();
    let dependencies = response.dependencies.iter().map(Dependency::bytes).sum::<usize>();
    let events = response.events.bytes();
    let own = BOOKKEEPING + size_of::<(ResponseKey, CachedResponse)>();
    let bytes = own + key.request.len() + response.body.len() + texts + events + dependencies;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Grant, Rights};

    const MAX_BYTES: u64 = 1024 * 1024;

    fn lookup(request: &[u8]) -> ResponseLookup<'_> {
        let context = KeyContext {
            data_of: CallerKey::Gateway,
            grant: Grant::unrestricted().key(),
            name: Some("one".into()),
            media_type: MediaType::Json,
            encoding: RequestEncoding::Body,
        };
        ResponseLookup { context, request }
    }

    fn response(clock: &Clock, body: &'static [u8]) -> CachedResponse {
        CachedResponse {
            body: Bytes::from_static(body),
            operation_name: None,
            events: AnswerEvents::default(),
            dependencies: Vec::new(),
            fresh_until: clock.now() + Duration::from_secs(5),
        }
    }

    #[test]
    fn a_response_is_found_only_by_the_same_caller_form_and_bytes() {
        let clock = Clock::default();
        let cache = ResponseCache::new(MAX_BYTES, clock.clone());

        cache.insert(lookup(b"body"), response(&clock, b"{}"));

        let found = |change: fn(&mut ResponseLookup<'_>)| {
            let mut lookup = lookup(b"body");
            change(&mut lookup);
            cache.get(&lookup).is_some()
        };
        assert!(found(|_| {}));
        assert!(!found(|lookup| lookup.request = b"body "));
        assert!(!found(|lookup| lookup.context.data_of = CallerKey::Holder([0; 32])));
        assert!(!found(|lookup| lookup.context.name = Some("other".into())));
        assert!(!found(|lookup| lookup.context.name = None));
        assert!(!found(|lookup| {
            let nothing = Rights {
                permissions: Some(std::collections::BTreeSet::new()),
                ..Rights::default()
            };
            lookup.context.grant = Grant::from(nothing).key();
        }));
        assert!(!found(|lookup| lookup.context.media_type = MediaType::GraphqlResponse));
        assert!(!found(|lookup| lookup.context.encoding = RequestEncoding::Parameters));
    }

    #[test]
    fn a_flood_of_bodies_stays_within_its_memory() {
        let clock = Clock::default();
        let cache = ResponseCache::new(MAX_BYTES, clock.clone());

        for number in 0..5_000 {
            let body = format!("{number}{}", " ".repeat(2_000));
            cache.insert(lookup(body.as_bytes()), response(&clock, b"{}"));
        }

        let CacheSize { entries, bytes } = cache.size();
        assert!(entries > 100 && bytes <= MAX_BYTES, "{entries} of {bytes} bytes");
    }

    #[test]
    fn an_expired_response_is_evicted() {
        let clock = Clock::default();
        let cache = ResponseCache::new(MAX_BYTES, clock.clone());
        cache.insert(lookup(b"old"), response(&clock, b"{}"));
        clock.advance(Duration::from_secs(3));
        cache.insert(lookup(b"new"), response(&clock, b"{}"));
        clock.advance(Duration::from_secs(3));

        cache.evict_expired();

        assert!(cache.get(&lookup(b"old")).is_none() && cache.get(&lookup(b"new")).is_some());
    }
}
