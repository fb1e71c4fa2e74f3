//! Counters that start at 0.

use std::hash::Hash;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// A family of counters in which some labels start at 0. Without that an alert would not see the first
/// increase, because a rate needs an earlier value. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct WatchedCounters<L> {
    family: Family<L, Counter>,
    /// Found in this list, without a hash.
    watched: Arc<[(L, Counter)]>,
}

impl<L: Clone + Eq + Hash> WatchedCounters<L> {
    /// Counters of which those with these labels start at 0.
    pub(crate) fn new(watched: impl IntoIterator<Item = L>) -> Self {
        let family = Family::<L, Counter>::default();
        let counter = |labels: L| (labels.clone(), family.get_or_create_owned(&labels));
        Self { watched: watched.into_iter().map(counter).collect(), family }
    }

    pub(crate) fn inc(&self, labels: &L) {
        match self.watched(|watched| watched == labels) {
            Some(counter) => counter.inc(),
            None => self.family.get_or_create(labels).inc(),
        };
    }

    fn watched(&self, is_it: impl Fn(&L) -> bool) -> Option<&Counter> {
        self.watched.iter().find(|(labels, _)| is_it(labels)).map(|(_, counter)| counter)
    }

    /// Lets a counter start at 0 from now on.
    pub(crate) fn start(&self, labels: &L) {
        drop(self.family.get_or_create(labels));
    }

    /// For the registry.
    pub(crate) fn family(&self) -> Family<L, Counter> {
        self.family.clone()
    }
}

/// One label: its name and its value.
pub(crate) type Label = [(&'static str, &'static str); 1];

/// Counters that differ in the value of one label. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct LabelledCounter(WatchedCounters<Label>);

impl LabelledCounter {
    /// Counters for all values that the label can have. Each starts at 0.
    pub(crate) fn new(label: &'static str, values: &[&'static str]) -> Self {
        Self(WatchedCounters::new(values.iter().map(|value| [(label, *value)])))
    }

    pub(crate) fn inc(&self, value: &'static str) {
        self.inc_by(value, 1);
    }

    /// Adds to the counter of a value. Values that were not listed have none.
    pub(crate) fn inc_by(&self, value: &'static str, count: u64) {
        if let Some(counter) = self.0.watched(|[(_, watched)]| *watched == value) {
            counter.inc_by(count);
        }
    }

    /// For the registry.
    pub(crate) fn family(&self) -> Family<Label, Counter> {
        self.0.family()
    }
}
