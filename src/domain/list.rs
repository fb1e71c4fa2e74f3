//! What lists are asked for, and what a part of one holds.

use std::sync::Arc;

use super::{
    DesktopOperationLevel, DesktopOperationType, Failure, Field, ScreenRecordStatus,
    ScreenRecordType, Timestamp, Unreadable,
};

/// The longest text that a list is filtered by, in characters.
const LONGEST_TEXT: usize = 255;
/// The most desktops that a list is filtered by; the upstream takes no more.
const MOST_DESKTOPS: usize = 100;

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

/// Which of a recording's operations a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OperationQuery {
    /// On this kind of thing.
    pub kind: Option<DesktopOperationType>,
    /// Of this event.
    pub event: Option<String>,
    /// Of this level.
    pub level: Option<DesktopOperationLevel>,
    /// With this text in its data.
    pub data: Option<String>,
}

/// Which way a list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The oldest first.
    Ascending,
    /// The newest first.
    #[default]
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

/// The upstream takes an empty text for none, which would widen the list to everything.
pub(super) fn check_text(argument: &'static str, text: Option<&str>) -> Result<(), Failure> {
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
