//! What must no longer be served: because of a purge, or because the upstream refused it.

use serde::{Deserialize, Serialize};

use super::key::{CallerKey, RecordKey};
use crate::domain::{CacheTag, Failure, ProjectId, RecordId, Revoked};

/// What an operator purges, for every caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purge {
    /// One recording, in whichever form its id is written, and every list and link of its project.
    Record(ProjectId, RecordId),
    /// All recordings, lists and links of a project.
    Project(ProjectId),
    /// Everything.
    All,
}

/// Cached data that must no longer be served. Replicas send it to each other as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Invalidation {
    /// It was purged.
    Purge(Purge),
    /// The upstream refused a token: everything that was read with it.
    Token(CallerKey),
    /// The upstream refused a record to a caller: the record, and the lists and links of its project.
    Record(RecordKey),
    /// The upstream refused the lists of a project to a caller: these and the links.
    Lists { caller: CallerKey, project: ProjectId },
    /// The upstream has no such record. Lists and links stay.
    Absence(RecordKey),
}

impl Purge {
    /// As it stands in logs and metrics.
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Record(..) => "record",
            Self::Project(_) => "project",
            Self::All => "all",
        }
    }

    /// Tags of the answers in a router's cache that show what is purged; `None` if that is everything.
    pub fn cache_tags(&self) -> Option<Vec<String>> {
        let tags = match self {
            Self::Record(project, id) => {
                let (project, id) = (project.as_str(), id.as_str());
                vec![
                    CacheTag::Recording { project, id },
                    CacheTag::Lists { project },
                    CacheTag::Projects,
                ]
            }
            Self::Project(project) => {
                vec![CacheTag::Project { project: project.as_str() }, CacheTag::Projects]
            }
            Self::All => return None,
        };
        Some(tags.iter().map(ToString::to_string).collect())
    }

    /// The project, unless everything is purged.
    pub(crate) fn project(&self) -> Option<&ProjectId> {
        match self {
            Self::Record(project, _) | Self::Project(project) => Some(project),
            Self::All => None,
        }
    }

    fn covers_project(&self, project: &ProjectId) -> bool {
        self.project().is_none_or(|purged| purged == project)
    }
}

impl Invalidation {
    /// What the failure to read a record invalidates.
    pub(crate) fn by_record(failure: &Failure, key: &RecordKey) -> Option<Self> {
        let revoked = failure.revokes()?;
        Some(Self::token(revoked, key.caller).unwrap_or_else(|| Self::Record(key.clone())))
    }

    /// What the failure to read a list or links invalidates.
    pub(crate) fn by_list(
        failure: &Failure,
        caller: CallerKey,
        project: &ProjectId,
    ) -> Option<Self> {
        let revoked = failure.revokes()?;
        let lists = || Self::Lists { caller, project: project.clone() };
        Some(Self::token(revoked, caller).unwrap_or_else(lists))
    }

    /// A refusal of the gateway's own credentials invalidates only what was requested. Otherwise one caller
    /// could empty the cache of all.
    fn token(revoked: Revoked, caller: CallerKey) -> Option<Self> {
        let is_token = revoked == Revoked::Credentials && caller != CallerKey::Gateway;
        is_token.then_some(Self::Token(caller))
    }

    /// Whether it covers a cached record.
    pub(crate) fn covers_record(&self, key: &RecordKey) -> bool {
        match self {
            Self::Purge(Purge::Record(project, id)) => {
                *project == key.project
                    && RecordId::folded(id.as_str()) == RecordId::folded(key.id.as_str())
            }
            Self::Purge(purge) => purge.covers_project(&key.project),
            Self::Token(caller) => *caller == key.caller,
            Self::Record(refused) | Self::Absence(refused) => refused == key,
            Self::Lists { .. } => false,
        }
    }

    /// Whether it covers the lists and links of a project: any of them may hold the record.
    pub(crate) fn covers_lists_of(&self, caller: CallerKey, project: &ProjectId) -> bool {
        match self {
            Self::Purge(purge) => purge.covers_project(project),
            Self::Token(refused) => *refused == caller,
            Self::Record(key) => key.caller == caller && key.project == *project,
            Self::Lists { caller: refused, project: of } => *refused == caller && of == project,
            Self::Absence(_) => false,
        }
    }
}
