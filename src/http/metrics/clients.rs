//! Operations by the name that the client gives itself. Clients choose their names, so only the first ones
//! have a label.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::outcome::OperationOutcome;

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
    /// The names that have a label.
    names: Arc<RwLock<HashSet<Arc<str>>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ClientLabel {
    client: Cow<'static, str>,
    outcome: &'static str,
}

impl Default for ClientOperations {
    fn default() -> Self {
        let operations = Self { family: Family::default(), names: Arc::default() };
        operations.begin(UNNAMED);
        operations.begin(OTHER);
        operations
    }
}

impl ClientOperations {
    pub(super) fn count(&self, name: Option<&Arc<str>>, outcome: OperationOutcome) {
        let client = match name {
            None => UNNAMED.into(),
            Some(name) if self.has_label(name) => Cow::Owned(name.as_ref().to_owned()),
            Some(_) => OTHER.into(),
        };
        self.family.get_or_create(&ClientLabel { client, outcome: outcome.as_str() }).inc();
    }

    /// Whether a name has a label. Gives it one if there are few.
    fn has_label(&self, name: &Arc<str>) -> bool {
        if self.names.read().contains(name) {
            return true;
        }
        let mut names = self.names.write();
        let has_room = names.len() < MAX_NAMES;
        if has_room && names.insert(Arc::clone(name)) {
            self.begin(name);
        }
        has_room || names.contains(name)
    }

    /// The counters of a client start at 0.
    fn begin(&self, client: &str) {
        for outcome in OperationOutcome::ALL.map(OperationOutcome::as_str) {
            let client = client.to_owned().into();
            drop(self.family.get_or_create(&ClientLabel { client, outcome }));
        }
    }
}
