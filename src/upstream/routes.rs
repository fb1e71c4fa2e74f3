//! Which region and which credentials serve a project, under one version of the settings.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::credentials::{Credentials, LoginChange, LoginParts, SharedCredentials};
use super::metrics::UpstreamMetrics;
use super::region::{Region, RegionParts};
use crate::clock::Clock;
use crate::config::{Target, UpstreamConfig};
use crate::domain::ProjectId;

/// The routes to all projects.
pub(super) struct Routes {
    pub(super) config: Arc<UpstreamConfig>,
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

/// Routes that are not in use yet, and what logins change when they are.
pub(super) struct PreparedRoutes {
    pub(super) routes: Routes,
    pub(super) logins: Vec<LoginChange>,
}

/// What routes are made with.
pub(super) struct RouteParts<'p> {
    pub(super) shared: &'p SharedCredentials,
    pub(super) metrics: &'p UpstreamMetrics,
    pub(super) clock: &'p Clock,
    /// The routes in use.
    pub(super) old: Option<&'p Routes>,
}

impl Routes {
    /// Makes the routes of some settings. Regions and logins that stay the same are kept.
    pub(super) fn prepare(
        config: &UpstreamConfig,
        parts: &RouteParts<'_>,
    ) -> Result<PreparedRoutes, reqwest::Error> {
        let RouteParts { shared, metrics, clock, old } = *parts;
        let keeps_clients = old.is_some_and(|old| {
            old.config.connect_timeout == config.connect_timeout
                && old.config.ca_certificates == config.ca_certificates
        });
        let old_regions = old.map_or(&[][..], |old| &old.regions);
        let region_parts = RegionParts { config, metrics, clock, old: old_regions, keeps_clients };
        let mut logins = LoginParts::new(config);
        let mut regions = Vec::new();
        let limits = Arc::new(config.clone());
        let mut route = |project: Option<&ProjectId>, target: &Target| {
            let old = old.and_then(|old| old.exact(project));
            let known = old.filter(|old| old.target.login == target.login);
            let region = region_parts.region(target, &mut regions)?;
            let known = known.map(|old| &old.credentials);
            let credentials = shared.of_target(target, known, &mut logins)?;
            let (limits, tag) = (Arc::clone(&limits), tag(&region, target));
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
        let routes = Self { config: limits, named, default, regions };
        Ok(PreparedRoutes { routes, logins: logins.changes })
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
    const BYTES: usize = 8;
    let mut hash = Sha256::new();
    for part in target.identity() {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let hash: Vec<u8> = hash.finalize().into_iter().take(BYTES).collect();
    format!("{}-{}", region.label, hex::encode(hash)).into()
}
