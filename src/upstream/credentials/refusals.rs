//! Pauses calls after the API gateway has refused an access key.
//!
//! It locks a key for five minutes after more than five refusals in a row, see
//! <https://support.huaweicloud.com/eu/nl-nl/devg-apisign/api-sign-0001.html>. So after one refusal of
//! the key the gateway stops calling for that long and repeats the refusal itself.

use std::time::{Duration, Instant};

use http::header::HeaderMap;
use parking_lot::Mutex;

use super::super::error_mapping::Code;
use super::skew;
use crate::clock::Clock;
use crate::domain::{Failure, RefusalKind};

/// How long a key is not used after a refusal: as long as the upstream would lock it.
const REST: Duration = Duration::from_mins(5);

/// Whether a key may be used now.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Option<Resting>>);

struct Resting {
    until: Instant,
    refusal: Failure,
}

impl Refusals {
    /// Starts the pause if the API gateway has refused the key, and logs a clock that may be the reason.
    pub(crate) fn note_failure(&self, failure: &Failure, headers: &HeaderMap, clock: &Clock) {
        if !refuses_the_key(failure) {
            return;
        }
        skew::report(headers, clock.timestamp());
        tracing::error!(
            rest_seconds = REST.as_secs(),
            "the upstream refused the access key: calls stop, so that the key is not locked"
        );
        let until = clock.now() + REST;
        *self.0.lock() = Some(Resting { until, refusal: failure.clone() });
    }

    /// The refusal, during the pause.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Failure> {
        match &*self.0.lock() {
            Some(rest) if now < rest.until => Err(rest.refusal.clone()),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether the API gateway refused the key, and not the service behind it. Without a code the key counts as
/// refused: further signatures could lock it.
fn refuses_the_key(failure: &Failure) -> bool {
    let Failure::Refused(refusal) = failure else { return false };
    let code = refusal.answer.error_code.as_deref();
    refusal.kind == RefusalKind::GatewayUnauthenticated
        && code.is_none_or(|code| Code::of(code) == Some(Code::Gateway("0301")))
}
