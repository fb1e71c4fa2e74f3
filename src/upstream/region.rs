//! A region: one endpoint of the upstream, with connections, limits and failures of its own.

use std::sync::Arc;

use tower::retry::budget::TpsBudget;
use url::{Position, Url};

use super::api_request::{ApiRequest, below};
use super::breaker::{Breaker, Circuit};
use super::http_client::HttpClient;
use super::metrics::{RegionGauges, RegionMetrics, UpstreamMetrics};
use super::retry;
use crate::clock::Clock;
use crate::config::{Target, UpstreamConfig};
use crate::fair_semaphore::FairSemaphore;

/// One endpoint, under one version of the settings.
pub(super) struct Region {
    /// Its name in metrics, logs and health: that of the settings, else its host.
    pub(super) label: Arc<str>,
    /// The address of the API; its path precedes those of calls.
    base: Url,
    pub(super) http: HttpClient,
    pub(super) state: Arc<RegionState>,
}

/// What a region keeps when the settings change.
pub(super) struct RegionState {
    pub(super) permits: FairSemaphore,
    pub(super) breaker: Breaker,
    pub(super) budget: TpsBudget,
    pub(super) metrics: RegionMetrics,
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
        if let Some(known) = regions.iter().find(|known| known.base == target.endpoint) {
            return Ok(Arc::clone(known));
        }
        let label = label(target, regions);
        let old = self.old.iter().find(|old| old.base == target.endpoint && old.label == label);
        let http = match old.filter(|_| self.keeps_clients) {
            Some(old) => old.http.clone(),
            None => HttpClient::new(&target.endpoint, self.config)?,
        };
        let state = old.map_or_else(|| self.state(&label), |old| Arc::clone(&old.state));
        let region = Arc::new(Region { label, base: target.endpoint.clone(), http, state });
        regions.push(Arc::clone(&region));
        Ok(region)
    }

    fn state(&self, label: &Arc<str>) -> Arc<RegionState> {
        let metrics = self.metrics.of_region(label);
        let opened = metrics.breaker_opened.clone();
        let breaker =
            Breaker::new(&self.config.breaker, Arc::clone(label), opened, self.clock.clone());
        let permits = FairSemaphore::new(most_calls(self.config));
        Arc::new(RegionState { permits, breaker, budget: retry::budget(), metrics })
    }
}

impl Region {
    /// Applies the limits of new settings.
    pub(super) fn change(&self, config: &UpstreamConfig) {
        self.state.permits.resize(most_calls(config));
        self.state.breaker.change(&config.breaker);
    }

    /// The address of a request. Path and query consist of checked ids and encoded values, so they are sent
    /// as they are signed.
    pub(super) fn url(&self, request: &ApiRequest) -> Url {
        let mut url = below(&self.base, &request.path);
        if !request.query.is_empty() {
            url.set_query(Some(&request.query));
        }
        url
    }

    /// Updates the gauges of the circuit and of the calls in flight.
    pub(super) fn observe(&self, config: &UpstreamConfig, metrics: &UpstreamMetrics) {
        let RegionState { permits, breaker, .. } = &*self.state;
        let (free, waiting, circuit) = (permits.free(), permits.waiting(), breaker.circuit());
        let most_in_flight = most_calls(config);
        metrics.show(&self.label, &RegionGauges { waiting, free, most_in_flight, circuit });
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

/// The name of a new region, which no other has: that of the settings, else its host, else its address.
fn label(target: &Target, others: &[Arc<Region>]) -> Arc<str> {
    let is_free = |label: &&str| !others.iter().any(|other| *other.label == **label);
    let mut labels = [target.region.as_deref(), Some(host(&target.endpoint))].into_iter().flatten();
    labels.find(is_free).unwrap_or(target.endpoint.as_str()).into()
}

/// The `Host` header: with the port unless it is the scheme's default.
pub(super) fn host(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

fn most_calls(config: &UpstreamConfig) -> usize {
    usize::try_from(config.max_concurrency.get()).unwrap_or(1)
}
