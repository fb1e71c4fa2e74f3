//! What selects recordings beyond the upstream's filter.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;

use super::grant::{FoldedIds, meets, meets_exactly};
use super::list::check_text;
use super::{
    Failure, RecordQuery, RecordText, RecordTime, ScreenRecord, ScreenRecordStatus,
    ScreenRecordType, Timestamp,
};

/// How far `running_at` looks back: as far as the upstream does by default.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(15 * 24);

/// Selects recordings of a project.
#[derive(Clone, Debug, Default)]
pub struct RecordSelection {
    /// What the upstream looks for.
    pub query: RecordQuery,
    /// What the gateway looks for in the upstream's rows.
    pub rows: RowFilter,
}

/// Conditions that the upstream cannot check. Texts, ids, statuses and types compare as in grants: an empty
/// list is a condition that no recording meets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowFilter {
    /// Of one of these users.
    pub usernames: Option<BTreeSet<Arc<str>>>,
    /// Of one of these desktops.
    pub desktop_ids: Option<FoldedIds>,
    /// Of one of these desktop pools.
    pub desktop_pool_ids: Option<FoldedIds>,
    /// Made by one of these policies.
    pub policy_ids: Option<FoldedIds>,
    /// In one of these statuses.
    pub statuses: Option<Vec<ScreenRecordStatus>>,
    /// Of one of these types.
    pub kinds: Option<Vec<ScreenRecordType>>,
    /// Seconds of video, at least.
    pub min_duration: Option<i32>,
    /// Seconds of video, at most.
    pub max_duration: Option<i32>,
    /// Being recorded at this instant.
    pub running_at: Option<Timestamp>,
}

impl RecordSelection {
    /// The same, if its values make sense.
    ///
    /// # Errors
    /// [`Failure::BadInput`], naming the first argument that does not and what is allowed.
    pub fn checked(self) -> Result<Self, Failure> {
        let Self { query, rows } = self;
        let (query, rows) = (query.checked()?, rows.checked()?);
        match (query.started_after, rows.running_at) {
            (Some(after), Some(at)) if after > at => Err(Failure::BadInput {
                argument: "filter.startedAfter",
                problem: format!("is {after}: it must not be later than runningAt, {at}"),
            }),
            _ => Ok(Self { query, rows }),
        }
    }

    /// The upstream's list that holds the selected recordings, as short as the upstream can make it; `None` if
    /// no recording can be selected.
    pub fn narrowed(&self) -> Option<RecordQuery> {
        let Self { query, rows } = self;
        if rows.matches_nothing() {
            return None;
        }
        let only_user = rows.usernames.as_ref().filter(|users| users.len() == 1);
        let only_user = only_user.and_then(BTreeSet::first).map(|user| user.as_ref().to_owned());
        let mut narrowed = RecordQuery {
            username: query.username.clone().or(only_user),
            status: query.status.or_else(|| rows.only_status()),
            kind: query.kind.or_else(|| rows.only_kind()),
            ..query.clone()
        };
        if let Some(at) = rows.running_at {
            let (begin, end) = (at.saturating_sub(LOOK_BACK), at.up_to_second());
            let begin = *narrowed.started_after.get_or_insert(begin);
            let end = narrowed.started_before.map_or(end, |before| before.min(end));
            narrowed.started_before = Some(end);
            return (begin <= end).then_some(narrowed);
        }
        Some(narrowed)
    }
}

impl RowFilter {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a recording meets every condition.
    pub fn matches(&self, record: &ScreenRecord) -> bool {
        let text = |of| record.filled_text(of);
        let status = record.status().and_then(Result::ok);
        let kind = record.kind().and_then(Result::ok);
        meets_exactly(self.usernames.as_ref(), text(RecordText::Username))
            && meets(self.desktop_ids.as_ref(), text(RecordText::DesktopId))
            && meets(self.desktop_pool_ids.as_ref(), text(RecordText::DesktopPoolId))
            && meets(self.policy_ids.as_ref(), text(RecordText::PolicyId))
            && is_one_of(self.statuses.as_deref(), status)
            && is_one_of(self.kinds.as_deref(), kind)
            && self.allows_duration(record.duration().and_then(Result::ok))
            && self.running_at.is_none_or(|at| was_running(record, at))
    }

    fn allows_duration(&self, seconds: Option<i32>) -> bool {
        self.min_duration.is_none_or(|least| seconds.is_some_and(|seconds| seconds >= least))
            && self.max_duration.is_none_or(|most| seconds.is_some_and(|seconds| seconds <= most))
    }

    fn matches_nothing(&self) -> bool {
        let ids = [&self.desktop_ids, &self.desktop_pool_ids, &self.policy_ids, &self.usernames];
        ids.into_iter().flatten().any(BTreeSet::is_empty)
            || self.statuses.as_ref().is_some_and(Vec::is_empty)
            || self.kinds.as_ref().is_some_and(Vec::is_empty)
    }

    /// The one status, if the upstream documents that it looks for it. The failed ones are not documented.
    fn only_status(&self) -> Option<ScreenRecordStatus> {
        let [only] = *self.statuses.as_deref()? else { return None };
        match only {
            ScreenRecordStatus::Recording
            | ScreenRecordStatus::RecCompleted
            | ScreenRecordStatus::Uploading
            | ScreenRecordStatus::UploadCompleted => Some(only),
            ScreenRecordStatus::RecFailed
            | ScreenRecordStatus::UploadFailed
            | ScreenRecordStatus::Unknown => None,
        }
    }

    /// The one type, if the upstream has one spelling of it.
    fn only_kind(&self) -> Option<ScreenRecordType> {
        let [only] = *self.kinds.as_deref()? else { return None };
        match only {
            ScreenRecordType::Full | ScreenRecordType::Interval | ScreenRecordType::Session => {
                Some(only)
            }
            ScreenRecordType::Operation | ScreenRecordType::Unknown => None,
        }
    }

    fn checked(self) -> Result<Self, Failure> {
        for (argument, texts) in [
            ("filter.usernames", &self.usernames),
            ("filter.desktopIds", &self.desktop_ids),
            ("filter.desktopPoolId", &self.desktop_pool_ids),
            ("filter.policyId", &self.policy_ids),
        ] {
            let mut texts = texts.iter().flatten();
            texts.try_for_each(|text| check_text(argument, Some(text)))?;
        }
        for (argument, seconds) in
            [("filter.minDuration", self.min_duration), ("filter.maxDuration", self.max_duration)]
        {
            if let Some(seconds) = seconds.filter(|seconds| *seconds < 0) {
                let problem = format!("is {seconds}: it must be 0 seconds or more");
                return Err(Failure::BadInput { argument, problem });
            }
        }
        match (self.min_duration, self.max_duration) {
            (Some(least), Some(most)) if least > most => Err(Failure::BadInput {
                argument: "filter.minDuration",
                problem: format!("is {least}: it must not be more than maxDuration, {most}"),
            }),
            _ => Ok(self),
        }
    }
}

fn is_one_of<T: PartialEq>(values: Option<&[T]>, value: Option<T>) -> bool {
    values.is_none_or(|values| value.is_some_and(|value| values.contains(&value)))
}

/// Whether a recording had begun at an instant and had not ended. Without an end it has not ended while its
/// status is `RECORDING`.
fn was_running(record: &ScreenRecord, at: Timestamp) -> bool {
    let time = |of| record.time(of).and_then(Result::ok);
    let is_recording = || record.status() == Some(Ok(ScreenRecordStatus::Recording));
    time(RecordTime::Start).is_some_and(|start| start <= at)
        && time(RecordTime::End).map_or_else(is_recording, |end| end >= at)
}
