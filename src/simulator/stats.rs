//! How often the simulated upstream was asked, in all and by path.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::{Value, json};

/// Paths that are counted by themselves; more are counted together.
const MOST_PATHS: usize = 10_000;

/// Counts requests.
#[derive(Default)]
pub(super) struct Stats(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    requests: u64,
    by_path: BTreeMap<String, u64>,
}

impl Stats {
    pub(super) fn count(&self, method: &str, path: &str) {
        let mut counts = self.0.lock();
        counts.requests += 1;
        let mut name = format!("{method} {path}");
        if counts.by_path.len() >= MOST_PATHS && !counts.by_path.contains_key(&name) {
            "other".clone_into(&mut name);
        }
        *counts.by_path.entry(name).or_default() += 1;
    }

    pub(super) fn reset(&self) {
        *self.0.lock() = Counts::default();
    }

    pub(super) fn json(&self) -> Value {
        let counts = self.0.lock();
        json!({ "requests": counts.requests, "paths": counts.by_path })
    }
}
