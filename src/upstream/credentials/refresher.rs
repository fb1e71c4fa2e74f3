//! The gateway's own credentials: fetched once for all callers, renewed ahead, and used until their end.
//!
//! Valid credentials are returned at once, and renewed in the background when their end is near.
//! Otherwise all callers wait for one shared future. After a failure the issuer is left alone for a while:
//! a refused login could lock the account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use http::HeaderMap;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::lease::{Issued, Lease, Pause, report_clock_skew};
use super::login::{self, Account, Login};
use super::metadata::MetadataKeys;
use crate::clock::Clock;
use crate::config::{AccessKey, ProjectScope};
use crate::domain::{ErrorCode, Failure};
use crate::upstream::error_mapping::Code;
use crate::upstream::malformed;

/// The pause after a first transient failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause after the metadata service has said that the server has no agency.
const PAUSE_WITHOUT_AGENCY: Duration = Duration::from_mins(5);
/// How long a key is not used after a refusal. The API gateway locks a key for that long after more than five
/// refusals in a row, see <https://support.huaweicloud.com/eu/nl-nl/devg-apisign/api-sign-0001.html>.
const KEY_PAUSE: Duration = Duration::from_mins(5);
/// The least time between two renewals in the background.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(30);
/// The least time between two renewals because credentials were refused.
const BETWEEN_FORGETTING: Duration = Duration::from_mins(1);

/// Where credentials come from.
pub(crate) enum Issuer {
    /// The settings.
    Settings(AccessKey),
    /// The metadata service of the gateway's own server.
    Metadata(MetadataKeys),
    /// IAM.
    Iam(Login),
}

type Renewal = BoxFuture<'static, Result<Issued, Failure>>;

/// The credentials of one issuer, shared by all calls.
pub(crate) struct Refresher {
    issuer: Issuer,
    account: Arc<Account>,
    /// After a failure to issue these credentials.
    pause: Pause,
    state: Mutex<RefresherState>,
    tasks: TaskTracker,
    clock: Clock,
}

#[derive(Default)]
struct RefresherState {
    lease: Option<Lease>,
    under_way: Option<WeakShared<Renewal>>,
    /// When credentials were last dropped before their end.
    forgotten: Option<Instant>,
    failures: u32,
}

impl Refresher {
    /// `known` are the credentials of the settings before, for the same user and project.
    pub(crate) fn new(
        issuer: Issuer,
        account: Arc<Account>,
        known: Option<&Self>,
        clock: Clock,
    ) -> Self {
        let lease = known.and_then(|known| known.state.lock().lease.clone());
        let state = Mutex::new(RefresherState { lease, ..RefresherState::default() });
        Self { issuer, account, pause: Pause::default(), state, tasks: TaskTracker::new(), clock }
    }

    /// The current credentials, after a renewal if need be.
    pub(crate) async fn get(self: &Arc<Self>) -> Result<Issued, Failure> {
        let now = self.clock.now();
        // A refused key must not be used. A token is used to its end, even if a login was refused since.
        if !self.has_tokens() {
            self.account.lockout.check(now)?;
        }
        let renewal = {
            let mut state = self.state.lock();
            if let Some(lease) = state.lease.as_ref().filter(|lease| now < lease.ends_at) {
                let valid = lease.issued.clone();
                if now >= lease.renew_at && self.may_renew(now).is_ok() {
                    // It runs in the background; the old ones are used meanwhile.
                    drop(self.renewal(&mut state));
                }
                return Ok(valid);
            }
            self.may_renew(now)?;
            self.renewal(&mut state)
        };
        renewal.await
    }

    /// The password of the logins, which no text may show either.
    pub(crate) fn password(&self) -> Option<&str> {
        let Issuer::Iam(login) = &self.issuer else { return None };
        Some(login.user.password.expose())
    }

    /// Whether the credentials are tokens of logins. Others are keys, which sign.
    fn has_tokens(&self) -> bool {
        matches!(self.issuer, Issuer::Iam(_))
    }

    /// Notes the failure of a call that used these credentials.
    pub(crate) fn note_failure(&self, failure: &Failure, headers: &HeaderMap, used: &Issued) {
        if self.may_be_renewed(failure) {
            self.forget(used);
        } else if !self.has_tokens() && refuses_the_key(failure) {
            report_clock_skew(headers, self.clock.timestamp());
            tracing::error!(
                rest_seconds = KEY_PAUSE.as_secs(),
                "the upstream refused the access key: calls stop, so that the key is not locked"
            );
            self.account.lockout.begin(self.clock.now() + KEY_PAUSE, failure);
            self.forget(used);
        }
    }

    /// Whether to repeat a failed call once with new credentials: the API gateway says that the token has
    /// ended (0307) or is invalid (0301), as one that was withdrawn. A 401 without a code may be either.
    pub(crate) fn may_be_renewed(&self, failure: &Failure) -> bool {
        let Some(answer) = failure.upstream().filter(|_| self.has_tokens()) else { return false };
        match answer.error_code.as_deref().map(Code::of) {
            None | Some(Some(Code::Gateway("0301"))) => answer.status == 401,
            Some(Some(Code::Gateway("0307"))) => true,
            Some(_) => false,
        }
    }

    /// Drops credentials that were refused, unless they have been renewed since, or others were dropped
    /// shortly before: new ones would not help either.
    fn forget(&self, refused: &Issued) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let is_soon = state.forgotten.is_some_and(|last| now < last + BETWEEN_FORGETTING);
        if state.lease.as_ref().is_some_and(|lease| lease.issued == *refused) && !is_soon {
            state.lease = None;
            state.forgotten = Some(now);
        }
    }

    /// Why there are no credentials now.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        let now = self.clock.now();
        let is_locked = self.account.lockout.check(now).is_err();
        let is_valid = self.state.lock().lease.as_ref().is_some_and(|lease| now < lease.ends_at);
        let has_failed = !is_valid && self.may_renew(now).is_err();
        match &self.issuer {
            Issuer::Settings(_) | Issuer::Metadata(_) if is_locked => {
                Some("the upstream refused the access key")
            }
            Issuer::Metadata(_) if has_failed => {
                Some("the metadata service gives no temporary key")
            }
            Issuer::Iam(_) if has_failed => Some("the gateway cannot log in for a token"),
            Issuer::Settings(_) | Issuer::Metadata(_) | Issuer::Iam(_) => None,
        }
    }

    fn may_renew(&self, now: Instant) -> Result<(), Failure> {
        self.pause.check(now)?;
        self.account.lockout.check(now)
    }

    /// Joins or starts the renewal. A task drives it to its end: if it were dropped with its callers, a
    /// refused login would go unnoticed and be repeated.
    fn renewal(self: &Arc<Self>, state: &mut RefresherState) -> Shared<Renewal> {
        if let Some(renewal) = state.under_way.as_ref().and_then(WeakShared::upgrade) {
            return renewal;
        }
        let this = Arc::clone(self);
        let renewal = async move { this.renew().await }.boxed().shared();
        state.under_way = renewal.downgrade();
        let driven = renewal.clone();
        self.tasks.spawn(async move {
            // Its failure is logged where it happens.
            let _ = driven.await;
        });
        renewal
    }

    async fn renew(&self) -> Result<Issued, Failure> {
        let renewed = match &self.issuer {
            Issuer::Settings(key) => Ok(Lease::forever(key.clone(), &self.clock)),
            Issuer::Metadata(keys) => keys.issue().await,
            Issuer::Iam(login) => login.issue().await,
        };
        let now = self.clock.now();
        let renewed =
            renewed.and_then(|lease| (now < lease.ends_at).then_some(lease).ok_or_else(ended));
        let mut state = self.state.lock();
        state.under_way = None;
        match renewed {
            Ok(mut lease) => {
                // An issuer may return the same credentials until shortly before their end.
                lease.renew_at = lease.renew_at.max(now + BETWEEN_RENEWALS);
                if !matches!(self.issuer, Issuer::Settings(_)) {
                    let (issuer, scope) = (self.issuer.name(), self.issuer.scope());
                    tracing::info!(issuer, scope, "new credentials for the upstream");
                }
                let credentials = lease.issued.clone();
                state.lease = Some(lease);
                state.failures = 0;
                self.pause.end();
                Ok(credentials)
            }
            Err(failure) => {
                let pause = self.issuer.pause_after(&failure, state.failures);
                tracing::error!(
                    issuer = self.issuer.name(),
                    scope = self.issuer.scope(),
                    code = failure.code().as_str(),
                    status = failure.upstream_status(),
                    request_id = failure.upstream().and_then(|answer| answer.request_id.as_deref()),
                    rest_seconds = pause.as_secs(),
                    "no credentials for the upstream"
                );
                state.failures = state.failures.saturating_add(1);
                self.pause.begin(now + pause, &failure);
                Err(failure)
            }
        }
    }
}

impl Issuer {
    /// How long to leave the issuer alone after a failure, which followed others.
    fn pause_after(&self, failure: &Failure, earlier: u32) -> Duration {
        match self {
            _ if failure.code() != ErrorCode::UpstreamUnauthenticated => {
                FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(earlier)).min(LONGEST_PAUSE)
            }
            Self::Iam(_) => login::LOCKOUT,
            Self::Settings(_) | Self::Metadata(_) => PAUSE_WITHOUT_AGENCY,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings",
            Self::Metadata(_) => "metadata",
            Self::Iam(_) => "iam",
        }
    }

    /// The project that the credentials are for.
    fn scope(&self) -> Option<&str> {
        let Self::Iam(login) = self else { return None };
        let (ProjectScope::Id(scope) | ProjectScope::Name(scope)) = &login.target.scope;
        Some(scope)
    }
}

/// Whether the API gateway refused the key, and not the service behind it. Without a code the key counts as
/// refused: further signatures could lock it.
fn refuses_the_key(failure: &Failure) -> bool {
    let Failure::Refused(refusal) = failure else { return false };
    let code = refusal.answer.error_code.as_deref();
    refusal.code == ErrorCode::UpstreamUnauthenticated
        && code.is_none_or(|code| Code::of(code) == Some(Code::Gateway("0301")))
}

fn ended() -> Failure {
    malformed("holds credentials that have ended already: check this machine's clock", 0)
}
