//! What lists are asked for, and what a part of one holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;

use super::grant::{FoldedIds, meets, meets_exactly};
use super::{
    DesktopOperationLevel, DesktopOperationType, Failure, Field, RecordText, RecordTime,
    ScreenRecord, ScreenRecordStatus, ScreenRecordType, Timestamp, Unreadable,
};

/// The longest text that a list is filtered by, in characters.
const LONGEST_TEXT: usize = 255;
/// The most desktops that a list is filtered by; the upstream takes no more.
const MOST_DESKTOPS: usize = 100;
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

/// Which recordings a list holds, and in which order.
///
/// Holding one proves that the upstream will understand it: see [`Self::checked`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RecordQuery {
    /// Of this desktop.
    pub desktop_id: Option<String>,
    /// Of one of the desktops with these names.
    pub desktop_names: Option<Vec<String>>,
    /// Of this user.
    pub username: Option<String>,
    /// In this status.
    pub status: Option<ScreenRecordStatus>,
    /// Of this type.
    pub kind: Option<ScreenRecordType>,
    /// Begun at this time or later, to the second.
    pub started_after: Option<Timestamp>,
    /// Begun at this time or earlier, to the second.
    pub started_before: Option<Timestamp>,
    /// By the time of their beginning.
    pub direction: Direction,
}

/// Restricts a list of operations. An operation must match every given field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, async_graphql::InputObject)]
#[graphql(name = "DesktopOperationFilter")]
pub struct OperationQuery {
    /// What was operated on: any except `UNKNOWN`.
    #[graphql(name = "type")]
    pub kind: Option<DesktopOperationType>,
    /// Name of the event, such as `FILE_CREATE`: 1 to 255 characters.
    pub event: Option<String>,
    /// Severity of the operation: any except `UNKNOWN`.
    pub level: Option<DesktopOperationLevel>,
    /// Text in the details of the event: 1 to 255 characters.
    pub data: Option<String>,
}

/// Direction of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, async_graphql::Enum)]
#[graphql(name = "OrderDirection")]
pub enum Direction {
    /// Ascending: oldest first.
    #[graphql(name = "ASC")]
    Ascending,
    /// Descending: newest first.
    #[default]
    #[graphql(name = "DESC")]
    Descending,
}

/// A part of a list, as the upstream gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Its rows. One that cannot be read costs no other.
    pub rows: Vec<Result<T, Arc<Unreadable>>>,
    /// How many rows the whole list has.
    pub total: Field<i64>,
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

impl RecordQuery {
    /// The same, if the upstream understands it.
    ///
    /// # Errors
    /// [`Failure::BadInput`], naming the first part that cannot be asked for and what can.
    pub fn checked(self) -> Result<Self, Failure> {
        check_text("filter.desktopId", self.desktop_id.as_deref())?;
        check_text("filter.username", self.username.as_deref())?;
        self.desktop_names.as_deref().map_or(Ok(()), check_names)?;
        if self.status == Some(ScreenRecordStatus::Unknown) {
            return Err(cannot_filter("filter.status", ": use statuses"));
        }
        if self.kind == Some(ScreenRecordType::Unknown) {
            return Err(cannot_filter("filter.type", ": use types"));
        }
        match (self.started_after, self.started_before) {
            (Some(after), Some(before)) if after > before => Err(Failure::BadInput {
                argument: "filter.startedAfter",
                problem: format!("is {after}: it must not be later than startedBefore, {before}"),
            }),
            _ => Ok(self),
        }
    }
}

impl OperationQuery {
    /// The same, if the upstream understands it.
    ///
    /// # Errors
    /// [`Failure::BadInput`], naming the first part that cannot be asked for and what can.
    pub fn checked(self) -> Result<Self, Failure> {
        check_text("filter.event", self.event.as_deref())?;
        check_text("filter.data", self.data.as_deref())?;
        if self.kind == Some(DesktopOperationType::Unknown) {
            return Err(cannot_filter("filter.type", ""));
        }
        if self.level == Some(DesktopOperationLevel::Unknown) {
            return Err(cannot_filter("filter.level", ""));
        }
        Ok(self)
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

/// The upstream takes an empty text for none, which would widen the list to everything.
fn check_text(argument: &'static str, text: Option<&str>) -> Result<(), Failure> {
    let is_allowed = |text: &str| {
        !text.trim().is_empty()
            && text.chars().count() <= LONGEST_TEXT
            && !text.contains(char::is_control)
    };
    if text.is_none_or(is_allowed) {
        return Ok(());
    }
    let problem = format!(
        "must be 1 to {LONGEST_TEXT} characters, not blank and without control characters; leave it \
         out to ask for all"
    );
    Err(Failure::BadInput { argument, problem })
}

fn check_names(names: &[String]) -> Result<(), Failure> {
    let argument = "filter.desktopNames";
    for name in names {
        check_text(argument, Some(name))?;
    }
    // The upstream takes a comma in a name for the beginning of another.
    if (1..=MOST_DESKTOPS).contains(&names.len()) && !names.iter().any(|name| name.contains(',')) {
        return Ok(());
    }
    let problem =
        format!("must be 1 to {MOST_DESKTOPS} names without commas; leave it out to ask for all");
    Err(Failure::BadInput { argument, problem })
}

fn cannot_filter(argument: &'static str, remedy: &str) -> Failure {
    let problem = format!("is UNKNOWN, which the upstream cannot look for{remedy}");
    Failure::BadInput { argument, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_widen_or_confuse_a_list_is_refused_by_name() {
        let text = |text: &str| Some(text.to_owned());
        let late = Timestamp::from_utc("2026-01-02T00:00:00".parse().unwrap());
        let early = Timestamp::from_utc("2026-01-01T00:00:00".parse().unwrap());
        for (query, argument) in [
            (RecordQuery { username: text(" "), ..Default::default() }, "filter.username"),
            (RecordQuery { desktop_id: text("a\nb"), ..Default::default() }, "filter.desktopId"),
            (
                RecordQuery { desktop_names: Some(vec!["a,b".to_owned()]), ..Default::default() },
                "filter.desktopNames",
            ),
            (
                RecordQuery {
                    desktop_names: Some(vec!["a".to_owned(); 101]),
                    ..Default::default()
                },
                "filter.desktopNames",
            ),
            (
                RecordQuery { status: Some(ScreenRecordStatus::Unknown), ..Default::default() },
                "filter.status",
            ),
            (
                RecordQuery {
                    started_after: late,
                    started_before: early,
                    ..RecordQuery::default()
                },
                "filter.startedAfter",
            ),
        ] {
            let refusal = query.clone().checked();

            let named = matches!(&refusal, Err(Failure::BadInput { argument: named, .. }) if *named == argument);
            assert!(named, "{query:?} gave {refusal:?}");
        }
        assert!(RecordQuery { username: text("Amélie"), ..Default::default() }.checked().is_ok());
    }
}
