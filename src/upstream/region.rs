//! A region: one endpoint of the upstream, with connections, limits and failures of its own.

use std::sync::Arc;

use url::{Position, Url};

use super::api_request::Query;
use super::breaker::{Breaker, Circuit};
use super::http_client::HttpClient;
use super::metrics::{RegionMetrics, UpstreamMetrics};
use super::retry::RetryBudget;
use crate::clock::Clock;
use crate::config::{Target, UpstreamConfig};
use crate::fair_semaphore::FairSemaphore;
use crate::signature::canonical_query;

/// One endpoint, under one version of the settings.
pub(super) struct Region {
    /// Its name in metrics, logs and health: that of the settings, else its host.
    pub(super) label: Arc<str>,
    pub(super) endpoint: Endpoint,
    pub(super) http: HttpClient,
    pub(super) state: Arc<RegionState>,
}

/// What a region keeps when the settings change.
pub(super) struct RegionState {
    pub(super) permits: FairSemaphore,
    pub(super) breaker: Breaker,
    pub(super) budget: RetryBudget,
    pub(super) metrics: RegionMetrics,
}

/// The base address.
pub(super) struct Endpoint {
    base: Url,
    /// Its path without the last slash; it precedes the paths of calls and is signed with them.
    pub(super) path: String,
}

/// What regions are made with.
pub(super) struct RegionParts<'p> {
    pub(super) config: &'p UpstreamConfig,
    pub(super) metrics: &'p UpstreamMetrics,
    pub(super) clock: &'p Clock,
    /// The regions of the settings in use.
    pub(super) old: &'p [Arc<Region>],
    /// Whether their clients fit the new settings.
    pub(super) keeps_clients: bool,
}

impl RegionParts<'_> {
    /// Finds the region of a target among the new ones, or adds it.
    pub(super) fn region(
        &self,
        target: &Target,
        regions: &mut Vec<Arc<Region>>,
    ) -> Result<Arc<Region>, reqwest::Error> {
        if let Some(known) = regions.iter().find(|known| known.endpoint.base == target.endpoint) {
            return Ok(Arc::clone(known));
        }
        let endpoint = Endpoint::of(&target.endpoint);
        let label = label(target, endpoint.host(), regions);
        let old =
            self.old.iter().find(|old| old.endpoint.base == target.endpoint && old.label == label);
        let http = match old.filter(|_| self.keeps_clients) {
            Some(old) => old.http.clone(),
            None => HttpClient::new(&target.endpoint, self.config)?,
        };
        let state = old.map_or_else(|| self.state(&label), |old| Arc::clone(&old.state));
        let region = Arc::new(Region { label, endpoint, http, state });
        regions.push(Arc::clone(&region));
        Ok(region)
    }

    fn state(&self, label: &Arc<str>) -> Arc<RegionState> {
        let metrics = self.metrics.of_region(label);
        let opened = metrics.breaker_opened.clone();
        let breaker =
            Breaker::new(&self.config.breaker, Arc::clone(label), opened, self.clock.clone());
        let permits = FairSemaphore::new(most_calls(self.config));
        Arc::new(RegionState { permits, breaker, budget: RetryBudget::new(), metrics })
    }
}

impl Region {
    /// Applies the limits of new settings.
    pub(super) fn change(&self, config: &UpstreamConfig) {
        self.state.permits.resize(most_calls(config));
        self.state.breaker.change(&config.breaker);
    }

    /// Updates the gauges of the circuit and of the calls in flight.
    pub(super) fn observe(&self, config: &UpstreamConfig) {
        let RegionState { permits, breaker, metrics, .. } = &*self.state;
        metrics.show_calls(config.max_concurrency.get(), permits.free());
        metrics.show_waiting(permits.waiting());
        metrics.show_circuit(breaker.circuit());
    }

    /// Why the circuit breaker holds calls back, if it does.
    pub(super) fn trouble(&self) -> Option<String> {
        let label = &self.label;
        match self.state.breaker.circuit() {
            Circuit::Closed => None,
            Circuit::HalfOpen => Some(format!("the circuit to {label} is half open")),
            Circuit::Open => {
                Some(format!("the circuit to {label} is open after too many failures"))
            }
        }
    }
}

impl Endpoint {
    fn of(endpoint: &Url) -> Self {
        let path = endpoint.path().trim_end_matches('/').to_owned();
        Self { base: endpoint.clone(), path }
    }

    /// The address of a call. Path and query consist of checked ids and encoded values, so they are sent
    /// as they are signed.
    pub(super) fn url(&self, path: &str, query: &Query) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.set_query(Some(&canonical_query(query)));
        }
        url
    }

    /// The `Host` header: with the port unless it is the scheme's default.
    pub(super) fn host(&self) -> &str {
        &self.base[Position::BeforeHost..Position::AfterPort]
    }
}

/// The name of a new region, which no other has: that of the settings, else its host, else its address.
fn label(target: &Target, host: &str, others: &[Arc<Region>]) -> Arc<str> {
    let is_free = |label: &&str| !others.iter().any(|other| *other.label == **label);
    let mut labels = [target.region.as_deref(), Some(host)].into_iter().flatten();
    labels.find(is_free).unwrap_or(target.endpoint.as_str()).into()
}

fn most_calls(config: &UpstreamConfig) -> usize {
    usize::try_from(config.max_concurrency.get()).unwrap_or(1)
}
