//! One load: from the shared tier where it holds something fresh, else from the upstream.

use std::sync::Arc;
use std::time::Duration;

use super::cache::Entry;
use super::generation::Generation;
use super::key::RecordKey;
use super::loader::{Asking, Records};
use super::invalidation::Revocation;
use super::redis::{News, SharedTier, Turn};
use crate::domain::{Failure, RefusalKind};
use crate::trace::Trace;
use crate::upstream::Call;

/// What a load ended in, and where that came from.
#[derive(Clone)]
pub(crate) struct Landing {
    pub(crate) entry: Arc<Entry>,
    pub(crate) tier: Tier,
}

/// Where something came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// The memory of this process, or the upstream by way of it.
    First,
    /// What replicas share.
    Shared,
}

/// How a load is to be made, as the one who begins it asks.
pub(crate) struct Loadable {
    call: Call,
    no_cache: bool,
    max_age: Option<Duration>,
}

impl Landing {
    pub(crate) fn first(entry: Arc<Entry>) -> Self {
        Self { entry, tier: Tier::First }
    }
}

impl Loadable {
    /// As `asking` asks, with the calls below a place in its trace.
    pub(crate) fn of(asking: &Asking, trace: &Trace) -> Self {
        let call = Call { trace: trace.clone(), ..asking.call() };
        Self { call, no_cache: asking.no_cache, max_age: asking.max_age }
    }
}

impl Records {
    /// Reads a record and brings the caches in line with the answer.
    pub(crate) async fn load(
        self,
        key: RecordKey,
        how: Loadable,
        generation: Generation,
    ) -> Result<Landing, Failure> {
        match self.shared_tier() {
            // Many times the size of the other, which would be set aside for every load.
            Some(tier) => Box::pin(self.load_shared(tier, key, how, &generation)).await,
            None => self.load_upstream(&key, &how.call, &generation).await.map(Landing::first),
        }
    }

    async fn load_shared(
        &self,
        tier: &SharedTier,
        key: RecordKey,
        mut how: Loadable,
        generation: &Generation,
    ) -> Result<Landing, Failure> {
        let begun = self.now();
        let is_good = |entry: &Entry| {
            let age = self.cache().age_of(entry);
            self.cache().is_fresh(entry) && how.max_age.is_none_or(|most| age <= most)
        };
        let land = |entry: Arc<Entry>| {
            self.cache().keep_shared(&key, &entry, generation);
            Ok(Landing { entry, tier: Tier::Shared })
        };
        let patience = tier.patience();
        let mut looked = tier.look(&key, &patience).await;
        let mut lease = None;
        if !how.no_cache {
            if let Some(entry) = looked.entry.take_if(|entry| is_good(entry)) {
                return land(entry);
            }
            // Without stamps the tier is away, and there is nobody to take turns with.
            if looked.stamps.is_some() {
                match tier.turn(&key, &patience, is_good).await {
                    Turn::Own(own) => lease = own,
                    Turn::Done(entry) => return land(entry),
                }
            }
        }
        // Nobody waits longer than the deadline, for whomever.
        how.call.waited = self.now().saturating_duration_since(begun);
        let loading = self.load_upstream(&key, &how.call, generation);
        let loaded = match &lease {
            Some(lease) => lease.held_while(loading).await,
            None => loading.await,
        };
        match (&loaded, looked.entry) {
            (Ok(entry), _) => tier.keep(&key, entry, looked.stamps),
            (Err(failure), Some(spare)) if failure.permits_stale() => {
                self.cache().keep_shared(&key, &spare, generation);
            }
            (Err(_), _) => {}
        }
        // Given back once what was loaded stands in the queue of writes: who waits finds it.
        drop(lease);
        loaded.map(Landing::first)
    }

    async fn load_upstream(
        &self,
        key: &RecordKey,
        call: &Call,
        generation: &Generation,
    ) -> Result<Arc<Entry>, Failure> {
        match self.upstream().show_screen_record(call, &key.project, &key.id).await {
            Ok(record) => Ok(self.cache().keep(key, record, generation)),
            Err(failure) if is_absence(&failure) => {
                let RecordKey { caller, project, id } = key.clone();
                self.tell_others(News::Absent { caller, project, id });
                Ok(self.cache().keep_absence(key, failure, generation))
            }
            Err(failure) => {
                let RecordKey { caller, project, id } = key;
                if let Some(revocation) = Revocation::by(&failure, *caller, project, Some(id)) {
                    self.revoke(revocation);
                }
                Err(failure)
            }
        }
    }

    /// Drops a record whose caller may not see it any more.
    pub(crate) fn drop_refused(&self, key: &RecordKey) {
        if self.cache().drop_entry(key) {
            self.metrics().dropped.inc();
        }
    }

    /// Tells the other replicas.
    pub(crate) fn tell_others(&self, news: News) {
        if let Some(tier) = self.shared_tier() {
            tier.tell_others(news);
        }
    }
}

fn is_absence(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(refusal) if refusal.kind == RefusalKind::NotFound)
}
