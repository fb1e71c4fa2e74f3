//! Counters that start at 0.

use std::hash::Hash;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// A family of counters in which these labels start at 0. Without that an alert would not see the first
/// increase, because a rate needs an earlier value.
pub(crate) fn counted<L: Clone + Eq + Hash>(
    watched: impl IntoIterator<Item = L>,
) -> Family<L, Counter> {
    let family = Family::default();
    for label in watched {
        drop(family.get_or_create(&label));
    }
    family
}

/// One label: its name and its value.
pub(crate) type Label = [(&'static str, &'static str); 1];

/// Counters that differ in the value of one label. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct LabelledCounter {
    label: &'static str,
    family: Family<Label, Counter>,
}

impl LabelledCounter {
    /// Counters in which these values of the label start at 0.
    pub(crate) fn new(label: &'static str, watched: &[&'static str]) -> Self {
        Self { label, family: counted(watched.iter().map(|value| [(label, *value)])) }
    }

    pub(crate) fn inc(&self, value: &'static str) {
        self.family.get_or_create(&[(self.label, value)]).inc();
    }

    /// The counter of one value.
    pub(crate) fn counter(&self, value: &'static str) -> Counter {
        self.family.get_or_create_owned(&[(self.label, value)])
    }

    /// For the registry.
    pub(crate) fn family(&self) -> Family<Label, Counter> {
        self.family.clone()
    }
}
