//! Sums over recordings, by group. One fold over rows; knows nothing of pages or caches.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use foldhash::quality::RandomState;
use jiff::tz::TimeZone;
use jiff::{RoundMode, Unit, ZonedDateTimeRound};

use crate::domain::{
    Failure, RecordId, RecordText, RecordTime, ScreenRecord, ScreenRecordStatus, ScreenRecordType,
    Timestamp,
};

/// The most values that recordings are grouped by together.
const MOST_GROUPINGS: usize = 2;
/// Characters of an unknown time zone that an error repeats.
const LONGEST_ZONE: usize = 64;

/// What statistics group recordings by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, async_graphql::Enum)]
#[graphql(name = "ScreenRecordGroup")]
pub enum GroupBy {
    /// The hour of `startTime`. It begins as the clocks of the time zone show it, so that an hour that is
    /// repeated at the end of daylight saving time is two groups.
    Hour,
    /// The day of `startTime`. It begins at midnight in the time zone, and has 23 or 25 hours when daylight
    /// saving time begins or ends.
    Day,
    /// `username`, compared exactly.
    Username,
    /// `desktopId`, compared without case and dashes.
    Desktop,
    /// `desktopPoolId`, compared without case and dashes.
    DesktopPool,
    /// `status`.
    Status,
    /// `type`.
    Type,
}

/// What recordings are grouped by, and the time zone in which hours and days begin.
#[derive(Clone, Debug)]
pub struct Grouping {
    by: Vec<GroupBy>,
    zone: TimeZone,
}

/// Statistics of recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Sorted by time, then by the other values.
    pub groups: Vec<StatisticsGroup>,
    /// Visible recordings that were read, whether they match or not.
    pub scanned: usize,
    /// Whether all matching recordings are counted.
    pub is_complete: bool,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsGroup {
    /// What its recordings have in common.
    pub key: GroupKey<String>,
    /// The sums.
    pub sums: Sums,
}

/// What the recordings of a group have in common. What they are not grouped by is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GroupKey<T> {
    /// Start of the hour or day.
    pub time: Option<Timestamp>,
    /// The user.
    pub username: Option<T>,
    /// The desktop.
    pub desktop_id: Option<T>,
    /// The desktop pool.
    pub desktop_pool_id: Option<T>,
    /// The status.
    pub status: Option<ScreenRecordStatus>,
    /// The type.
    pub kind: Option<ScreenRecordType>,
}

/// Sums over the recordings of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Number of recordings.
    pub count: usize,
    /// Seconds of video.
    pub seconds: i64,
    /// Bytes of video.
    pub bytes: i64,
}

impl Grouping {
    /// Checks what to group by, and finds the time zone.
    ///
    /// # Errors
    /// [`Failure::BadInput`], naming the argument and what is allowed.
    pub fn new(by: Vec<GroupBy>, zone: &str) -> Result<Self, Failure> {
        let refusal = |problem: String| Failure::BadInput { argument: "groupBy", problem };
        if by.len() > MOST_GROUPINGS {
            let length = by.len();
            return Err(refusal(format!(
                "has {length} values: at most {MOST_GROUPINGS} are allowed"
            )));
        }
        if by.contains(&GroupBy::Hour) && by.contains(&GroupBy::Day) {
            return Err(refusal("has HOUR and DAY: only one of them is allowed".to_owned()));
        }
        if by.first().is_some_and(|first| by.iter().skip(1).any(|other| other == first)) {
            return Err(refusal("has a value twice: two different ones are allowed".to_owned()));
        }
        let known = TimeZone::get(zone).ok().filter(|zone| !zone.is_unknown());
        let zone = known.ok_or_else(|| {
            let zone: String = zone.chars().take(LONGEST_ZONE).collect();
            let problem =
                format!("is {zone:?}: an IANA time zone is allowed, such as Asia/Shanghai");
            Failure::BadInput { argument: "timeZone", problem }
        })?;
        Ok(Self { by, zone })
    }
}

/// Sums recordings by group.
pub(super) fn fold<'r>(
    grouping: &Grouping,
    records: impl Iterator<Item = &'r ScreenRecord>,
) -> Vec<StatisticsGroup> {
    let (desktops, pools) = (FirstForms::default(), FirstForms::default());
    let mut keys = GroupKeys { grouping, desktops, pools, last: None };
    let mut groups = HashMap::<GroupKey<&'r str>, Sums, RandomState>::default();
    if grouping.by.is_empty() {
        groups.entry(GroupKey::default()).or_default();
    }
    for record in records {
        groups.entry(keys.of_record(record)).or_default().add(record);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(key, _)| key.order());
    groups.into_iter().map(|(key, sums)| StatisticsGroup { key: key.owned(), sums }).collect()
}

impl Sums {
    fn add(&mut self, record: &ScreenRecord) {
        let seconds = record.duration().and_then(Result::ok).unwrap_or_default();
        let bytes = record.size().and_then(Result::ok).unwrap_or_default();
        self.count += 1;
        self.seconds = self.seconds.saturating_add(seconds.into());
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl<'r> GroupKey<&'r str> {
    /// By time, then by the other values as clients see them.
    fn order(&self) -> impl Ord + use<'r> {
        let status = self.status.map(|status| status.to_upstream().unwrap_or("UNKNOWN"));
        let kind = self.kind.map(|kind| kind.to_upstream().unwrap_or("UNKNOWN"));
        (self.time, self.username, self.desktop_id, self.desktop_pool_id, status, kind)
    }

    fn owned(self) -> GroupKey<String> {
        let Self { time, username, desktop_id, desktop_pool_id, status, kind } = self;
        let [username, desktop_id, desktop_pool_id] =
            [username, desktop_id, desktop_pool_id].map(|text| text.map(str::to_owned));
        GroupKey { time, username, desktop_id, desktop_pool_id, status, kind }
    }
}

/// Finds the groups of recordings.
struct GroupKeys<'g, 'r> {
    grouping: &'g Grouping,
    desktops: FirstForms<'r>,
    pools: FirstForms<'r>,
    /// The hour or day of the row before, up to the latest start time that was found in it.
    last: Option<RangeInclusive<Timestamp>>,
}

/// Ids that differ only in case and dashes are equal: the form that comes first stands for all.
#[derive(Default)]
struct FirstForms<'r> {
    by_id: HashMap<&'r str, &'r str, RandomState>,
    by_folded: HashMap<String, &'r str, RandomState>,
}

impl<'r> GroupKeys<'_, 'r> {
    fn of_record(&mut self, record: &'r ScreenRecord) -> GroupKey<&'r str> {
        let mut key = GroupKey::default();
        let start = record.time(RecordTime::Start).and_then(Result::ok);
        for by in &self.grouping.by {
            match by {
                GroupBy::Hour | GroupBy::Day => {
                    let unit = if *by == GroupBy::Day { Unit::Day } else { Unit::Hour };
                    key.time = start.and_then(|start| self.start_of(unit, start));
                }
                GroupBy::Username => key.username = record.filled_text(RecordText::Username),
                GroupBy::Desktop => {
                    let id = record.filled_text(RecordText::DesktopId);
                    key.desktop_id = id.map(|id| self.desktops.of(id));
                }
                GroupBy::DesktopPool => {
                    let id = record.filled_text(RecordText::DesktopPoolId);
                    key.desktop_pool_id = id.map(|id| self.pools.of(id));
                }
                GroupBy::Status => key.status = record.status().and_then(Result::ok),
                GroupBy::Type => key.kind = record.kind().and_then(Result::ok),
            }
        }
        key
    }

    /// The start of an hour or day; `None` in the last days of the year 9999, which zones do not reach. Lists
    /// are sorted by time, so it is usually that of the row before.
    fn start_of(&mut self, unit: Unit, time: Timestamp) -> Option<Timestamp> {
        if let Some(last) = self.last.as_ref().filter(|last| last.contains(&time)) {
            return Some(*last.start());
        }
        let instant = TimeZone::UTC.to_timestamp(time.as_utc()).ok()?;
        let local = instant.to_zoned_datetime(self.grouping.zone.clone());
        let start = if unit == Unit::Day {
            local.start_of_day()
        } else {
            local.round(ZonedDateTimeRound::new().smallest(unit).mode(RoundMode::Trunc))
        };
        let start = Timestamp::from_utc(TimeZone::UTC.to_datetime(start.ok()?.timestamp()))?;
        self.last = Some(start..=time);
        Some(start)
    }
}

impl<'r> FirstForms<'r> {
    fn of(&mut self, id: &'r str) -> &'r str {
        let Self { by_id, by_folded } = self;
        by_id.entry(id).or_insert_with(|| by_folded.entry(RecordId::folded(id)).or_insert(id))
    }
}
