//! One load per key, however many wait for it.
//!
//! A flight is a shared future. Whoever waits drives it, so it needs no task of its own; when the
//! one who began it leaves, the others drive it on; when the last one leaves, it is dropped and its
//! upstream call with it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};

use foldhash::quality::RandomState;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use opentelemetry::Context;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::SpanContext;

use super::cached::CachedRecord;
use super::generation::Generation;
use super::key::RecordKey;
use super::load::Landing;
use super::metrics::RecordMetrics;
use super::sync::{Mutex, MutexGuard};
use super::ttl_cache::{Found, TtlCache};
use crate::domain::Failure;
use crate::spans;

/// What a load will end in.
pub(crate) type Load<T> = BoxFuture<'static, Result<T, Failure>>;
/// A load under way.
pub(crate) type Flight<T> = Shared<Load<T>>;

/// The loads under way, at most one per key.
pub(crate) struct Flights<K: Eq + Hash, T> {
    under_way: Arc<Mutex<UnderWay<K, T>>>,
    metrics: RecordMetrics,
}

struct UnderWay<K, T> {
    flights: HashMap<K, Numbered<T>, RandomState>,
    next_number: u64,
}

struct Numbered<T> {
    number: u64,
    flight: WeakShared<Load<T>>,
    generation: Generation,
    /// The span that it was begun in.
    span: SpanContext,
}

/// Takes a flight off the list when it lands or is abandoned.
struct Listed<K: Eq + Hash, T> {
    flights: Flights<K, T>,
    key: K,
    number: u64,
    landed: bool,
}

/// What is to be loaded, and on whose behalf.
#[derive(Clone, Copy)]
pub(crate) struct JoinRequest<'a, K> {
    pub(crate) key: &'a K,
    /// The generation of a load that begins now.
    pub(crate) begin: &'a dyn Fn() -> Generation,
}

/// A flight, and whether somebody else had begun it.
#[derive(Clone)]
pub(crate) struct Boarding<T> {
    pub(crate) flight: Flight<T>,
    pub(crate) joined: bool,
    /// The span that it was begun in, for a link from those that join. Invalid for the one that began it.
    pub(crate) span: SpanContext,
}

impl<K: Eq + Hash, T> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Self { under_way: Arc::clone(&self.under_way), metrics: self.metrics.clone() }
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(metrics: RecordMetrics) -> Self {
        let under_way = UnderWay { flights: HashMap::default(), next_number: 0 };
        Self { under_way: Arc::new(Mutex::new(under_way)), metrics }
    }

    /// Joins the load of `key`, or begins it with `load`.
    ///
    /// `landed` is asked once more under the lock when there is none: a load that has just ended is
    /// in the cache by then, and its result is taken instead of beginning another.
    ///
    /// A load of an ended generation is not joined: it may have read what was removed since.
    pub(crate) fn board(
        &self,
        request: JoinRequest<'_, K>,
        landed: impl FnOnce() -> Option<T>,
        load: impl FnOnce(Generation) -> Load<T>,
    ) -> Boarding<T> {
        self.board_if(Generation::is_current, request, landed, load)
    }

    /// As [`Self::board`], where `may_join` decides on loads that run.
    pub(super) fn board_if(
        &self,
        may_join: fn(&Generation) -> bool,
        request: JoinRequest<'_, K>,
        landed: impl FnOnce() -> Option<T>,
        load: impl FnOnce(Generation) -> Load<T>,
    ) -> Boarding<T> {
        let mut under_way = self.lock();
        let flying = |listed: &Numbered<T>| {
            let is_joined = may_join(&listed.generation);
            Some((listed.flight.upgrade().filter(|_| is_joined)?, listed.span.clone()))
        };
        if let Some((flight, span)) = under_way.flights.get(request.key).and_then(flying) {
            return Boarding { flight, joined: true, span };
        }
        if let Some(value) = landed() {
            let flight = std::future::ready(Ok(value)).boxed().shared();
            return Boarding { flight, joined: true, span: SpanContext::NONE };
        }
        let flight = self.begin(&mut under_way, request, load);
        Boarding { flight, joined: false, span: SpanContext::NONE }
    }

    fn begin(
        &self,
        under_way: &mut UnderWay<K, T>,
        JoinRequest { key, begin }: JoinRequest<'_, K>,
        load: impl FnOnce(Generation) -> Load<T>,
    ) -> Flight<T> {
        let generation = begin();
        let load = load(generation.clone());
        under_way.next_number += 1;
        let number = under_way.next_number;
        let listed = Listed { flights: self.clone(), key: key.clone(), number, landed: false };
        let flight = async move {
            let outcome = load.await;
            listed.land();
            outcome
        }
        // Whoever drives it, its calls belong to the trace that began it.
        .with_context(Context::current())
        .boxed()
        .shared();
        // A flight that has not been polled cannot have ended, so it can always be listed.
        if let Some(weak) = flight.downgrade() {
            let listed = Numbered { number, flight: weak, generation, span: spans::current() };
            under_way.flights.insert(key.clone(), listed);
            self.metrics.flights.inc();
        }
        flight
    }
}

impl Flights<RecordKey, Landing> {
    /// As [`Self::board`], for a record that may be in the cache by now; `good` says whether what is there
    /// will do.
    pub(crate) fn board_record(
        &self,
        request: JoinRequest<'_, RecordKey>,
        cache: &TtlCache<CachedRecord>,
        good: impl FnOnce(&Found<CachedRecord>) -> bool,
        load: impl FnOnce(Generation) -> Load<Landing>,
    ) -> Boarding<Landing> {
        let landed = || Some(Landing::first(cache.fresh(request.key).filter(good)?.entry));
        self.board(request, landed, load)
    }
}

impl<K: Eq + Hash, T> Flights<K, T> {
    fn lock(&self) -> MutexGuard<'_, UnderWay<K, T>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, T> Listed<K, T> {
    fn land(mut self) {
        self.landed = true;
    }
}

impl<K: Eq + Hash, T> Drop for Listed<K, T> {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        if under_way.flights.get(&self.key).is_some_and(|listed| listed.number == self.number) {
            under_way.flights.remove(&self.key);
        }
        drop(under_way);
        self.flights.metrics.flights.dec();
        if !self.landed {
            self.flights.metrics.abandoned.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::domain::{ProjectId, Unreachable};
    use crate::records::generation::{Generations, LoadKind};
    use crate::records::key::CallerKey;

    type Outcome = Result<Arc<str>, Failure>;

    const KEY: &str = "key";
    const ASKED: JoinRequest<'_, &str> = JoinRequest { key: &KEY, begin: &generation };

    fn generation() -> Generation {
        let project = ProjectId::parse("p").unwrap();
        Generations::default().begin(CallerKey::Gateway, &project, LoadKind::Record)
    }

    fn flights() -> Flights<&'static str, Arc<str>> {
        Flights::new(RecordMetrics::default())
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
        let first = flights.board(ASKED, || None, |_| load);
        let second = flights.board(ASKED, || None, never_begun);
        // The first has driven the load before it leaves.
        assert!(first.flight.clone().now_or_never().is_none());

        drop(first);
        land.send(failed()).unwrap();

        assert!(second.joined);
        assert_eq!(second.flight.await.err(), failed().err());
    }

    #[tokio::test]
    async fn a_load_stops_when_nobody_waits_for_it_any_more() {
        let flights = flights();
        let (land, load) = load();
        let only = flights.board(ASKED, || None, |_| load);
        assert!(only.flight.clone().now_or_never().is_none());

        drop(only);

        assert!(land.is_closed(), "the load was not dropped");
        assert_eq!(flights.metrics.abandoned.get(), 1);
        assert!(flights.lock().flights.is_empty());
    }

    #[tokio::test]
    async fn a_load_is_off_the_list_once_it_has_landed() {
        let flights = flights();
        let (land, load) = load();
        let boarding = flights.board(ASKED, || None, |_| load);

        land.send(failed()).unwrap();
        let _ = boarding.flight.await;

        assert!(flights.lock().flights.is_empty());
        assert_eq!((flights.metrics.flights.get(), flights.metrics.abandoned.get()), (0, 0));
    }

    #[tokio::test]
    async fn a_load_that_landed_just_before_is_not_begun_again() {
        let flights = flights();
        let value = Arc::from("value");

        let boarding = flights.board(ASKED, || Some(Arc::clone(&value)), never_begun);

        assert!(boarding.joined);
        assert!(Arc::ptr_eq(&boarding.flight.await.unwrap(), &value));
    }
}
