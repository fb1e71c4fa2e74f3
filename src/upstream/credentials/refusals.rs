//! What to do after the API gateway has refused a key: nothing, for as long as it would lock the key.
//!
//! It locks a key for five minutes after more than five refusals in a row, see
//! <https://support.huaweicloud.com/eu/nl-nl/devg-apisign/api-sign-0001.html>. So after one refusal of
//! the key the gateway stops calling for that long and repeats the refusal itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::HeaderMap;

use super::super::error_mapping::Code;
use super::skew;
use crate::clock::Clock;
use crate::domain::{Failure, RefusalKind};

/// How long a key rests after a refusal: as long as the upstream would lock it.
const REST: Duration = Duration::from_mins(5);

/// Whether a key may be used now.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Option<Resting>>);

struct Resting {
    until: Instant,
    refusal: Failure,
}

impl Refusals {
    /// Lets the key rest after the API gateway has refused it, and says so where the clock is why.
    pub(crate) fn heed(&self, failure: &Failure, headers: &HeaderMap, clock: &Clock) {
        if !refuses_the_key(failure) {
            return;
        }
        skew::report(headers, clock.timestamp());
        tracing::error!(
            rest_seconds = REST.as_secs(),
            "the upstream refused the access key: calls stop, so that the key is not locked"
        );
        let until = clock.now() + REST;
        *self.lock() = Some(Resting { until, refusal: failure.clone() });
    }

    /// The refusal again, while the key rests.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Failure> {
        match &*self.lock() {
            Some(rest) if now < rest.until => Err(rest.refusal.clone()),
            Some(_) | None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Resting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it was the API gateway's check of the key, and not the service behind it, that refused.
/// Where no code says which, the key rests: signing on could lock it.
fn refuses_the_key(failure: &Failure) -> bool {
    let Failure::Refused(refusal) = failure else { return false };
    let code = refusal.answer.error_code.as_deref();
    refusal.kind == RefusalKind::GatewayUnauthenticated
        && code.is_none_or(|code| Code::of(code) == Some(Code::Gateway("0301")))
}
