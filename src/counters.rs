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
