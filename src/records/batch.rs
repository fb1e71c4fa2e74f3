//! The batches of one GraphQL request, for the `dataloader` crate.
//!
//! There is one loader per request and not one per process, because that crate holds a lock while a batch
//! loads. A batch of records only starts loads and hands them out, so no read waits for the slowest one.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use dataloader::BatchFn;
use dataloader::cached::Loader;
use futures_util::future::join_all;
use opentelemetry::Context;

use super::cached::{CachedLink, CachedRecord, LinkEntry, RecordEntry};
use super::invalidation::Invalidation;
use super::key::RecordKey;
use super::read::RequestContext;
use super::single_flight::LoadHandle;
use super::store::Records;
use crate::domain::{Failure, RecordId};
use crate::upstream::MOST_LINKS;

/// Loads the batches of one GraphQL request.
pub(crate) struct BatchLoader {
    pub(crate) records: Records,
    pub(crate) context: RequestContext,
}

/// Starts the loads of records.
pub(crate) type RecordLoader = Loader<LoadKey, LoadHandle<Arc<RecordEntry>>, BatchLoader>;

/// A record to load. Compared by the record alone.
#[derive(Clone, Debug)]
pub(crate) struct LoadKey {
    pub(crate) record: RecordKey,
    /// The span of the read that asks first.
    pub(crate) trace: Context,
}

/// Loads links.
pub(crate) type LinkLoader = Loader<RecordKey, Result<Arc<LinkEntry>, Failure>, BatchLoader>;

impl BatchFn<LoadKey, LoadHandle<Arc<RecordEntry>>> for BatchLoader {
    async fn load(&mut self, keys: &[LoadKey]) -> HashMap<LoadKey, LoadHandle<Arc<RecordEntry>>> {
        let join = |key: &LoadKey| {
            let _attached = key.trace.clone().attach();
            self.records.join::<CachedRecord>(&key.record, &self.context)
        };
        keys.iter().map(|key| (key.clone(), join(key))).collect()
    }
}

impl PartialEq for LoadKey {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl Eq for LoadKey {}

impl Hash for LoadKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.record.hash(state);
    }
}

impl BatchFn<RecordKey, Result<Arc<LinkEntry>, Failure>> for BatchLoader {
    /// Makes one call for each project and [`MOST_LINKS`] ids.
    async fn load(
        &mut self,
        keys: &[RecordKey],
    ) -> HashMap<RecordKey, Result<Arc<LinkEntry>, Failure>> {
        let mut keys = keys.to_vec();
        keys.sort_by(|one, other| (&one.project, &one.id).cmp(&(&other.project, &other.id)));
        let of_projects = keys.chunk_by(|one, other| one.project == other.project);
        let calls = of_projects.flat_map(|keys| keys.chunks(MOST_LINKS));
        let answers = join_all(calls.map(|keys| self.call(keys))).await;
        answers.into_iter().flatten().collect()
    }
}

impl BatchLoader {
    /// Reads links of one project in one call, and caches them. The call is below the operation and not below
    /// one of the reads.
    async fn call(
        &self,
        keys: &[RecordKey],
    ) -> HashMap<RecordKey, Result<Arc<LinkEntry>, Failure>> {
        let Some(first) = keys.first() else { return HashMap::new() };
        let RecordKey { caller, project, .. } = first.clone();
        let (records, links) = (&self.records, &self.records.caches.links);
        let generation = links.begin(first);
        let ids: Vec<RecordId> = keys.iter().map(|key| key.id.clone()).collect();
        let answered = match records.upstream.project(&project) {
            Ok(client) => client.list_download_links(&self.context.call(), &ids).await,
            Err(failure) => Err(failure),
        };
        let mut answered = match answered {
            Ok(answered) => answered,
            Err(failure) => {
                records.revoke_by(&failure, caller, || Invalidation::Lists { caller, project });
                return keys.iter().map(|key| (key.clone(), Err(failure.clone()))).collect();
            }
        };
        let now = records.clock.timestamp();
        let mut cache = |key: &RecordKey| {
            let link = answered.remove(&RecordId::folded(key.id.as_str())).flatten();
            let entry = links.entry(CachedLink::new(link, now));
            links.insert(key, &entry, &generation);
            (key.clone(), Ok(entry))
        };
        keys.iter().map(&mut cache).collect()
    }
}
