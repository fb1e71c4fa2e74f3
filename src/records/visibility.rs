//! Applies a caller's grant to what was read.
//!
//! To a restricted caller an invisible recording and a missing one are the same. No cached entry of either
//! answers the caller: both are read from the upstream, and both are denied in the same words. The denial is
//! remembered for `cache.ttl_not_found`, for this grant only.

use super::denials::DenialKey;
use super::key::RecordKey;
use super::read::{CacheOutcome, Content};
use super::reader::Reader;
use super::seal::CursorSeal;
use crate::domain::{
    Failure, Grant, Permission, ProjectId, RecordId, RecordQuery, RecordSelection, ScreenRecord,
};

impl Reader {
    /// Denies a recording that was denied to callers with the same grant just now.
    pub(super) fn deny_again(&self, key: &RecordKey) -> Option<Failure> {
        let grant = self.restriction()?;
        let denial = DenialKey { grant: grant.key(), record: key.clone() };
        let age = self.records.denials.age(&denial)?;
        if !self.context.accepts_age(age) {
            return None;
        }
        CacheOutcome::Hit.record_with_absence(&Content::Record.span(), true);
        Some(self.note_denial(key, CacheOutcome::Hit))
    }

    /// Denies a recording that was read from the upstream and is missing or invisible.
    pub(super) fn deny(&self, key: &RecordKey, outcome: CacheOutcome) -> Failure {
        let denial = DenialKey { grant: self.context.grant.key(), record: key.clone() };
        self.records.denials.note(denial);
        // The current span is that of the read.
        outcome.record_with_absence(&tracing::Span::current(), true);
        self.note_denial(key, outcome)
    }

    /// Whether a row of a list is visible.
    pub(super) fn is_visible(&self, record: &ScreenRecord) -> bool {
        self.context.grant.shows(record)
    }

    /// The list to scan for the visible recordings of a selection; `None` if no recording can be both.
    pub(super) fn scanned_list(&self, selection: &RecordSelection) -> Option<RecordQuery> {
        narrowed(selection.narrowed()?, &self.context.grant)
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

    /// What seals the cursors of this request, if its caller is restricted.
    pub(super) fn cursor_seal(&self) -> Option<CursorSeal> {
        let grant = self.restriction()?;
        Some(self.records.cursor_key.for_grant(grant.key()))
    }
}

/// The list to scan for the visible recordings of a list; `None` where no recording of it can be visible.
///
/// Where one user's recordings alone can be visible, the upstream looks for them. It may find others, too.
fn narrowed(query: RecordQuery, grant: &Grant) -> Option<RecordQuery> {
    let RecordQuery { username, desktop_id, .. } = &query;
    let may_match = username.as_deref().is_none_or(|username| grant.includes_username(username))
        && desktop_id.as_deref().is_none_or(|desktop| grant.includes_desktop(desktop));
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
