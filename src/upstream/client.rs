//! The upstream: the regions and credentials of all projects, under the settings in use.

use std::sync::Arc;

use super::metrics::UpstreamMetrics;
use super::project_client::ProjectClient;
use super::routes::Routes;
use crate::clock::Clock;
use crate::config::{CredentialsMode, Live, ProjectConfig, UpstreamConfig};
use crate::domain::{Failure, ProjectId};

/// The upstream. Clones share connections and limits.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

/// Prepared settings, which replace the current ones.
pub struct UpstreamChange(Routes);

/// What a change means for cached data.
#[derive(Debug, PartialEq, Eq)]
pub enum Outdated {
    /// The gateway's own identity may have changed, so that no data of before may be served.
    All,
    /// These projects are elsewhere, or are read as another user.
    Projects(Vec<ProjectId>),
}

struct Inner {
    routes: Live<Routes>,
    metrics: UpstreamMetrics,
    clock: Clock,
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
        let routes = Live::new(Routes::new(config, &metrics, &clock, None)?);
        Ok(Self(Arc::new(Inner { routes, metrics, clock })))
    }

    /// Prepares other settings. The mode of the credentials stays the same.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn prepare(&self, config: &UpstreamConfig) -> Result<UpstreamChange, reqwest::Error> {
        let Inner { routes, metrics, clock } = &*self.0;
        Ok(UpstreamChange(Routes::new(config, metrics, clock, Some(&routes.load()))?))
    }

    /// Applies prepared settings; calls in flight keep the old ones.
    pub fn change(&self, UpstreamChange(routes): UpstreamChange) -> Outdated {
        for region in &routes.regions {
            region.change(&routes.config);
        }
        let old = self.0.routes.get();
        let outdated = if routes.credentials.may_be_of_another_user(&old.credentials) {
            Outdated::All
        } else {
            Outdated::Projects(old.moved(&routes))
        };
        self.0.routes.set(routes);
        self.0.metrics.clear_gauges();
        outdated
    }

    /// A client for a project.
    ///
    /// # Errors
    /// [`Failure::ProjectNotAllowed`] if the settings do not say where the project is.
    pub fn project(&self, project: &ProjectId) -> Result<ProjectClient, Failure> {
        let routes = self.0.routes.load();
        let route = routes.of(project).ok_or(Failure::ProjectNotAllowed)?;
        Ok(ProjectClient { project: project.clone(), route: Arc::clone(route) })
    }

    /// The label of a project's region, if the settings say where the project is.
    pub fn region_of(&self, project: &ProjectId) -> Option<Arc<str>> {
        Some(Arc::clone(&self.0.routes.load().of(project)?.region.label))
    }

    /// What replicas must have in common to share what they read.
    pub fn identity(&self) -> Vec<String> {
        self.0.routes.load().config.identity()
    }

    /// The projects that the settings name, in their order.
    pub fn projects(&self) -> Vec<ProjectConfig> {
        self.0.routes.load().config.projects.clone()
    }

    /// Whether calls are made with the caller's token, so that data is the caller's alone.
    pub fn uses_callers_token(&self) -> bool {
        matches!(self.0.routes.load().config.credentials, CredentialsMode::Passthrough)
    }

    /// Whether a request cannot read several projects, because it has the token of one.
    pub fn reads_one_project_per_token(&self) -> bool {
        let routes = self.0.routes.load();
        self.uses_callers_token() && !routes.config.tokens_are_for_all_projects
    }

    /// Why no project can be read with the gateway's own credentials now.
    pub fn trouble(&self) -> Option<String> {
        let routes = self.0.routes.load();
        let mut troubles = routes.all().map(|route| route.credentials.trouble());
        let first = troubles.next()??;
        troubles.all(|trouble| trouble.is_some()).then(|| first.to_owned())
    }

    /// What stands in the way of some projects: circuits that are not closed, and logins that fail.
    pub fn partial_trouble(&self) -> Vec<String> {
        let routes = self.0.routes.load();
        let circuits = routes.regions.iter().filter_map(|region| region.trouble());
        let logins = routes.all().filter_map(|route| route.trouble());
        circuits.chain(logins).collect()
    }

    /// Updates the gauges of the circuits and of the calls in flight.
    pub fn observe(&self) {
        let routes = self.0.routes.load();
        for region in &routes.regions {
            region.observe(&routes.config, &self.0.metrics);
        }
    }

    pub(super) fn routes(&self) -> Arc<Routes> {
        self.0.routes.get()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }
}
