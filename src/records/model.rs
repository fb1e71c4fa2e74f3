//! The single flight under a model checker, which runs threads in thousands of orders.
//!
//! Under it is the code that is shipped: `single_flight`, the generations and the order of a removal, and the
//! record cache; `sync` lends it the checker's locks. Only the upstream is the model's own. Tasks switch at every
//! lock, and wherever a task waits.
//!
//! That the model sees what it is there for is tested, too: without one of the steps that it is about it
//! has to fail. Beside that, it was seen to fail with a load that leaves the list before the cache is written,
//! and with an insertion that looked at the generation before and after: for a moment a reader could
//! find what a purge had dropped already.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::future::{block_on, spawn, yield_now};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::atomic::AtomicU64;
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::cached::{CachedRecord, RecordEntry};
use super::invalidation::{Generation, Generations, Invalidation, LoadKind, Purge};
use super::key::{CallerKey, RecordKey};
use super::metrics::RecordMetrics;
use super::single_flight::LoadHandle;
use super::sync::modelling;
use super::ttl_cache::{CacheParts, TtlCache};
use crate::clock::Clock;
use crate::config::{CacheConfig, Live};
use crate::domain::{Failure, ProjectId, RecordFields, RecordId, ScreenRecord};

/// Orders that are tried at random, and again with few changes of thread at odd places.
const ORDERS: usize = 800;
const DAY: Duration = Duration::from_hours(24);

/// Which step is left out, to see that the model misses it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    SecondLook,
    EndOfGeneration,
    JoinCheck,
}

/// What one process has, and its upstream.
struct World {
    cache: TtlCache<CachedRecord>,
    generations: Arc<Generations>,
    metrics: RecordMetrics,
    key: RecordKey,
    upstream: CountedUpstream,
    without: Without,
}

/// Holds one record, in versions.
#[derive(Default)]
struct CountedUpstream {
    version: AtomicU64,
    calls: AtomicUsize,
}

impl CountedUpstream {
    async fn read(&self) -> ScreenRecord {
        self.calls.fetch_add(1, Ordering::SeqCst);
        yield_now().await;
        let version = self.version.load(Ordering::SeqCst);
        yield_now().await;
        let mut fields = RecordFields::default();
        fields.size = Some(Ok(version.try_into().unwrap()));
        fields.into()
    }
}

impl World {
    fn new(without: Without) -> Arc<Self> {
        let limits = CacheConfig { ttl_active: DAY, ttl_final: DAY, ..CacheConfig::default() };
        let metrics = RecordMetrics::default();
        let key = RecordKey {
            caller: CallerKey::Gateway,
            project: ProjectId::parse("p").unwrap(),
            id: RecordId::parse("r").unwrap(),
        };
        // With few places the checker tries more orders of the steps that matter.
        let generations = Arc::new(Generations::new(1));
        let mut parts = CacheParts {
            limits: Live::new(limits.clone()),
            generations: Arc::clone(&generations),
            metrics: metrics.clone(),
            clock: Clock::default(),
        };
        if without == Without::JoinCheck {
            // Those of the loads never end.
            parts.generations = Arc::new(Generations::new(1));
        }
        Arc::new(Self {
            cache: TtlCache::new(&parts, limits.max_bytes),
            generations,
            metrics,
            key,
            upstream: CountedUpstream::default(),
            without,
        })
    }

    async fn load(self: Arc<Self>, generation: Generation) -> Result<Arc<RecordEntry>, Failure> {
        let record = Ok(Arc::new(self.upstream.read().await));
        let entry = self.cache.entry(CachedRecord::new(
            record,
            &CacheConfig { ttl_active: DAY, ..CacheConfig::default() },
        ));
        self.cache.insert(&self.key, &entry, &generation);
        Ok(entry)
    }

    fn join(self: &Arc<Self>) -> LoadHandle<Arc<RecordEntry>> {
        let (caller, project) = (self.key.caller, &self.key.project);
        let load = |_| {
            let generation = self.generations.begin(caller, project, LoadKind::Record);
            Arc::clone(self).load(generation)
        };
        self.cache.join(&self.key, |_| self.without != Without::SecondLook, load)
    }

    /// Reads the record as a reader does; its version.
    async fn ask(self: Arc<Self>) -> u64 {
        if let Some(found) = self.cache.fresh(&self.key) {
            return version(&found.entry);
        }
        version(&self.join().load.await.unwrap())
    }

    fn purge(&self) {
        let purge = Invalidation::Purge(Purge::All);
        if self.without != Without::EndOfGeneration {
            self.generations.end(&purge);
        }
        self.cache.invalidate(&purge);
    }
}

fn version(entry: &RecordEntry) -> u64 {
    let record = entry.value.record.as_ref().unwrap();
    record.size().unwrap().unwrap().try_into().unwrap()
}

/// Runs a model in many orders. One that deadlocks fails, too.
fn in_many_orders(model: impl Fn() + Copy + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 512 * 1024;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(10_000);
    modelling(|| {
        let random = RandomScheduler::new_from_seed(1, ORDERS);
        Runner::new(random, config.clone()).run(model);
        let odd = PctScheduler::new_from_seed(1, 3, ORDERS);
        Runner::new(odd, config.clone()).run(model);
    });
}

/// Three callers ask for a record that has not been read yet.
fn three_ask(without: Without) {
    block_on(async move {
        let world = World::new(without);
        let asking: Vec<_> = (0..3).map(|_| spawn(Arc::clone(&world).ask())).collect();

        for asked in asking {
            assert_eq!(asked.await.unwrap(), 0);
        }

        let calls = world.upstream.calls.load(Ordering::SeqCst);
        assert_eq!(calls, 1, "the upstream was called {calls} times");
        assert_eq!((world.metrics.flights.get(), world.metrics.abandoned.get()), (0, 0));
    });
}

/// Two ask while the record changes and a purge says so.
fn a_purge_comes_between(without: Without) {
    block_on(async move {
        let world = World::new(without);
        let asking: Vec<_> = (0..2).map(|_| spawn(Arc::clone(&world).ask())).collect();
        let purging = spawn({
            let world = Arc::clone(&world);
            async move {
                world.upstream.version.store(1, Ordering::SeqCst);
                world.purge();
                assert_eq!(Arc::clone(&world).ask().await, 1, "stale after a purge");
            }
        });

        for asked in asking {
            assert!(asked.await.unwrap() <= 1);
        }
        purging.await.unwrap();

        assert_eq!(Arc::clone(&world).ask().await, 1, "stale long after a purge");
        assert_eq!(world.metrics.flights.get(), 0);
    });
}

#[test]
fn in_every_order_three_who_ask_share_one_call() {
    in_many_orders(|| three_ask(Without::Nothing));
}

#[test]
fn in_every_order_nothing_from_before_a_purge_is_read_after_it() {
    in_many_orders(|| a_purge_comes_between(Without::Nothing));
}

#[test]
#[should_panic(expected = "the upstream was called 2 times")]
fn the_model_sees_that_the_second_look_is_needed() {
    in_many_orders(|| three_ask(Without::SecondLook));
}

#[test]
#[should_panic(expected = "stale")]
fn the_model_sees_that_a_generation_has_to_end() {
    in_many_orders(|| a_purge_comes_between(Without::EndOfGeneration));
}

#[test]
#[should_panic(expected = "stale")]
fn the_model_sees_that_a_load_of_an_ended_generation_must_not_be_joined() {
    in_many_orders(|| a_purge_comes_between(Without::JoinCheck));
}
