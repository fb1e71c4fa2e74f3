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

use super::cached::RecordEntry;
use super::context::RequestContext;
use super::generation::LoadKind;
use super::key::{CallerKey, RecordKey};
use super::link_cache::{LinkEntry, LinksById, LinksKey};
use super::single_flight::{JoinRequest, LoadHandle};
use super::store::Records;
use crate::domain::{Failure, ProjectId, RecordId};
use crate::upstream::MOST_LINKS;

/// Starts the loads of a batch of records.
pub(crate) struct BatchLoader {
    pub(crate) records: Records,
    pub(crate) context: RequestContext,
}

/// Loads records for one GraphQL request.
pub(crate) type RecordLoader = Loader<LoadKey, LoadHandle<Arc<RecordEntry>>, BatchLoader>;

/// A record to load. Compared by the record alone.
#[derive(Clone, Debug)]
pub(crate) struct LoadKey {
    pub(crate) record: RecordKey,
    /// The span of the read that asks first.
    pub(crate) trace: Context,
}

/// Collects the ids of one GraphQL operation and asks for their links together.
pub(crate) struct LinkBatchLoader {
    pub(crate) records: Records,
    pub(crate) context: RequestContext,
}

/// Loads links for one GraphQL request.
pub(crate) type LinkLoader = Loader<RecordKey, Result<Arc<LinkEntry>, Failure>, LinkBatchLoader>;

impl BatchFn<LoadKey, LoadHandle<Arc<RecordEntry>>> for BatchLoader {
    async fn load(&mut self, keys: &[LoadKey]) -> HashMap<LoadKey, LoadHandle<Arc<RecordEntry>>> {
        let join = |key: &LoadKey| {
            let _attached = key.trace.clone().attach();
            self.records.join_record(&key.record, &self.context)
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

impl BatchFn<RecordKey, Result<Arc<LinkEntry>, Failure>> for LinkBatchLoader {
    async fn load(
        &mut self,
        keys: &[RecordKey],
    ) -> HashMap<RecordKey, Result<Arc<LinkEntry>, Failure>> {
        let calls = calls_for(keys);
        let answers = join_all(calls.iter().map(|call| self.join(call))).await;
        let mut loaded = HashMap::with_capacity(keys.len());
        for (LinksKey { caller, project, ids }, answer) in calls.into_iter().zip(answers) {
            for id in ids {
                let link = match &answer {
                    Ok(links) => links.get(&id).cloned().ok_or(Failure::Overloaded),
                    Err(failure) => Err(failure.clone()),
                };
                loaded.insert(RecordKey { caller, project: project.clone(), id }, link);
            }
        }
        loaded
    }
}

impl LinkBatchLoader {
    async fn join(&self, key: &LinksKey) -> Result<LinksById, Failure> {
        let links = &self.records.links;
        let cached = || {
            let kept =
                |id: &RecordId| Some((id.clone(), links.get(&key.record(id), &self.context)?));
            key.ids.iter().map(kept).collect::<Option<HashMap<_, _>>>().map(Arc::new)
        };
        let load = |generation| {
            let (records, key, call) = (self.records.clone(), key.clone(), self.context.call());
            async move { records.load_links(key, call, generation).await }
        };
        let begin = || self.records.generations.begin(key.caller, &key.project, LoadKind::List);
        // The call is below the operation and not below one of the reads, whose spans are never entered.
        links.loads.join(JoinRequest { key, begin: &begin }, cached, load).load.await
    }
}

/// The calls for some recordings: one for each project and [`MOST_LINKS`] ids.
fn calls_for(keys: &[RecordKey]) -> Vec<LinksKey> {
    let mut by_project: HashMap<(CallerKey, &ProjectId), Vec<RecordId>> = HashMap::new();
    for key in keys {
        by_project.entry((key.caller, &key.project)).or_default().push(key.id.clone());
    }
    let mut calls = Vec::new();
    for ((caller, project), mut ids) in by_project {
        ids.sort();
        let chunks = ids.chunks(MOST_LINKS).map(<[RecordId]>::to_vec);
        calls.extend(chunks.map(|ids| LinksKey { caller, project: project.clone(), ids }));
    }
    calls
}
