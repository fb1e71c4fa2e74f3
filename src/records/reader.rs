//! The reads of one GraphQL request. Every read passes [`Reader::admit_project`], the one gate to the data.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use dataloader::BatchFn;
use dataloader::cached::Loader;
use opentelemetry::Context;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tracing::field::display;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::batch::{BatchLoader, LinkLoader, LoadKey, RecordLoader};
use super::cached::{CachedRecord, RecordEntry};
use super::fetch::{Dependency, Readable};
use super::freshness::Freshness;
use super::key::{CallerKey, Key, RecordKey};
use super::pagination::ScanBudget;
use super::read::{CacheOutcome, Explained, Read, ReadSummary, RequestContext};
use super::single_flight::LoadHandle;
use super::store::Records;
use super::ttl_cache::{Entry, Found};
use crate::config::ProjectConfig;
use crate::domain::{Failure, ProjectId, RecordId, ScreenRecord};
use crate::spans;

/// Reads records for one GraphQL request: collapses duplicates, starts distinct ones together.
/// The loader is made at the first miss, so a hit never meets it.
pub struct Reader {
    pub(super) records: Records,
    pub(super) context: RequestContext,
    /// Whose data is read; `None` where a token is needed and there is none.
    caller: Option<CallerKey>,
    loader: OnceLock<RecordLoader>,
    pub(super) link_loader: OnceLock<LinkLoader>,
    pub(super) noted: Mutex<ReadSummary>,
    pub(super) scan_budget: ScanBudget,
    /// `None` once it has read what was not fresh in the cache, or a signed link.
    pub(super) dependencies: Mutex<Option<Vec<Dependency>>>,
    /// The reads of each field, if the request wants an explanation.
    pub(super) explanation: OnceLock<Mutex<Vec<Explained>>>,
    /// How many recordings and pages are being read.
    running_reads: AtomicUsize,
    /// Notified when one of them ends.
    read_ended: Notify,
}

/// Whether a request may ask for other recordings at the same time, to make a batch of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Siblings {
    /// It asks for this recording and no other.
    None,
    /// It may.
    Perhaps,
}

/// Counts as one read under way while it lives.
struct Loading<'r>(&'r Reader);

impl Records {
    /// A reader for one GraphQL request.
    pub fn reader(&self, context: RequestContext) -> Reader {
        self.reader_of(self.caller(context.token.as_ref()), context)
    }

    /// The same where it is known already whose data is read.
    pub(crate) fn reader_of(&self, caller: Option<CallerKey>, context: RequestContext) -> Reader {
        let operation = self.next_operation.fetch_add(1, Ordering::Relaxed);
        let context = RequestContext { operation, ..context };
        Reader {
            records: self.clone(),
            context,
            caller,
            loader: OnceLock::new(),
            link_loader: OnceLock::new(),
            noted: Mutex::default(),
            scan_budget: ScanBudget::new(**self.max_scanned_rows.load(), &self.metrics),
            dependencies: Mutex::new(Some(Vec::new())),
            explanation: OnceLock::new(),
            running_reads: AtomicUsize::new(0),
            read_ended: Notify::new(),
        }
    }
}

impl Reader {
    /// One recording.
    ///
    /// # Errors
    /// [`Failure::TokenMissing`] and [`Failure::ProjectNotAllowed`] before anything is read; else
    /// what the upstream, or the way there, made of it.
    pub async fn screen_record(
        &self,
        project: ProjectId,
        id: RecordId,
        siblings: Siblings,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        let key = self.admit(project, id)?;
        let entry = match siblings {
            Siblings::None => self.read::<CachedRecord>(&key, self.join_at_once(&key)).await?,
            // Boxed, so that the usual case stays small.
            Siblings::Perhaps => Box::pin(self.read(&key, self.join_in_batch(&key))).await?,
        };
        entry.value.record.clone()
    }

    /// The projects that the settings name and the caller may see, in the order of the settings.
    ///
    /// # Errors
    /// [`Failure::TokenMissing`]
    pub fn projects(&self) -> Result<Vec<ProjectConfig>, Failure> {
        self.caller.ok_or(Failure::TokenMissing)?;
        let mut projects = self.records.upstream.projects();
        projects.retain(|ProjectConfig { id, .. }| {
            self.context.grant.includes_project(id) && self.records.region_of(id).is_some()
        });
        Ok(projects)
    }

    /// Checks that several projects can be read for one request.
    ///
    /// # Errors
    /// [`Failure::TokenOfOneProject`] if the caller's own token is used.
    pub(crate) fn check_several_projects(&self) -> Result<(), Failure> {
        if self.records.upstream.reads_one_project_per_token() {
            return Err(Failure::TokenOfOneProject);
        }
        Ok(())
    }

    /// Reads a value: from the cache, or of a load, which `join` joins or starts.
    pub(crate) async fn read<V: Readable>(
        &self,
        key: &Key<V::Id>,
        join: impl Future<Output = LoadHandle<Arc<Entry<V>>>>,
    ) -> Result<Arc<Entry<V>>, Failure> {
        let found = self.cached::<V>(key);
        if let Some(found) = &found
            && let Some(outcome) = self.outcome_without_load(key, found)
        {
            let read = found.read(outcome, None);
            self.note::<V>(&V::CONTENT.span(), key, read, Some(&found.entry));
            return Ok(Arc::clone(&found.entry));
        }
        if found.is_none()
            && let Some(denied) = V::record_key(key).and_then(|key| self.deny_again(key))
        {
            return Err(denied);
        }
        let span = V::CONTENT.span();
        self.load(&span, key, found, join).instrument(span.clone()).await
    }

    /// As what a cached value is served at once. A stale one is refreshed behind the answer.
    fn outcome_without_load<V: Readable>(
        &self,
        key: &Key<V::Id>,
        found: &Found<V>,
    ) -> Option<CacheOutcome> {
        if !self.context.accepts_age(found.age) {
            // Too old for this request, but still there in place of an error.
            return None;
        }
        match found.freshness {
            Freshness::Fresh => Some(CacheOutcome::Hit),
            Freshness::Stale => {
                if !found.is_backing_off() {
                    self.records.refresh_in_background(key, &found.entry, &self.context);
                }
                Some(CacheOutcome::Stale)
            }
            Freshness::StaleIfError | Freshness::Expired => {
                found.is_backing_off().then_some(CacheOutcome::StaleOnError)
            }
        }
    }

    /// A reader for the next answer of the same operation: with empty loaders, and with the part of
    /// the summary that was not taken.
    pub(crate) fn renewed(&self) -> Self {
        let renewed = self.records.reader_of(self.caller, self.context.clone());
        *renewed.noted.lock() = self.take_summary();
        renewed
    }

    /// Checks that the caller may ask for the project at all, and makes the key.
    pub(crate) fn admit(&self, project: ProjectId, id: RecordId) -> Result<RecordKey, Failure> {
        let caller = self.admit_for(&project, Some(&id))?;
        Ok(RecordKey { caller, project, id })
    }

    /// Checks that the caller may ask for the project at all.
    pub(crate) fn admit_project(&self, project: &ProjectId) -> Result<CallerKey, Failure> {
        self.admit_for(project, None)
    }

    /// Checks the project of a recording, or for `None` of a list, against those that are served and those
    /// of the caller, and notes that it was asked for.
    fn admit_for(&self, project: &ProjectId, id: Option<&RecordId>) -> Result<CallerKey, Failure> {
        let region = self.records.region_of(project);
        self.noted.lock().asked.note(project, region.as_ref());
        if region.is_some() && self.context.grant.includes_project(project) {
            return self.caller.ok_or(Failure::TokenMissing);
        }
        self.records.metrics.denials.inc("project");
        self.audit_denied(project, id);
        Err(Failure::ProjectNotAllowed)
    }

    /// Waits until no recording and no page is being read.
    pub(crate) async fn quiet(&self) {
        loop {
            // Fields beside this one have all begun to read by the time it is asked again.
            yield_now().await;
            let ended = self.read_ended.notified();
            if self.running_reads.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Joins the load of a value, or starts it, within the span of the read.
    async fn load<V: Readable>(
        &self,
        span: &Span,
        key: &Key<V::Id>,
        found: Option<Found<V>>,
        join: impl Future<Output = LoadHandle<Arc<Entry<V>>>>,
    ) -> Result<Arc<Entry<V>>, Failure> {
        self.running_reads.fetch_add(1, Ordering::SeqCst);
        let _loading = Loading(self);
        let handle = join.await;
        span.add_link(handle.started_in.clone());
        let (result, is_leader) = self.load_result(key, handle).await;
        let outcome = self.context.outcome(is_leader, found.is_some());
        let entry = match (result, V::record_key(key)) {
            (Ok(entry), Some(key)) if !entry.value.is_visible_to(&self.context.grant) => {
                return Err(self.deny(span, key, outcome));
            }
            (Ok(entry), _) => entry,
            (Err(failure), _) => {
                // The load may have found in the shared tier what may stand in for a failure.
                let found = found.or_else(|| self.cached(key));
                return self.fall_back(key, outcome, found, failure);
            }
        };
        let is_shared = entry.value.is_shared();
        let status = (!is_shared).then(|| entry.value.status());
        let outcome = if is_shared { CacheOutcome::Hit } else { outcome };
        let found = V::cache(&self.records).assess(Arc::clone(&entry));
        let read = Read { is_shared, ..found.read(outcome, status) };
        self.note(span, key, read, Some(&entry));
        Ok(entry)
    }

    /// What a load ends in, and whether it is this request's own. A load that another request began
    /// may end in something from the shared tier that may not answer this one: then another is made.
    async fn load_result<V: Readable>(
        &self,
        key: &Key<V::Id>,
        mut handle: LoadHandle<Arc<Entry<V>>>,
    ) -> (Result<Arc<Entry<V>>, Failure>, bool) {
        loop {
            let is_leader = handle.is_leader();
            let result = handle.load.await;
            let is_refused = |entry: &Arc<Entry<V>>| {
                let found = V::cache(&self.records).assess(Arc::clone(entry));
                entry.value.is_shared() && !found.may_answer(&self.context)
            };
            if !result.as_ref().is_ok_and(is_refused) {
                return (result, is_leader);
            }
            handle = self.records.join(key, &self.context);
        }
    }

    /// What is cached and may answer this request, whatever its age.
    fn cached<V: Readable>(&self, key: &Key<V::Id>) -> Option<Found<V>> {
        let found = V::cache(&self.records).get(key).filter(|_| !self.context.no_cache);
        found.filter(|found| found.entry.value.is_visible_to(&self.context.grant))
    }

    /// Serves what is cached in a failure's place, where that is allowed.
    fn fall_back<V: Readable>(
        &self,
        key: &Key<V::Id>,
        outcome: CacheOutcome,
        found: Option<Found<V>>,
        failure: Failure,
    ) -> Result<Arc<Entry<V>>, Failure> {
        let (code, status) = (failure.code().as_str(), failure.upstream_status());
        let (cache, span) = (V::cache(&self.records), &Span::current());
        // What was dropped meanwhile must not be served.
        let may_serve =
            |stale: &Found<V>| failure.permits_stale() && cache.holds(key, &stale.entry);
        let Some(stale) = found.filter(may_serve) else {
            spans::fail(span, code);
            self.note::<V>(span, key, Read::failed(outcome, status), None);
            return Err(failure);
        };
        let stale = cache.assess(stale.entry);
        stale.back_off(&failure);
        let id = V::record_key(key).map(|key| display(&key.id));
        tracing::warn!(
            request.id = &*self.context.request_id,
            code,
            record.id = id,
            "served stale in place of an error"
        );
        let read = stale.read(CacheOutcome::StaleOnError, status);
        self.note(span, key, read, Some(&stale.entry));
        Ok(stale.entry)
    }

    /// Joins the load of a value, or starts it.
    ///
    /// A request that cannot be answered in its first poll needs a permit to wait. Nothing may be sent
    /// upstream before it has one, so a load has to begin after a yield.
    pub(crate) async fn join_at_once<V: Readable>(
        &self,
        key: &Key<V::Id>,
    ) -> LoadHandle<Arc<Entry<V>>> {
        yield_now().await;
        self.records.join(key, &self.context)
    }

    async fn join_in_batch(&self, key: &RecordKey) -> LoadHandle<Arc<RecordEntry>> {
        let loader = self.loader.get_or_init(|| self.batches());
        let (record, trace) = (key.clone(), Context::current());
        match loader.try_load(LoadKey { record, trace }).await {
            Ok(handle) => handle,
            // The batch answers every key; should one be missing, it is loaded by itself.
            Err(_) => self.records.join(key, &self.context),
        }
    }

    /// A loader for the batches of this request. Sibling fields have all been asked once by the time the
    /// first is asked again, so yielding once is enough to see them all.
    pub(super) fn batches<K, V>(&self) -> Loader<K, V, BatchLoader>
    where
        K: Clone + Debug + Eq + Hash,
        V: Clone,
        BatchLoader: BatchFn<K, V>,
    {
        let batch = BatchLoader { records: self.records.clone(), context: self.context.clone() };
        Loader::new(batch).with_yield_count(1).with_max_batch_size(usize::MAX)
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.running_reads.fetch_sub(1, Ordering::SeqCst);
        self.0.read_ended.notify_waiters();
    }
}
