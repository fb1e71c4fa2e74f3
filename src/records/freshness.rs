//! How long a cached value may be served, and how. Pure: an age goes in, a verdict comes out.

use std::time::Duration;

use crate::config::CacheConfig;
use crate::domain::ScreenRecord;

/// What may be done with a cached value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Serve it; it stays fresh for so long.
    Fresh(Duration),
    /// Serve it and refresh it behind the answer.
    Stale,
    /// Read anew; serve it only in place of a failure.
    Spare,
    /// Never serve it.
    Expired,
}

impl Freshness {
    /// The verdict on a record of some age that was fresh for `ttl`.
    pub(crate) fn of_record(age: Duration, ttl: Duration, limits: &CacheConfig) -> Self {
        let Some(overdue) = age.checked_sub(ttl) else {
            return Self::Fresh(ttl.saturating_sub(age));
        };
        if overdue < limits.stale_while_revalidate {
            Self::Stale
        } else if overdue < limits.stale_if_error {
            Self::Spare
        } else {
            Self::Expired
        }
    }

    /// The verdict on "no such record": served while fresh, never after.
    pub(crate) fn of_absence(age: Duration, limits: &CacheConfig) -> Self {
        match limits.ttl_not_found.checked_sub(age) {
            Some(remaining) if !remaining.is_zero() => Self::Fresh(remaining),
            _ => Self::Expired,
        }
    }
}

/// How long a record stays fresh: long once its status is final, short while it may change.
pub(crate) fn ttl_of(record: &ScreenRecord, limits: &CacheConfig) -> Duration {
    if record.is_final() { limits.ttl_final } else { limits.ttl_active }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{RecordFields, RecordText};

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_record_goes_from_fresh_to_stale_to_spare_to_expired() {
        let limits = CacheConfig::default();
        for (age, verdict) in [
            (0, Freshness::Fresh(secs(5))),
            (4, Freshness::Fresh(secs(1))),
            (5, Freshness::Stale),
            (34, Freshness::Stale),
            (35, Freshness::Spare),
            (604, Freshness::Spare),
            (605, Freshness::Expired),
        ] {
            assert_eq!(Freshness::of_record(secs(age), secs(5), &limits), verdict, "at {age} s");
        }
    }

    #[test]
    fn an_absence_is_never_served_stale() {
        let limits = CacheConfig::default();

        assert_eq!(Freshness::of_absence(secs(1), &limits), Freshness::Fresh(secs(1)));
        assert_eq!(Freshness::of_absence(secs(2), &limits), Freshness::Expired);
    }

    #[test]
    fn only_final_statuses_are_fresh_for_long() {
        let limits = CacheConfig::default();
        for (text, ttl) in [
            ("RECORDING", limits.ttl_active),
            ("REC_COMPLETED", limits.ttl_active),
            ("UPLOADING", limits.ttl_active),
            ("ARCHIVED", limits.ttl_active),
            ("UPLOAD_COMPLETED", limits.ttl_final),
            ("REC_FAILED", limits.ttl_final),
            ("UPLOAD_FAILED", limits.ttl_final),
        ] {
            let fields = RecordFields::default().with_text(RecordText::Status, text);

            assert_eq!(ttl_of(&fields.into(), &limits), ttl, "of {text}");
        }
    }
}
