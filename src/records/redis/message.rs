//! The messages that replicas send each other about invalidations.
//!
//! A purge has a random id and names the purge before it. So a replica notices that it has missed one, and
//! empties its memory.

use serde::{Deserialize, Serialize};

use super::super::invalidation::{Invalidation, Purge};
use super::super::key::{CallerKey, RecordKey};
use crate::domain::{ProjectId, RecordId};

/// A message on the channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Message {
    /// The replica that sends it.
    pub(super) from: u64,
    /// Present in messages about purges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purge: Option<PurgeLink>,
    kind: Kind,
    /// The hash of the token; absent where the gateway's own credentials are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    PurgeAll,
    PurgeProject,
    PurgeRecord,
    RefusedToken,
    RefusedRecord,
    RefusedLists,
    Absence,
}

/// A purge in the chain of all purges.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PurgeLink {
    pub(super) id: u64,
    /// 0 for the first one that Redis knows.
    pub(super) previous: u64,
}

impl Message {
    pub(super) fn new(from: u64, purge: Option<PurgeLink>, invalidation: &Invalidation) -> Self {
        let about = |kind| Self { from, purge, kind, caller: None, project: None, id: None };
        let of_record = |kind, key: &RecordKey| Self {
            caller: write_caller(key.caller),
            project: Some(key.project.to_string()),
            id: Some(key.id.to_string()),
            ..about(kind)
        };
        match invalidation {
            Invalidation::Purge(Purge::All) => about(Kind::PurgeAll),
            Invalidation::Purge(Purge::Project(project)) => {
                Self { project: Some(project.to_string()), ..about(Kind::PurgeProject) }
            }
            Invalidation::Purge(Purge::Record(project, id)) => Self {
                project: Some(project.to_string()),
                id: Some(id.to_string()),
                ..about(Kind::PurgeRecord)
            },
            Invalidation::Token(caller) => {
                Self { caller: write_caller(*caller), ..about(Kind::RefusedToken) }
            }
            Invalidation::Record(key) => of_record(Kind::RefusedRecord, key),
            Invalidation::Lists { caller, project } => Self {
                caller: write_caller(*caller),
                project: Some(project.to_string()),
                ..about(Kind::RefusedLists)
            },
            Invalidation::Absence(key) => of_record(Kind::Absence, key),
        }
    }

    /// What the message is about; `None` for one that no replica of this version writes.
    pub(super) fn invalidation(&self) -> Option<Invalidation> {
        let caller = || read_caller(self.caller.as_deref());
        let project = || ProjectId::parse(self.project.as_deref()?).ok();
        let id = || RecordId::parse(self.id.as_deref()?).ok();
        let record = || Some(RecordKey { caller: caller()?, project: project()?, id: id()? });
        Some(match self.kind {
            Kind::PurgeAll => Invalidation::Purge(Purge::All),
            Kind::PurgeProject => Invalidation::Purge(Purge::Project(project()?)),
            Kind::PurgeRecord => Invalidation::Purge(Purge::Record(project()?, id()?)),
            Kind::RefusedToken => Invalidation::Token(caller()?),
            Kind::RefusedRecord => Invalidation::Record(record()?),
            Kind::RefusedLists => Invalidation::Lists { caller: caller()?, project: project()? },
            Kind::Absence => Invalidation::Absence(record()?),
        })
    }
}

fn write_caller(caller: CallerKey) -> Option<String> {
    match caller {
        CallerKey::Gateway => None,
        CallerKey::Holder(hash) => Some(hex::encode(hash)),
    }
}

fn read_caller(text: Option<&str>) -> Option<CallerKey> {
    match text {
        None => Some(CallerKey::Gateway),
        Some(hash) => Some(CallerKey::Holder(hex::decode(hash).ok()?.try_into().ok()?)),
    }
}
