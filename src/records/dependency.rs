//! What a response was made from, and whether it still holds.
//!
//! A response may be reused while every record and page that it was made from is still the one in the
//! cache, fresh, and of a project that the caller may see. This module knows no response.

use std::sync::{Arc, Weak};

use super::context::RequestContext;
use super::fetch::Readable;
use super::read::{CacheOutcome, Content, Read};
use super::store::RecordStore;
use super::ttl_cache::{CacheKey as _, Entry};
use crate::domain::ProjectId;

/// A record or a page that a response was made from, at its version then.
pub(crate) struct Dependency(Box<dyn Version>);

trait Version: Send + Sync {
    fn content(&self) -> Content;
    fn project(&self) -> &ProjectId;
    fn bytes(&self) -> usize;
    fn reread(&self, store: &RecordStore, context: &RequestContext) -> Option<Read>;
}

struct EntryVersion<V: Readable> {
    key: V::Key,
    entry: Weak<Entry<V>>,
}

impl Dependency {
    pub(crate) fn new<V: Readable>(key: &V::Key, entry: &Arc<Entry<V>>) -> Self {
        Self(Box::new(EntryVersion::<V> { key: key.clone(), entry: Arc::downgrade(entry) }))
    }

    pub(crate) fn content(&self) -> Content {
        self.0.content()
    }

    pub(crate) fn project(&self) -> &ProjectId {
        self.0.project()
    }

    /// About how many bytes it takes: the memory of a dropped record or page is freed with the last weak
    /// pointer to it.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.bytes()
    }

    /// The read that it stands for, as a cache hit; `None` unless it is still in the cache, and fresh enough
    /// for a request.
    pub(crate) fn reread(&self, store: &RecordStore, context: &RequestContext) -> Option<Read> {
        self.0.reread(store, context)
    }
}

impl<V: Readable> Version for EntryVersion<V> {
    fn content(&self) -> Content {
        V::CONTENT
    }

    fn project(&self) -> &ProjectId {
        self.key.project()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.bytes() + size_of::<Entry<V>>()
    }

    fn reread(&self, store: &RecordStore, context: &RequestContext) -> Option<Read> {
        let now = V::cache(store).fresh(&self.key)?;
        let is_same = Arc::as_ptr(&now.entry) == self.entry.as_ptr();
        (is_same && context.accepts_age(now.age))
            .then(|| Read::of(CacheOutcome::Hit, now.age, now.ttl, None))
    }
}
