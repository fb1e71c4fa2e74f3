//! Applies a caller's grant to what was read.
//!
//! To a restricted caller an invisible recording and a missing one are the same. No cached entry of either
//! answers the caller: both are read from the upstream, and both are denied in the same words. The denial is
//! remembered for `cache.ttl_not_found`, for this grant only.

use tracing::Span;

use super::cached::DenialKey;
use super::key::RecordKey;
use super::read::{CacheOutcome, Content};
use super::reader::Reader;

use crate::domain::{
    Failure, Grant, Permission, ProjectId, RecordId, RecordQuery, RecordSelection,
};

impl Reader {
    /// Denies a recording that was denied to callers with the same grant just now.
    pub(super) fn deny_again(&self, key: &RecordKey) -> Option<Failure> {
        let grant = self.restriction()?;
        let denial = DenialKey { grant: grant.key(), record: key.clone() };
        let age = self.records.caches.denied_since(&denial)?;
        if !self.context.accepts_age(age) {
            return None;
        }
        Some(self.note_denial(&Content::Record.span(), key, CacheOutcome::Hit))
    }

    /// Denies a recording that was read from the upstream and is missing or invisible.
    pub(super) fn deny(&self, span: &Span, key: &RecordKey, outcome: CacheOutcome) -> Failure {
        let denial = DenialKey { grant: self.context.grant.key(), record: key.clone() };
        self.records.caches.note_denial(denial);
        self.note_denial(span, key, outcome)
    }

    /// The list to scan for the visible recordings of a selection; `None` if no recording can be both.
    ///
    /// Where one user's recordings alone can be visible, the upstream looks for them. It may find others, too.
    pub(super) fn scanned_list(&self, selection: &RecordSelection) -> Option<RecordQuery> {
        let (query, grant) = (selection.narrowed()?, &self.context.grant);
        let RecordQuery { username, desktop_id, .. } = &query;
        let is_user = |username: &str| grant.includes_username(username);
        let is_desktop = |desktop: &str| grant.includes_desktop(desktop);
        let may_match =
            username.as_deref().is_none_or(is_user) && desktop_id.as_deref().is_none_or(is_desktop);
        if grant.shows_nothing() || !may_match {
            return None;
        }
        let only = grant.only_username().filter(|_| username.is_none()).map(str::to_owned);
        let with_user = only.map(|username| {
            let query = RecordQuery { username: Some(username), ..query.clone() };
            // A name that the upstream cannot look for is looked for here.
            query.checked()
        });
        Some(with_user.and_then(Result::ok).unwrap_or(query))
    }

    /// A failure to scan a list. What is wrong with a list may say how many rows it has, which a restricted
    /// caller must not know.
    pub(super) fn scan_failure(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Malformed { answer, problem: _ } if self.restriction().is_some() => {
                Failure::Malformed { answer, problem: "is no list that can be scanned".to_owned() }
            }
            other => other,
        }
    }

    /// Checks a permission of the caller for a field of a recording.
    pub(super) fn require(
        &self,
        permission: Permission,
        project: &ProjectId,
        id: &RecordId,
    ) -> Result<(), Failure> {
        let granted = self.context.grant.require(permission);
        granted.inspect_err(|_| {
            self.records.metrics.denials.inc("permission");
            self.audit_denied(project, Some(id));
        })
    }

    /// The caller's grant, if it may hide recordings.
    pub(super) fn restriction(&self) -> Option<&Grant> {
        Some(&*self.context.grant).filter(|grant| grant.is_restricted())
    }
}
