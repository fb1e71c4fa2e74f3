//! What is dropped from the caches before its time: by a purge, or because the upstream refuses a caller.

use super::key::{CallerKey, RecordKey};
use super::loader::Records;
use super::purge::Purge;
use super::redis::News;
use crate::domain::{Failure, ProjectId, RecordId, Revoked};

/// What is dropped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Removal {
    /// Something of every caller.
    Purge(Purge),
    /// Something of one caller.
    Revocation(Revocation),
}

/// What a caller may not see any more.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Revocation {
    pub(crate) caller: CallerKey,
    pub(crate) of: Refused,
}

/// What the upstream has refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refused {
    /// The token, so everything that was read with it.
    Token,
    /// One record. Any list of its project may hold it.
    Record(ProjectId, RecordId),
    /// The lists of a project.
    Lists(ProjectId),
}

impl Revocation {
    /// What a failure to read a record, or a list where there is no `id`, says of the caller.
    ///
    /// Where the upstream refuses the gateway's own credentials, which are nobody's token, only what was
    /// asked for goes: callers must not be able to empty the cache of all.
    pub(crate) fn by(
        failure: &Failure,
        caller: CallerKey,
        project: &ProjectId,
        id: Option<&RecordId>,
    ) -> Option<Self> {
        let of = match (failure.revokes()?, caller, id) {
            (Revoked::Credentials, CallerKey::Holder(_), _) => Refused::Token,
            (_, _, Some(id)) => Refused::Record(project.clone(), id.clone()),
            (_, _, None) => Refused::Lists(project.clone()),
        };
        Some(Self { caller, of })
    }

    /// The record that was refused by itself.
    pub(crate) fn record(&self) -> Option<RecordKey> {
        match &self.of {
            Refused::Record(project, id) => {
                let (project, id) = (project.clone(), id.clone());
                Some(RecordKey { caller: self.caller, project, id })
            }
            Refused::Token | Refused::Lists(_) => None,
        }
    }
}

impl Removal {
    /// The only caller concerned; `None` for all.
    pub(crate) fn caller(&self) -> Option<CallerKey> {
        match self {
            Self::Purge(_) => None,
            Self::Revocation(revocation) => Some(revocation.caller),
        }
    }

    /// Whether a load of some record of a project may bring back what goes. The load of a record that is
    /// refused by itself has ended with the refusal.
    pub(crate) fn takes_records_of(&self, caller: &CallerKey, project: &ProjectId) -> bool {
        match self {
            Self::Purge(purge) => purge.takes_lists_of(project),
            Self::Revocation(Revocation { caller: refused, of: Refused::Token }) => {
                refused == caller
            }
            Self::Revocation(_) => false,
        }
    }

    /// Whether the lists and links of a project go.
    pub(crate) fn takes_lists_of(&self, caller: &CallerKey, project: &ProjectId) -> bool {
        match self {
            Self::Purge(purge) => purge.takes_lists_of(project),
            Self::Revocation(revocation) => {
                revocation.caller == *caller
                    && match &revocation.of {
                        Refused::Token => true,
                        Refused::Record(of, _) | Refused::Lists(of) => of == project,
                    }
            }
        }
    }
}

impl Records {
    /// Drops what a caller may not see any more, here and on every replica.
    pub(crate) fn revoke(&self, revocation: Revocation) {
        self.remove(&Removal::Revocation(revocation.clone()));
        self.tell_others(News::Revoked(revocation));
    }

    /// Drops something from the memory of this process, and keeps loads that run from bringing it back.
    pub(crate) fn remove(&self, removal: &Removal) {
        // In this order: a load that ends meanwhile keeps nothing, or keeps it early enough to be dropped.
        self.generations().end(removal);
        self.drop_removed(removal);
    }
}
