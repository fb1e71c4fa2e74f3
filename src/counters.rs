//! Counters that are there before anything is counted.

use std::hash::Hash;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// Counters of which these are watched: they read 0 before the first time, since a rate needs something to
/// rise from.
pub(crate) fn counted<L: Clone + Eq + Hash>(
    watched: impl IntoIterator<Item = L>,
) -> Family<L, Counter> {
    let family = Family::default();
    for label in watched {
        drop(family.get_or_create(&label));
    }
    family
}
