//! The reads of one GraphQL request. Every read passes [`Reader::admit_project`], the one gate to the data.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use dataloader::cached::Loader;
use opentelemetry::Context;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::batch::{BatchLoader, LinkLoader, LoadKey, RecordLoader};
use super::cached::{CachedRecord, RecordEntry};
use super::context::RequestContext;
use super::dependency::Dependency;
use super::explain::{Explained, Explanation};
use super::freshness::Freshness;
use super::key::{CallerKey, RecordKey};
use super::metrics::DenialReason;
use super::read::{CacheOutcome, Content, Read, ReadSummary};
use super::scan_budget::ScanBudget;
use super::single_flight::LoadHandle;
use super::store::Records;
use super::ttl_cache::Found;
use crate::config::ProjectConfig;
use crate::domain::{Failure, ProjectId, RecordId, ScreenRecord};
use crate::spans;

/// Reads records for one GraphQL request: collapses duplicates, starts distinct ones together.
/// The loader is made at the first miss, so a hit never meets it.
pub struct Reader {
    records: Records,
    context: RequestContext,
    caller: Option<CallerKey>,
    loader: OnceLock<RecordLoader>,
    link_loader: OnceLock<LinkLoader>,
    pub(super) noted: Mutex<ReadSummary>,
    scan_budget: ScanBudget,
    /// `None` once it has read what was not fresh in the cache, or a signed link.
    dependencies: Mutex<Option<Vec<Dependency>>>,
    /// The reads of each field, if the request wants an explanation.
    explanation: OnceLock<Box<Explanation>>,
    /// How many recordings and pages are being read.
    running_reads: AtomicUsize,
    /// Notified when one of them ends.
    read_ended: Notify,
}

/// Whether a request may ask for other recordings at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BatchMode {
    Batched,
    Single,
}

/// Counts as one read under way while it lives.
pub(crate) struct Loading<'r>(&'r Reader);

impl Records {
    /// A reader for one GraphQL request.
    pub fn reader(&self, context: RequestContext) -> Reader {
        let caller = self.caller(context.token.as_ref());
        let operation = self.next_operation();
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
        self.read(self.admit(project, id)?, BatchMode::Batched).await
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
        self.read(self.admit(project, id)?, BatchMode::Single).await
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

    async fn read(&self, key: RecordKey, mode: BatchMode) -> Result<Arc<ScreenRecord>, Failure> {
        let found = self.cached(&key);
        if found.is_none()
            && let Some(failure) = self.deny_again(&key)
        {
            return Err(failure);
        }
        if found.as_ref().is_some_and(|found| !self.context.accepts_age(found.age)) {
            // Too old for this request, but still there in place of an error.
            return self.fetch(key, found, mode).await;
        }
        match &found {
            Some(fresh @ Found { freshness: Freshness::Fresh, .. }) => {
                return self.serve(&key, fresh, CacheOutcome::Hit);
            }
            Some(stale @ Found { freshness: Freshness::Stale, .. }) => {
                if !stale.is_backing_off() {
                    self.records.refresh_in_background(&key, &stale.entry, &self.context);
                }
                return self.serve(&key, stale, CacheOutcome::Stale);
            }
            Some(stale) if stale.is_backing_off() => {
                return self.serve(&key, stale, CacheOutcome::StaleOnError);
            }
            Some(_) | None => {}
        }
        self.fetch(key, found, mode).await
    }

    /// A reader for the next answer of the same operation: with empty loaders, and with the part of
    /// the summary that was not taken.
    pub(crate) fn renewed(&self) -> Self {
        let renewed = self.records.reader(self.context.clone());
        *renewed.noted.lock() = self.take_summary();
        renewed
    }

    /// Whose data is read; `None` where a token is needed and there is none.
    pub(crate) fn caller(&self) -> Option<CallerKey> {
        self.caller
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

    /// Checks the project of a recording, or for `None` of a list.
    fn admit_for(&self, project: &ProjectId, id: Option<&RecordId>) -> Result<CallerKey, Failure> {
        self.check_project(project).inspect_err(|_| self.audit_denied(project, id))?;
        self.caller.ok_or(Failure::TokenMissing)
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    pub(crate) fn scan_budget(&self) -> &ScanBudget {
        &self.scan_budget
    }

    pub(crate) fn context(&self) -> &RequestContext {
        &self.context
    }

    pub(crate) fn link_loader(&self, new: impl FnOnce() -> LinkLoader) -> &LinkLoader {
        self.link_loader.get_or_init(new)
    }

    /// Begins to load a recording or a page.
    ///
    /// A request that cannot be answered in its first poll needs a permit to wait. Nothing may be sent
    /// upstream before it has one, so a load has to begin after a yield.
    pub(crate) fn loading(&self) -> Loading<'_> {
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

    /// Checks a project against those that are served and those of the caller, and notes that it was
    /// asked for.
    fn check_project(&self, project: &ProjectId) -> Result<(), Failure> {
        let region = self.records.region_of(project);
        self.noted.lock().asked.note(project, region.as_ref());
        if region.is_some() && self.context.grant.includes_project(project) {
            Ok(())
        } else {
            self.records.metrics.count_denial(DenialReason::Project);
            Err(Failure::ProjectNotAllowed)
        }
    }

    async fn fetch(
        &self,
        key: RecordKey,
        found: Option<Found<CachedRecord>>,
        mode: BatchMode,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        self.join_load(key, found, mode).instrument(Content::Record.span()).await
    }

    /// Joins the load of a record, or begins it, within the span of the read.
    async fn join_load(
        &self,
        key: RecordKey,
        found: Option<Found<CachedRecord>>,
        mode: BatchMode,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        let _loading = self.loading();
        let handle = match mode {
            BatchMode::Batched => self.join_in_batch(&key).await,
            BatchMode::Single => {
                yield_now().await;
                self.records.join_record(&key, &self.context)
            }
        };
        Span::current().add_link(handle.started_in.clone());
        let (result, is_leader) = self.load_result(&key, handle).await;
        let outcome = self.context.outcome(is_leader, found.is_some());
        let entry = match result {
            Ok(entry) if !self.context.shows(&entry.value) => return Err(self.deny(&key, outcome)),
            Ok(entry) => entry,
            Err(failure) => {
                // The load may have found in the shared tier what may stand in for a failure.
                let found = found.or_else(|| self.stale_fallback(&key));
                return self.fall_back(&key, is_leader, found, failure);
            }
        };
        let Found { entry, age, ttl, .. } = self.records.cache.assess(entry);
        let CachedRecord { is_shared, status, .. } = entry.value;
        let (outcome, status) =
            if is_shared { (CacheOutcome::Hit, None) } else { (outcome, Some(status)) };
        self.note_load(&key, Read::of(outcome, age, ttl, status), Some(&entry));
        if is_shared {
            self.note_shared();
        }
        entry.value.read()
    }

    /// What a load ends in, and whether it is this request's own. A load that another request began
    /// may end in something from the shared tier that may not answer this one: then another is made.
    async fn load_result(
        &self,
        key: &RecordKey,
        mut handle: LoadHandle<Arc<RecordEntry>>,
    ) -> (Result<Arc<RecordEntry>, Failure>, bool) {
        loop {
            let is_leader = handle.is_leader();
            let result = handle.load.await;
            let is_refused = |entry: &Arc<RecordEntry>| {
                let found = self.records.cache.assess(Arc::clone(entry));
                entry.value.is_shared && !self.context.accepts_record(&found)
            };
            if !result.as_ref().is_ok_and(is_refused) {
                return (result, is_leader);
            }
            handle = self.records.join_record(key, &self.context);
        }
    }

    /// What is cached of a record and may answer this request, whatever its age.
    fn cached(&self, key: &RecordKey) -> Option<Found<CachedRecord>> {
        let found = self.records.cache.get(key).filter(|_| !self.context.no_cache);
        found.filter(|found| self.context.shows(&found.entry.value))
    }

    fn stale_fallback(&self, key: &RecordKey) -> Option<Found<CachedRecord>> {
        self.records.shared_tier()?;
        self.cached(key)
    }

    /// Serves what is kept in a failure's place, where that is allowed.
    fn fall_back(
        &self,
        key: &RecordKey,
        is_leader: bool,
        found: Option<Found<CachedRecord>>,
        failure: Failure,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        match found {
            // A record that was dropped meanwhile must not be served.
            Some(stale) if failure.permits_stale() && self.is_kept(key, &stale) => {
                self.records.back_off(Arc::clone(&stale.entry), &failure);
                let code = failure.code().as_str();
                tracing::warn!(code, record.id = %key.id, "served stale in place of an error");
                let stale = self.records.cache.assess(stale.entry);
                let status = failure.upstream_status();
                let read = Read::of(CacheOutcome::StaleOnError, stale.age, stale.ttl, status);
                self.note_load(key, read, Some(&stale.entry));
                stale.entry.value.read()
            }
            found => {
                let outcome = self.context.outcome(is_leader, found.is_some());
                spans::fail(&Span::current(), failure.code().as_str());
                self.note_load(key, Read::failed(outcome, failure.upstream_status()), None);
                Err(failure)
            }
        }
    }

    fn is_kept(&self, key: &RecordKey, found: &Found<CachedRecord>) -> bool {
        self.records.cache.holds(key, &found.entry)
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
            Err(_) => self.records.join_record(key, &self.context),
        }
    }

    fn serve(
        &self,
        key: &RecordKey,
        found: &Found<CachedRecord>,
        outcome: CacheOutcome,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        outcome.record_with_absence(&Content::Record.span(), found.entry.value.is_absent());
        self.note(key, Read::of(outcome, found.age, found.ttl, None), Some(&found.entry));
        found.entry.value.read()
    }

    /// Notes the outcome of a load in the current span, which is that of the read, and for the answer.
    fn note_load(&self, key: &RecordKey, read: Read, entry: Option<&Arc<RecordEntry>>) {
        let is_absence = entry.is_some_and(|entry| entry.value.is_absent());
        read.outcome.record_with_absence(&Span::current(), is_absence);
        self.note(key, read, entry);
    }

    fn note(&self, key: &RecordKey, read: Read, entry: Option<&Arc<RecordEntry>>) {
        match entry {
            Some(entry) if read.outcome == CacheOutcome::Hit => {
                self.depend_on(|| Dependency::Record(key.clone(), Arc::downgrade(entry)));
            }
            Some(_) | None => self.mark_uncacheable(),
        }
        self.note_for_field(Content::Record, &read, entry.is_some());
        self.note_read(read);
    }

    /// Notes that a recording is denied to the caller. The summary and the explanation are the same for a
    /// missing recording and an invisible one.
    pub(crate) fn note_denial(&self, key: &RecordKey, outcome: CacheOutcome) -> Failure {
        self.note(key, Read::failed(outcome, None), None);
        self.noted.lock().has_denials = true;
        self.audit_denied(&key.project, Some(&key.id));
        self.records.metrics.count_denial(DenialReason::Record);
        Failure::NotVisible
    }

    pub(crate) fn note_read(&self, read: Read) {
        self.records.metrics.count(read.outcome);
        self.noted.lock().reads.push(read);
    }

    /// Notes that a signed link is handed out.
    pub(crate) fn note_secret(&self) {
        self.noted.lock().has_links = true;
    }

    /// Notes every read from now on, with the path of its field.
    pub fn explain(&self) {
        self.explanation.get_or_init(Box::default);
    }

    /// Whether reads are noted.
    pub fn is_explained(&self) -> bool {
        self.explanation.get().is_some()
    }

    /// The reads that were noted.
    pub fn explained(&self) -> Vec<Explained> {
        self.explanation.get().map(|explanation| explanation.all()).unwrap_or_default()
    }

    /// Notes a read, which may have failed.
    pub(crate) fn note_for_field(&self, content: Content, read: &Read, is_there: bool) {
        let Some(explanation) = self.explanation.get() else { return };
        if content == Content::Page && self.context.grant.is_restricted() {
            explanation.note_scan(read, is_there);
        } else {
            explanation.note(content, read, is_there);
        }
    }

    /// Notes that the last read was answered by the shared cache.
    pub(crate) fn note_shared(&self) {
        if let Some(explanation) = self.explanation.get() {
            explanation.mark_shared();
        }
    }

    /// What was read, for a response that may be cached; `None` where nothing was read, or something that
    /// was not fresh in the cache. So data that is read once leaves no response behind.
    pub(crate) fn take_dependencies(&self) -> Option<Vec<Dependency>> {
        let read = self.dependencies.lock().replace(Vec::new());
        read.filter(|dependencies| !dependencies.is_empty())
    }

    /// Notes something that this request has read.
    pub(crate) fn depend_on(&self, dependency: impl FnOnce() -> Dependency) {
        if let Some(dependencies) = &mut *self.dependencies.lock() {
            dependencies.push(dependency());
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
