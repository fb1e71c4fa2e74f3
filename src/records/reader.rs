//! The reads of one GraphQL request. Every read passes [`Reader::admit_project`], the one gate to the data.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use dataloader::cached::Loader;
use opentelemetry::Context;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tracing::field::display;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::batch::{BatchLoader, LinkLoader, LoadKey, RecordLoader};
use super::cached::{CachedRecord, RecordEntry};
use super::context::RequestContext;
use super::dependency::Dependency;
use super::explain::Explained;
use super::fetch::Readable;
use super::freshness::Freshness;
use super::key::{CallerKey, RecordKey};
use super::read::{CacheOutcome, Content, Read, ReadSummary};
use super::scan_budget::ScanBudget;
use super::single_flight::LoadHandle;
use super::store::Records;
use super::ttl_cache::{CacheKey as _, Entry, Found};
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
    dependencies: Mutex<Option<Vec<Dependency>>>,
    /// The reads of each field, if the request wants an explanation.
    explanation: OnceLock<Mutex<Vec<Explained>>>,
    /// How many recordings and pages are being read.
    running_reads: AtomicUsize,
    /// Notified when one of them ends.
    read_ended: Notify,
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
            scan_budget: self.scan_budget(),
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
    ) -> Result<Arc<ScreenRecord>, Failure> {
        let key = self.admit(project, id)?;
        self.read::<CachedRecord>(&key, self.join_in_batch(&key)).await?.value.record.clone()
    }

    /// As [`Self::screen_record`], for a request that asks for this recording and no other: there is
    /// nothing to make a batch of.
    ///
    /// # Errors
    /// As [`Self::screen_record`].
    pub async fn only_screen_record(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        let key = self.admit(project, id)?;
        self.read::<CachedRecord>(&key, self.join_at_once::<CachedRecord>(&key))
            .await?
            .value
            .record
            .clone()
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
        key: &V::Key,
        join: impl Future<Output = LoadHandle<Arc<Entry<V>>>>,
    ) -> Result<Arc<Entry<V>>, Failure> {
        let found = self.cached::<V>(key);
        match &found {
            Some(found) => {
                if let Some(outcome) = self.outcome_without_load(key, found) {
                    let span = V::CONTENT.span();
                    outcome.record_with_absence(&span, found.entry.value.is_absent());
                    let read = Read::of(outcome, found.age, found.ttl, None);
                    self.note::<V>(key, read, Some(&found.entry));
                    return Ok(Arc::clone(&found.entry));
                }
            }
            None => {
                if let Some(failure) = key.as_record().and_then(|key| self.deny_again(key)) {
                    return Err(failure);
                }
            }
        }
        self.load(key, found, join).instrument(V::CONTENT.span()).await
    }

    /// As what a cached value is served at once. A stale one is refreshed behind the answer.
    fn outcome_without_load<V: Readable>(
        &self,
        key: &V::Key,
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
        let renewed = self.records.reader(self.context.clone());
        *renewed.noted.lock() = self.take_summary();
        renewed
    }

    /// What was read since the last call.
    pub fn take_summary(&self) -> ReadSummary {
        std::mem::take(&mut self.noted.lock())
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

    /// Begins to load a recording or a page.
    ///
    /// A request that cannot be answered in its first poll needs a permit to wait. Nothing may be sent
    /// upstream before it has one, so a load has to begin after a yield.
    fn loading(&self) -> Loading<'_> {
        self.running_reads.fetch_add(1, Ordering::SeqCst);
        Loading(self)
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
        key: &V::Key,
        found: Option<Found<V>>,
        join: impl Future<Output = LoadHandle<Arc<Entry<V>>>>,
    ) -> Result<Arc<Entry<V>>, Failure> {
        let _loading = self.loading();
        let handle = join.await;
        Span::current().add_link(handle.started_in.clone());
        let (result, is_leader) = self.load_result(key, handle).await;
        let outcome = self.context.outcome(is_leader, found.is_some());
        let entry = match (result, key.as_record()) {
            (Ok(entry), Some(key)) if !entry.value.is_visible_to(&self.context.grant) => {
                return Err(self.deny(key, outcome));
            }
            (Ok(entry), _) => entry,
            (Err(failure), _) => {
                // The load may have found in the shared tier what may stand in for a failure.
                let found = found.or_else(|| self.cached(key));
                return self.fall_back(key, outcome, found, failure);
            }
        };
        let Found { entry, age, ttl, .. } = V::cache(&self.records).assess(entry);
        let is_shared = entry.value.is_shared();
        let status = (!is_shared).then(|| entry.value.status());
        let outcome = if is_shared { CacheOutcome::Hit } else { outcome };
        let read = Read { is_shared, ..Read::of(outcome, age, ttl, status) };
        self.note_load(key, read, Some(&entry));
        Ok(entry)
    }

    /// What a load ends in, and whether it is this request's own. A load that another request began
    /// may end in something from the shared tier that may not answer this one: then another is made.
    async fn load_result<V: Readable>(
        &self,
        key: &V::Key,
        mut handle: LoadHandle<Arc<Entry<V>>>,
    ) -> (Result<Arc<Entry<V>>, Failure>, bool) {
        loop {
            let is_leader = handle.is_leader();
            let result = handle.load.await;
            let is_refused = |entry: &Arc<Entry<V>>| {
                let found = V::cache(&self.records).assess(Arc::clone(entry));
                entry.value.is_shared() && !self.context.accepts(&found)
            };
            if !result.as_ref().is_ok_and(is_refused) {
                return (result, is_leader);
            }
            handle = self.records.join(key, &self.context);
        }
    }

    /// What is cached and may answer this request, whatever its age.
    fn cached<V: Readable>(&self, key: &V::Key) -> Option<Found<V>> {
        let found = V::cache(&self.records).get(key).filter(|_| !self.context.no_cache);
        found.filter(|found| found.entry.value.is_visible_to(&self.context.grant))
    }

    /// Serves what is cached in a failure's place, where that is allowed.
    fn fall_back<V: Readable>(
        &self,
        key: &V::Key,
        outcome: CacheOutcome,
        found: Option<Found<V>>,
        failure: Failure,
    ) -> Result<Arc<Entry<V>>, Failure> {
        let (code, status) = (failure.code().as_str(), failure.upstream_status());
        let cache = V::cache(&self.records);
        match found {
            // What was dropped meanwhile must not be served.
            Some(stale) if failure.permits_stale() && cache.holds(key, &stale.entry) => {
                let stale = cache.assess(stale.entry);
                stale.back_off(&failure);
                let id = key.as_record().map(|key| display(&key.id));
                tracing::warn!(code, record.id = id, "served stale in place of an error");
                let read = Read::of(CacheOutcome::StaleOnError, stale.age, stale.ttl, status);
                self.note_load(key, read, Some(&stale.entry));
                Ok(stale.entry)
            }
            Some(_) | None => {
                spans::fail(&Span::current(), code);
                self.note_load::<V>(key, Read::failed(outcome, status), None);
                Err(failure)
            }
        }
    }

    /// Joins the load of a value, or starts it. See [`Self::loading`].
    pub(crate) async fn join_at_once<V: Readable>(
        &self,
        key: &V::Key,
    ) -> LoadHandle<Arc<Entry<V>>> {
        yield_now().await;
        self.records.join(key, &self.context)
    }

    async fn join_in_batch(&self, key: &RecordKey) -> LoadHandle<Arc<RecordEntry>> {
        let loader = self.loader.get_or_init(|| {
            let (records, context) = (self.records.clone(), self.context.clone());
            let batch = BatchLoader { records, context };
            // Sibling fields have all been asked once by the time the first is asked again, so
            // yielding once is enough to see them all.
            Loader::new(batch).with_yield_count(1).with_max_batch_size(usize::MAX)
        });
        let (record, trace) = (key.clone(), Context::current());
        match loader.try_load(LoadKey { record, trace }).await {
            Ok(handle) => handle,
            // The batch answers every key; should one be missing, it is loaded by itself.
            Err(_) => self.records.join(key, &self.context),
        }
    }

    /// Notes the outcome of a load in the current span, which is that of the read, and for the answer.
    fn note_load<V: Readable>(&self, key: &V::Key, read: Read, entry: Option<&Arc<Entry<V>>>) {
        let is_absence = entry.is_some_and(|entry| entry.value.is_absent());
        read.outcome.record_with_absence(&Span::current(), is_absence);
        self.note(key, read, entry);
    }

    fn note<V: Readable>(&self, key: &V::Key, read: Read, entry: Option<&Arc<Entry<V>>>) {
        match (entry, &mut *self.dependencies.lock()) {
            (Some(entry), Some(dependencies)) if read.outcome == CacheOutcome::Hit => {
                dependencies.push(Dependency::new(key, entry));
            }
            (_, dependencies) => *dependencies = None,
        }
        self.note_for_field(V::CONTENT, &read, entry.is_some());
        self.note_read(read);
    }

    /// Notes that a recording is denied to the caller. The summary and the explanation are the same for a
    /// missing recording and an invisible one.
    pub(crate) fn note_denial(&self, key: &RecordKey, outcome: CacheOutcome) -> Failure {
        self.note::<CachedRecord>(key, Read::failed(outcome, None), None);
        self.noted.lock().has_denials = true;
        self.audit_denied(&key.project, Some(&key.id));
        self.records.metrics.denials.inc("record");
        Failure::NotVisible
    }

    pub(crate) fn note_read(&self, read: Read) {
        self.records.metrics.count(read.outcome);
        self.noted.lock().reads.push(read);
    }

    /// Notes every read from now on, with the path of its field.
    pub fn explain(&self) {
        self.explanation.get_or_init(Mutex::default);
    }

    /// Whether reads are noted.
    pub fn is_explained(&self) -> bool {
        self.explanation.get().is_some()
    }

    /// The reads that were noted.
    pub fn explained(&self) -> Vec<Explained> {
        self.explanation.get().map(|noted| noted.lock().clone()).unwrap_or_default()
    }

    /// Notes a read, which may have failed. Of the pages of a scan only the first is noted: how many it reads
    /// says how many rows it has passed over.
    pub(crate) fn note_for_field(&self, content: Content, read: &Read, is_there: bool) {
        let Some(explanation) = self.explanation.get() else { return };
        let (new, mut noted) = (Explained::new(content, read, is_there), explanation.lock());
        let is_scan = content == Content::Page && self.context.grant.is_restricted();
        if !is_scan || !noted.iter().any(|other| other.is_like(&new)) {
            noted.push(new);
        }
    }

    /// What was read, for a response that may be cached; `None` where nothing was read, or something that
    /// was not fresh in the cache. So data that is read once leaves no response behind.
    pub(crate) fn take_dependencies(&self) -> Option<Vec<Dependency>> {
        let read = self.dependencies.lock().replace(Vec::new());
        read.filter(|dependencies| !dependencies.is_empty())
    }

    /// The reads that the dependencies stand for, as cache hits; `None` unless each is still in the cache,
    /// fresh enough for this request, and of a project that its caller may see.
    pub(crate) fn revalidate(&self, dependencies: &[Dependency]) -> Option<SmallVec<[Read; 1]>> {
        let reread = |dependency: &Dependency| {
            self.admit_project(dependency.project()).ok()?;
            dependency.reread(&self.records, &self.context)
        };
        dependencies.iter().map(reread).collect()
    }

    /// Counts and traces what [`Self::revalidate`] has returned as reads of this request.
    pub(crate) fn note_hits(&self, dependencies: &[Dependency], hits: SmallVec<[Read; 1]>) {
        for (dependency, hit) in dependencies.iter().zip(hits) {
            hit.outcome.record(&dependency.content().span());
            self.note_read(hit);
        }
    }

    /// Notes that the response of this request must not be reused.
    pub(crate) fn mark_uncacheable(&self) {
        *self.dependencies.lock() = None;
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.running_reads.fetch_sub(1, Ordering::SeqCst);
        self.0.read_ended.notify_waiters();
    }
}
