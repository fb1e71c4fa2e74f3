//! How long a cached value may be served, and how. Pure: an age goes in, a verdict comes out.

use std::time::Duration;

use crate::config::CacheConfig;
use crate::domain::ScreenRecord;

/// How long a value may be served, from the time when it was fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) ttl: Duration,
    /// After the TTL: may be served while it is refreshed.
    pub(crate) stale_while_revalidate: Duration,
    /// After the TTL: may be served in place of an error.
    pub(crate) stale_if_error: Duration,
}

/// What may be done with a cached value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Serve it.
    Fresh,
    /// Serve it and refresh it in the background.
    Stale,
    /// Fetch it again, and serve it only in place of an error.
    StaleIfError,
    /// Never serve it.
    Expired,
}

impl Freshness {
    /// The verdict on a value of an age.
    pub(crate) fn of(age: Duration, lifetime: Lifetime) -> Self {
        let Some(overdue) = age.checked_sub(lifetime.ttl) else { return Self::Fresh };
        if overdue < lifetime.stale_while_revalidate {
            Self::Stale
        } else if overdue < lifetime.stale_if_error {
            Self::StaleIfError
        } else {
            Self::Expired
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
    fn a_value_goes_from_fresh_to_stale_to_stale_if_error_to_expired() {
        let of_record =
            Lifetime { ttl: secs(5), stale_while_revalidate: secs(30), stale_if_error: secs(600) };
        let of_absence = Lifetime { ttl: secs(2), ..Lifetime::default() };
        for (lifetime, age, verdict) in [
            (of_record, 0, Freshness::Fresh),
            (of_record, 4, Freshness::Fresh),
            (of_record, 5, Freshness::Stale),
            (of_record, 34, Freshness::Stale),
            (of_record, 35, Freshness::StaleIfError),
            (of_record, 604, Freshness::StaleIfError),
            (of_record, 605, Freshness::Expired),
            (of_absence, 1, Freshness::Fresh),
            (of_absence, 2, Freshness::Expired),
        ] {
            assert_eq!(Freshness::of(secs(age), lifetime), verdict, "{lifetime:?} at {age} s");
        }
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
