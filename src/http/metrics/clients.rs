//! Operations by the name that the client gives itself. Clients choose their names, so only the first ones
//! have a label.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::outcome::OperationOutcome;
use crate::counters::counted;

/// Names that have a label of their own.
const MAX_NAMES: usize = 20;
/// The label of further names.
const OTHER: &str = "other";
/// The label of clients that send no name.
const UNNAMED: &str = "unnamed";

/// Counts operations by client.
#[derive(Clone, Debug)]
pub(super) struct ClientOperations {
    pub(super) family: Family<ClientLabel, Counter>,
    unnamed: Counters,
    other: Counters,
    named: Arc<RwLock<HashMap<Arc<str>, Counters>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ClientLabel {
    client: String,
    outcome: &'static str,
}

/// The counters of one client, by outcome.
#[derive(Clone, Debug)]
struct Counters([Counter; OperationOutcome::ALL.len()]);

impl Counters {
    fn of(client: &str, family: &Family<ClientLabel, Counter>) -> Self {
        Self(OperationOutcome::ALL.map(|outcome| {
            let label = ClientLabel { client: client.to_owned(), outcome: outcome.as_str() };
            family.get_or_create_owned(&label)
        }))
    }

    fn count(&self, outcome: OperationOutcome) {
        let of_outcomes = OperationOutcome::ALL.into_iter().zip(&self.0);
        for (_, counter) in of_outcomes.filter(|(of, _)| *of == outcome) {
            counter.inc();
        }
    }
}

impl Default for ClientOperations {
    fn default() -> Self {
        let family = counted([]);
        let [unnamed, other] = [UNNAMED, OTHER].map(|client| Counters::of(client, &family));
        Self { family, unnamed, other, named: Arc::default() }
    }
}

impl ClientOperations {
    pub(super) fn count(&self, name: Option<&Arc<str>>, outcome: OperationOutcome) {
        let Some(name) = name else { return self.unnamed.count(outcome) };
        if let Some(counters) = self.named.read().get(name) {
            return counters.count(outcome);
        }
        let mut named = self.named.write();
        if !named.contains_key(name) && named.len() >= MAX_NAMES {
            return self.other.count(outcome);
        }
        let counters = named.entry(Arc::clone(name));
        counters.or_insert_with(|| Counters::of(name, &self.family)).count(outcome);
    }
}
