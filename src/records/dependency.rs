//! What a response was made from, and whether it still holds.
//!
//! A response may be reused while every record and page that it was made from is still the one in the
//! cache, fresh, and of a project that the caller may see. This module knows no response.

use std::sync::Weak;

use super::cached::RecordEntry;
use super::key::RecordKey;
use super::pages::{CachedPage, Listing, OperationListing, PageEntry, PageKey};
use super::read::Content;
use super::store::RecordStore;
use super::ttl_cache::TtlCache;
use crate::domain::RecordQuery;

/// A record or a page that a response was made from, at its version then.
pub(crate) enum Dependency {
    Record(RecordKey, Weak<RecordEntry>),
    RecordPage(PageKey<RecordQuery>, WeakPage<RecordQuery>),
    OperationPage(PageKey<OperationListing>, WeakPage<OperationListing>),
}

pub(crate) type WeakPage<L> = Weak<PageEntry<L>>;

impl Dependency {
    /// About how many bytes it takes: the memory of a dropped record or page is freed with the last weak
    /// pointer to it.
    pub(crate) fn bytes(&self) -> usize {
        const ARC_HEADER: usize = 2 * size_of::<usize>();
        let (project, id, target) = match self {
            Self::Record(key, _) => (&key.project, key.id.as_str().len(), size_of::<RecordEntry>()),
            Self::RecordPage(key, _) => {
                (&key.project, key.listing.bytes(), size_of::<PageEntry<RecordQuery>>())
            }
            Self::OperationPage(key, _) => {
                (&key.project, key.listing.bytes(), size_of::<PageEntry<OperationListing>>())
            }
        };
        size_of::<Self>() + 3 * ARC_HEADER + project.as_str().len() + id + target
    }

    pub(crate) fn content(&self) -> Content {
        match self {
            Self::Record(..) => Content::Record,
            Self::RecordPage(..) | Self::OperationPage(..) => Content::Page,
        }
    }
}

/// A list whose pages are dependencies.
pub(crate) trait PageDependency: Listing {
    fn dependency(key: PageKey<Self>, page: WeakPage<Self>) -> Dependency;

    fn cache(store: &RecordStore) -> &TtlCache<CachedPage<Self>>;
}

impl PageDependency for RecordQuery {
    fn dependency(key: PageKey<Self>, page: WeakPage<Self>) -> Dependency {
        Dependency::RecordPage(key, page)
    }

    fn cache(store: &RecordStore) -> &TtlCache<CachedPage<Self>> {
        &store.record_pages
    }
}

impl PageDependency for OperationListing {
    fn dependency(key: PageKey<Self>, page: WeakPage<Self>) -> Dependency {
        Dependency::OperationPage(key, page)
    }

    fn cache(store: &RecordStore) -> &TtlCache<CachedPage<Self>> {
        &store.operation_pages
    }
}
