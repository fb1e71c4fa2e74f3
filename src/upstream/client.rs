//! The upstream: which region and which credentials serve a project, under the settings in use.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tower::retry::budget::TpsBudget;
use url::{Position, Url};

use super::breaker::{Breaker, Circuit};
use super::credentials::{Refresher, SharedCredentials};
use super::http_client::HttpClient;
use super::metrics::{RegionMetrics, UpstreamMetrics};
use super::retry;
use crate::clock::Clock;
use crate::config::{CredentialsMode, Live, ProjectConfig, Target, UpstreamConfig};
use crate::domain::ProjectId;
use crate::fair_semaphore::FairSemaphore;

/// The upstream. Clones share connections and limits.
#[derive(Clone)]
pub struct Upstream(pub(super) Live<Routes>);

/// The routes to all projects, under one version of the settings.
pub struct Routes {
    pub(super) config: Arc<UpstreamConfig>,
    metrics: UpstreamMetrics,
    pub(super) clock: Clock,
    credentials: SharedCredentials,
    named: HashMap<ProjectId, Arc<Route>>,
    /// Of projects that no table names.
    default: Option<Arc<Route>>,
    regions: Vec<Arc<Region>>,
}

/// The route to a project, or to all that no table names. A call keeps its route to its end, so a reload
/// never sends its credentials to another host.
pub(super) struct Route {
    /// The project's id, if a table names it.
    pub(super) project: Option<ProjectId>,
    pub(super) target: Target,
    pub(super) region: Arc<Region>,
    /// The gateway's own credentials. `None` if each caller's token is sent on.
    pub(super) credentials: Option<Arc<Refresher>>,
    pub(super) limits: Arc<UpstreamConfig>,
    /// Distinguishes targets with other recordings, in keys of the shared cache; begins with the region.
    pub(super) tag: Arc<str>,
    pub(super) clock: Clock,
}

/// One endpoint of the upstream, with connections, limits and failures of its own.
pub(super) struct Region {
    /// Its name in metrics, logs and health: that of the settings, else its host.
    pub(super) label: Arc<str>,
    /// The address of the API; its path precedes those of calls.
    pub(super) base: Url,
    pub(super) http: HttpClient,
    pub(super) permits: FairSemaphore,
    pub(super) breaker: Breaker,
    pub(super) budget: TpsBudget,
    pub(super) metrics: RegionMetrics,
}

/// What a change of the settings means for cached data.
#[derive(Debug, PartialEq, Eq)]
pub enum Outdated {
    /// The gateway's own identity may have changed, so that no data of before may be served.
    All,
    /// These projects are elsewhere, or are read as another user.
    Projects(Vec<ProjectId>),
}

impl Upstream {
    /// Clients for the configured regions. Connects to nothing yet.
    ///
    /// # Errors
    /// When the TLS set-up of this machine cannot be used, for example without any root certificates.
    pub fn new(
        config: &UpstreamConfig,
        metrics: UpstreamMetrics,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self(Live::new(Routes::new(config, metrics, clock, None)?)))
    }

    /// Prepares other settings. The mode of the credentials stays the same.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn prepare(&self, config: &UpstreamConfig) -> Result<Routes, reqwest::Error> {
        let old = self.0.get();
        Routes::new(config, old.metrics.clone(), old.clock.clone(), Some(&old))
    }

    /// Applies prepared settings; calls in flight keep the old ones.
    pub fn change(&self, routes: Routes) -> Outdated {
        for region in &routes.regions {
            region.permits.resize(most_calls(&routes.config));
            region.breaker.change(&routes.config.breaker);
        }
        let old = self.0.get();
        let outdated = if routes.credentials.may_be_of_another_user(&old.credentials) {
            Outdated::All
        } else {
            Outdated::Projects(old.moved(&routes))
        };
        self.0.set(routes);
        old.metrics.clear_gauges();
        outdated
    }

    /// The label of a project's region, if the settings say where the project is.
    pub fn region_of(&self, project: &ProjectId) -> Option<Arc<str>> {
        Some(Arc::clone(&self.0.load().of(project)?.region.label))
    }

    /// What replicas must have in common to share what they read.
    pub fn identity(&self) -> Vec<String> {
        self.0.load().config.identity()
    }

    /// The projects that the settings name, in their order.
    pub fn projects(&self) -> Vec<ProjectConfig> {
        self.0.load().config.projects.clone()
    }

    /// Whether calls are made with the caller's token, so that data is the caller's alone.
    pub fn uses_callers_token(&self) -> bool {
        matches!(self.0.load().config.credentials, CredentialsMode::Passthrough)
    }

    /// Whether a request cannot read several projects, because it has the token of one.
    pub fn reads_one_project_per_token(&self) -> bool {
        self.uses_callers_token() && !self.0.load().config.tokens_are_for_all_projects
    }

    /// Why no project can be read with the gateway's own credentials now.
    pub fn trouble(&self) -> Option<String> {
        let routes = self.0.load();
        let mut troubles = routes.all().map(|route| route.credentials.as_ref()?.trouble());
        let first = troubles.next()??;
        troubles.all(|trouble| trouble.is_some()).then(|| first.to_owned())
    }

    /// What stands in the way of some projects: circuits that are not closed, and logins that fail.
    pub fn partial_trouble(&self) -> Vec<String> {
        let routes = self.0.load();
        let circuits = routes.regions.iter().filter_map(|region| {
            let Region { label, breaker, .. } = &**region;
            let state = match breaker.circuit() {
                Circuit::Closed => return None,
                Circuit::HalfOpen => "half open",
                Circuit::Open => "open after too many failures",
            };
            Some(format!("the circuit to {label} is {state}"))
        });
        let logins = routes.all().filter_map(|route| {
            let Route { project, credentials, .. } = &**route;
            let trouble = credentials.as_ref()?.trouble()?;
            let project = project.as_ref().map(|project| format!(" (project {project})"));
            Some(trouble.to_owned() + &project.unwrap_or_default())
        });
        circuits.chain(logins).collect()
    }

    /// Updates the gauges of the circuits and of the calls in flight.
    pub fn observe(&self) {
        let routes = self.0.load();
        for region in &routes.regions {
            let Region { label, permits, breaker, .. } = &**region;
            routes.metrics.show(label, permits, breaker.circuit());
        }
    }
}

impl Routes {
    /// Makes the routes of some settings. What stays the same is kept from the `old` ones, in use.
    fn new(
        config: &UpstreamConfig,
        metrics: UpstreamMetrics,
        clock: Clock,
        old: Option<&Self>,
    ) -> Result<Self, reqwest::Error> {
        let config = Arc::new(config.clone());
        let credentials = SharedCredentials::new(&config, old.map(|old| &old.credentials), &clock)?;
        let mut routes = Self {
            config: Arc::clone(&config),
            metrics,
            clock,
            credentials,
            named: HashMap::new(),
            default: None,
            regions: Vec::new(),
        };
        if let Some(target) = &config.default {
            routes.default = Some(routes.route(None, target, old)?);
        }
        for project in &config.projects {
            let route = routes.route(Some(&project.id), &project.target, old)?;
            routes.named.insert(project.id.clone(), route);
        }
        Ok(routes)
    }

    fn route(
        &mut self,
        project: Option<&ProjectId>,
        target: &Target,
        old: Option<&Self>,
    ) -> Result<Arc<Route>, reqwest::Error> {
        let region = self.region(target, old)?;
        let hash = hex::encode(Sha256::digest(target.identity().join("\n")));
        let tag = format!("{}-{hash:.16}", region.label).into();
        let old = old.and_then(|old| match project {
            Some(project) => old.named.get(project),
            None => old.default.as_ref(),
        });
        let old = old.filter(|old| old.target.login == target.login);
        let known = old.and_then(|old| old.credentials.as_deref());
        let credentials = self.credentials.of_target(target, known)?;
        let (project, target) = (project.cloned(), target.clone());
        let (limits, clock) = (Arc::clone(&self.config), self.clock.clone());
        Ok(Arc::new(Route { project, target, region, credentials, limits, tag, clock }))
    }

    /// Finds the region of a target, keeps the old one if its connections fit the settings, or makes one.
    fn region(
        &mut self,
        target: &Target,
        old: Option<&Self>,
    ) -> Result<Arc<Region>, reqwest::Error> {
        let (config, base) = (&self.config, &target.endpoint);
        if let Some(known) = self.regions.iter().find(|known| known.base == *base) {
            return Ok(Arc::clone(known));
        }
        let label = label(target, &self.regions);
        let old = old.filter(|old| {
            old.config.connect_timeout == config.connect_timeout
                && old.config.ca_certificates == config.ca_certificates
        });
        let mut kept = old.into_iter().flat_map(|old| &old.regions);
        let known = kept.find(|old| old.base == *base && old.label == label);
        let region = if let Some(old) = known {
            Arc::clone(old)
        } else {
            let (metrics, clock) = (self.metrics.of_region(&label), self.clock.clone());
            let opened = metrics.breaker_opened.clone();
            Arc::new(Region {
                breaker: Breaker::new(&config.breaker, Arc::clone(&label), opened, clock),
                label,
                base: base.clone(),
                http: HttpClient::new(base, config)?,
                permits: FairSemaphore::new(most_calls(config)),
                budget: retry::budget(),
                metrics,
            })
        };
        self.regions.push(Arc::clone(&region));
        Ok(region)
    }

    /// The route to a project.
    pub(super) fn of(&self, project: &ProjectId) -> Option<&Arc<Route>> {
        self.named.get(project).or(self.default.as_ref())
    }

    /// All routes: the default one, then those of projects in the order of the settings.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        let named = self.config.projects.iter().filter_map(|named| self.named.get(&named.id));
        self.default.iter().chain(named)
    }

    /// The named projects whose recordings are elsewhere, or are read as another user, in other routes.
    fn moved(&self, other: &Self) -> Vec<ProjectId> {
        let only_there = other.named.keys().filter(|project| !self.named.contains_key(*project));
        let projects = self.named.keys().chain(only_there);
        let has_moved = |project: &&ProjectId| {
            let [old, new] = [self, other]
                .map(|routes| routes.of(project).map(|route| (&route.tag, route.project.as_ref())));
            old != new
        };
        projects.filter(has_moved).cloned().collect()
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
