//! One load per key, however many wait for it.
//!
//! A load is a shared future. Each caller that waits for it drives it, so it needs no task of its own. If
//! the caller that began it leaves, the others drive it on. If the last one leaves, the load is dropped, and
//! its upstream call with it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::quality::RandomState;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use opentelemetry::Context;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};

use super::invalidation::Generation;
use super::metrics::RecordMetrics;
use super::sync::Mutex;
use crate::domain::Failure;
use crate::spans;

/// What a load will end in.
pub(crate) type Load<T> = BoxFuture<'static, Result<T, Failure>>;

/// The loads under way, at most one per key.
pub(crate) struct SingleFlight<K: Eq + Hash, T>(Arc<Flights<K, T>>);

struct Flights<K, T> {
    running: Mutex<Loads<K, T>>,
    metrics: RecordMetrics,
}

struct Loads<K, T> {
    loads: HashMap<K, ListedLoad<T>, RandomState>,
    next_number: u64,
}

struct ListedLoad<T> {
    number: u64,
    load: WeakShared<Load<T>>,
    generation: Generation,
    /// The span that it was begun in.
    span: SpanContext,
}

/// Takes a load off the list when it ends or is abandoned.
struct RunningLoad<K: Eq + Hash, T> {
    owner: Arc<Flights<K, T>>,
    key: K,
    number: u64,
    has_ended: bool,
}

/// A load that one or more reads wait for.
#[derive(Clone)]
pub(crate) struct LoadHandle<T> {
    pub(crate) load: Shared<Load<T>>,
    /// The span that it was started in, for a link from the reads that join it. Invalid for the others.
    pub(crate) started_in: SpanContext,
    /// Set until the read that started the load has asked.
    is_leader: Arc<AtomicBool>,
}

impl<T> LoadHandle<T> {
    fn new(load: Shared<Load<T>>, is_leader: bool, started_in: SpanContext) -> Self {
        Self { load, started_in, is_leader: Arc::new(AtomicBool::new(is_leader)) }
    }

    /// Whether the load was started for this read, which counts the upstream call as its own. True for one
    /// read of all clones of a handle.
    pub(crate) fn is_leader(&self) -> bool {
        self.is_leader.swap(false, Ordering::Relaxed)
    }
}

impl<K, T> SingleFlight<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(metrics: RecordMetrics) -> Self {
        let running = Mutex::new(Loads { loads: HashMap::default(), next_number: 0 });
        Self(Arc::new(Flights { running, metrics }))
    }

    /// Joins the load of `key`, or starts it with `load` in a generation.
    ///
    /// `cached` is called under the lock if no load runs: a load that has just ended is in the cache by
    /// then, and its result is taken instead of starting another.
    ///
    /// A load of an ended generation is not joined: it may have read what was removed since.
    pub(crate) fn join<L>(
        &self,
        key: &K,
        generation: Generation,
        cached: impl FnOnce() -> Option<T>,
        load: impl FnOnce(Generation) -> L,
    ) -> LoadHandle<T>
    where
        L: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut running = self.0.running.lock();
        if let Some(listed) = running.loads.get(key)
            && listed.generation.is_current()
            && let Some(load) = listed.load.upgrade()
        {
            return LoadHandle::new(load, false, listed.span.clone());
        }
        if let Some(value) = cached() {
            let load = std::future::ready(Ok(value)).boxed().shared();
            return LoadHandle::new(load, false, SpanContext::NONE);
        }
        let load = load(generation.clone());
        running.next_number += 1;
        let number = running.next_number;
        let owner = Arc::clone(&self.0);
        let mut listed = RunningLoad { owner, key: key.clone(), number, has_ended: false };
        let load = async move {
            let result = load.await;
            listed.has_ended = true;
            drop(listed);
            result
        };
        // Any caller may drive it; its calls belong to the trace that began it, if there is one.
        let trace = Context::current();
        let is_traced = trace.has_active_span();
        let load = if is_traced { load.with_context(trace).boxed() } else { load.boxed() };
        let load = load.shared();
        // A load that has not been polled cannot have ended, so it can always be listed.
        if let Some(weak) = load.downgrade() {
            let listed = ListedLoad { number, load: weak, generation, span: spans::current() };
            running.loads.insert(key.clone(), listed);
            self.0.metrics.flights.inc();
        }
        LoadHandle::new(load, true, SpanContext::NONE)
    }
}

impl<K: Eq + Hash, T> Drop for RunningLoad<K, T> {
    fn drop(&mut self) {
        let mut running = self.owner.running.lock();
        if running.loads.get(&self.key).is_some_and(|listed| listed.number == self.number) {
            running.loads.remove(&self.key);
        }
        drop(running);
        self.owner.metrics.flights.dec();
        if !self.has_ended {
            self.owner.metrics.abandoned.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::domain::{ProjectId, Unreachable};
    use crate::records::invalidation::{Generations, LoadKind};
    use crate::records::key::CallerKey;

    type Outcome = Result<Arc<str>, Failure>;

    const KEY: &str = "key";

    fn generation() -> Generation {
        let project = ProjectId::parse("p").unwrap();
        Generations::new(1).begin(CallerKey::Gateway, &project, LoadKind::Record)
    }

    fn flights() -> SingleFlight<&'static str, Arc<str>> {
        SingleFlight::new(RecordMetrics::default())
    }

    /// A load that lands when told to, and the means to tell it.
    fn load() -> (oneshot::Sender<Outcome>, Load<Arc<str>>) {
        let (land, landing) = oneshot::channel();
        let lost = Err(Failure::Unreachable(Unreachable::Cut));
        (land, async move { landing.await.unwrap_or(lost) }.boxed())
    }

    fn never_begun(_: Generation) -> Load<Arc<str>> {
        panic!("a second load was begun")
    }

    fn failed() -> Outcome {
        Err(Failure::Unreachable(Unreachable::Connect))
    }

    #[tokio::test]
    async fn a_load_goes_on_when_the_one_who_began_it_leaves() {
        let flights = flights();
        let (land, load) = load();
        let first = flights.join(&KEY, generation(), || None, |_| load);
        let second = flights.join(&KEY, generation(), || None, never_begun);
        // The first has driven the load before it leaves.
        assert!(first.load.clone().now_or_never().is_none());

        drop(first);
        land.send(failed()).unwrap();

        assert!(!second.is_leader());
        assert_eq!(second.load.await.err(), failed().err());
    }

    #[tokio::test]
    async fn a_load_stops_when_its_last_caller_leaves() {
        let flights = flights();
        let (land, load) = load();
        let only = flights.join(&KEY, generation(), || None, |_| load);
        assert!(only.load.clone().now_or_never().is_none());

        drop(only);

        assert!(land.is_closed(), "the load was not dropped");
        assert_eq!(flights.0.metrics.abandoned.get(), 1);
        assert!(flights.0.running.lock().loads.is_empty());
    }
}
