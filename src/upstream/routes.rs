//! Which region and which credentials serve a project, under one version of the settings.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::credentials::{Credentials, SharedCredentials};
use super::metrics::UpstreamMetrics;
use super::region::{Region, RegionParts};
use crate::clock::Clock;
use crate::config::{Target, UpstreamConfig};
use crate::domain::ProjectId;

/// The routes to all projects.
pub(super) struct Routes {
    pub(super) config: Arc<UpstreamConfig>,
    pub(super) credentials: SharedCredentials,
    named: HashMap<ProjectId, Arc<Route>>,
    /// Of projects that no table names.
    pub(super) default: Option<Arc<Route>>,
    pub(super) regions: Vec<Arc<Region>>,
}

/// The route to a project, or to all that no table names. A call keeps its route to its end, so a reload
/// never sends its credentials to another host.
pub(super) struct Route {
    /// The project's id, if a table names it.
    pub(super) project: Option<ProjectId>,
    pub(super) target: Target,
    pub(super) region: Arc<Region>,
    pub(super) credentials: Credentials,
    pub(super) limits: Arc<UpstreamConfig>,
    /// Distinguishes targets with other recordings, in keys of the shared cache; begins with the region.
    pub(super) tag: Arc<str>,
    pub(super) clock: Clock,
}

impl Routes {
    /// Makes the routes of some settings. What stays the same is kept from the `old` ones, in use.
    pub(super) fn new(
        config: &UpstreamConfig,
        metrics: &UpstreamMetrics,
        clock: &Clock,
        old: Option<&Self>,
    ) -> Result<Self, reqwest::Error> {
        let keeps_clients = old.is_some_and(|old| {
            old.config.connect_timeout == config.connect_timeout
                && old.config.ca_certificates == config.ca_certificates
        });
        let old_regions = old.map_or(&[][..], |old| &old.regions);
        let region_parts = RegionParts { config, metrics, clock, old: old_regions, keeps_clients };
        let mut regions = Vec::new();
        let config = Arc::new(config.clone());
        let old_credentials = old.map(|old| &old.credentials);
        let mut shared = SharedCredentials::new(&config, old_credentials, keeps_clients, clock)?;
        let mut route = |project: Option<&ProjectId>, target: &Target| {
            let old = old.and_then(|old| old.exact(project));
            let old = old.filter(|old| old.target.login == target.login);
            let region = region_parts.region(target, &mut regions)?;
            let credentials = shared.of_target(target, old.map(|old| &old.credentials))?;
            let (limits, tag) = (Arc::clone(&config), tag(&region, target));
            let (project, target) = (project.cloned(), target.clone());
            let clock = clock.clone();
            Ok(Arc::new(Route { project, target, region, credentials, limits, tag, clock }))
        };
        let default = config.default.as_ref().map(|target| route(None, target)).transpose()?;
        let named = config
            .projects
            .iter()
            .map(|named| Ok((named.id.clone(), route(Some(&named.id), &named.target)?)));
        let named = named.collect::<Result<_, reqwest::Error>>()?;
        Ok(Self { config, credentials: shared, named, default, regions })
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
    pub(super) fn moved(&self, other: &Self) -> Vec<ProjectId> {
        let only_there = other.named.keys().filter(|project| !self.named.contains_key(*project));
        let projects = self.named.keys().chain(only_there);
        let has_moved = |project: &&ProjectId| {
            let [old, new] = [self, other].map(|routes| routes.of(project));
            old.map(|route| route.source()) != new.map(|route| route.source())
        };
        projects.filter(has_moved).cloned().collect()
    }

    fn exact(&self, project: Option<&ProjectId>) -> Option<&Arc<Route>> {
        project.map_or(self.default.as_ref(), |project| self.named.get(project))
    }
}

impl Route {
    /// Why the project cannot be read with the gateway's own credentials now.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.credentials.trouble()?;
        Some(match &self.project {
            Some(project) => format!("{trouble} (project {project})"),
            None => trouble.to_owned(),
        })
    }

    /// What decides which recordings are read.
    fn source(&self) -> (&str, Option<&ProjectId>) {
        (&self.tag, self.project.as_ref())
    }
}

fn tag(region: &Region, target: &Target) -> Arc<str> {
    let hash = hex::encode(Sha256::digest(target.identity().join("\n")));
    format!("{}-{hash:.16}", region.label).into()
}
