//! The gateway's own credentials: fetched once for all callers, renewed ahead, and used until their end.
//!
//! Valid credentials are returned at once, and renewed in the background when their end is near.
//! Otherwise all callers wait for one shared future. After a failure the issuer is left alone for a while:
//! a refused login could lock the account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::lease::{Issued, Lease, Pause};
use super::login::{self, Login};
use super::metadata::MetadataKeys;
use crate::clock::Clock;
use crate::config::{AccessKey, ProjectScope};
use crate::domain::{ErrorCode, Failure, Secret};

/// The pause after a first transient failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause after the metadata service has said that the server has no agency.
const PAUSE_WITHOUT_AGENCY: Duration = Duration::from_mins(5);
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

/// Numbers leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// Credentials and the generation of their lease.
type Held = (Issued, Generation);
type Renewal = BoxFuture<'static, Result<Held, Failure>>;

/// The credentials of one issuer, shared by all calls.
pub(crate) struct Refresher {
    pub(crate) issuer: Issuer,
    /// After a refusal that could lock the key or the account; shared by all that it would lock out.
    pub(crate) lockout: Arc<Pause>,
    /// After a failure to issue these credentials.
    pause: Pause,
    state: Mutex<State>,
    tasks: TaskTracker,
    pub(crate) clock: Clock,
}

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    /// The earlier credentials, which calls in flight may still carry.
    previous: Option<Issued>,
    generation: u64,
    under_way: Option<WeakShared<Renewal>>,
    /// When credentials were last dropped before their end.
    forgotten: Option<Instant>,
    failures: u32,
}

impl Refresher {
    /// `known` are the credentials of the settings before, for the same user and project.
    pub(crate) fn new(
        issuer: Issuer,
        lockout: Arc<Pause>,
        known: Option<&Self>,
        clock: Clock,
    ) -> Self {
        let lease = known.and_then(|known| known.state.lock().lease.clone());
        let state = Mutex::new(State { lease, ..State::default() });
        Self { issuer, lockout, pause: Pause::default(), state, tasks: TaskTracker::new(), clock }
    }

    /// The current credentials, after a renewal if need be.
    pub(crate) async fn get(self: &Arc<Self>) -> Result<Held, Failure> {
        let now = self.clock.now();
        // A refused key must not be used. A token is used to its end, even if a login was refused since.
        if !matches!(self.issuer, Issuer::Iam(_)) {
            self.lockout.check(now)?;
        }
        let renewal = {
            let mut state = self.state.lock();
            if let Some(lease) = state.lease.as_ref().filter(|lease| now < lease.ends_at) {
                let valid = (lease.issued.clone(), Generation(state.generation));
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

    /// Drops credentials that were refused, unless they have been renewed since, or others were dropped
    /// shortly before: new ones would not help either.
    pub(crate) fn forget(&self, refused: Generation) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let is_soon = state.forgotten.is_some_and(|last| now < last + BETWEEN_FORGETTING);
        if state.generation == refused.0 && !is_soon {
            state.replace(None);
            state.forgotten = Some(now);
        }
    }

    /// The parts of all credentials that calls may carry, and the password.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let password = match &self.issuer {
            Issuer::Iam(login) => Some(login.user.password.clone()),
            Issuer::Settings(_) | Issuer::Metadata(_) => None,
        };
        let state = self.state.lock();
        let current = state.lease.as_ref().map(|lease| &lease.issued);
        let issued = current.into_iter().chain(&state.previous).flat_map(Issued::secrets);
        issued.chain(password).collect()
    }

    /// Why there are no credentials now.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        let now = self.clock.now();
        let is_locked = self.lockout.check(now).is_err();
        let lease = self.state.lock().lease.as_ref().map(|lease| lease.ends_at);
        let has_failed = lease.is_none_or(|end| now >= end) && self.may_renew(now).is_err();
        match &self.issuer {
            Issuer::Settings(_) => is_locked.then_some("the upstream refused the access key"),
            Issuer::Metadata(_) if is_locked => Some("the upstream refused the temporary key"),
            Issuer::Metadata(_) => {
                has_failed.then_some("the metadata service gives no temporary key")
            }
            Issuer::Iam(_) => has_failed.then_some("the gateway cannot log in for a token"),
        }
    }

    fn may_renew(&self, now: Instant) -> Result<(), Failure> {
        self.pause.check(now)?;
        self.lockout.check(now)
    }

    /// Joins or starts the renewal. A task drives it to its end: if it were dropped with its callers, a
    /// refused login would go unnoticed and be repeated.
    fn renewal(self: &Arc<Self>, state: &mut State) -> Shared<Renewal> {
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

    async fn renew(&self) -> Result<Held, Failure> {
        let issued = self.issuer.issue(&self.clock).await;
        let now = self.clock.now();
        let issued =
            issued.and_then(|lease| (now < lease.ends_at).then_some(lease).ok_or_else(ended));
        let mut state = self.state.lock();
        state.under_way = None;
        match issued {
            Ok(mut lease) => {
                // An issuer may return the same credentials until shortly before their end.
                lease.renew_at = lease.renew_at.max(now + BETWEEN_RENEWALS);
                self.issuer.log_success();
                let issued = lease.issued.clone();
                state.replace(Some(lease));
                state.generation += 1;
                state.failures = 0;
                self.pause.end();
                Ok((issued, Generation(state.generation)))
            }
            Err(failure) => {
                let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(state.failures));
                let pause = self.issuer.pause_after(&failure);
                let pause = pause.unwrap_or(doubled.min(LONGEST_PAUSE));
                self.issuer.log_failure(&failure, pause);
                state.failures = state.failures.saturating_add(1);
                self.pause.begin(now + pause, &failure);
                Err(failure)
            }
        }
    }
}

impl State {
    fn replace(&mut self, lease: Option<Lease>) {
        if let Some(old) = std::mem::replace(&mut self.lease, lease) {
            self.previous = Some(old.issued);
        }
    }
}

impl Issuer {
    async fn issue(&self, clock: &Clock) -> Result<Lease, Failure> {
        match self {
            Self::Settings(key) => Ok(Lease::forever(key.clone(), clock)),
            Self::Metadata(keys) => keys.issue().await,
            Self::Iam(login) => login.issue().await,
        }
    }

    /// How long to leave the issuer alone after a refusal; `None` for transient failures.
    fn pause_after(&self, failure: &Failure) -> Option<Duration> {
        let pause = if matches!(self, Self::Iam(_)) { login::REST } else { PAUSE_WITHOUT_AGENCY };
        (failure.code() == ErrorCode::UpstreamUnauthenticated).then_some(pause)
    }

    fn log_success(&self) {
        if !matches!(self, Self::Settings(_)) {
            let (issuer, scope) = (self.name(), self.scope());
            tracing::info!(issuer, scope, "new credentials for the upstream");
        }
    }

    fn log_failure(&self, failure: &Failure, pause: Duration) {
        tracing::error!(
            issuer = self.name(),
            scope = self.scope(),
            code = failure.code().as_str(),
            status = failure.upstream_status(),
            request_id = failure.upstream().and_then(|answer| answer.request_id.as_deref()),
            rest_seconds = pause.as_secs(),
            "no credentials for the upstream"
        );
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

fn ended() -> Failure {
    let problem =
        "holds credentials that have ended already: check this machine's clock".to_owned();
    Failure::Malformed { problem, answer: Arc::default() }
}
