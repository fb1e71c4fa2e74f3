//! The account that the gateway logs in with, for all projects.
//!
//! Failed logins lock an account, whichever project they are for. So a refused password stops the logins of
//! all projects, and no more than [`MOST_LOGINS`] are tried at a time: fewer than any account allows to fail.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::domain::{Failure, Secret};

/// How long no login is tried after a refusal: as long as a user would be locked.
pub(crate) const REST: Duration = Duration::from_mins(15);
/// Accounts can be set to lock after three failed logins. With two, one dead IAM does not hold up another.
const MOST_LOGINS: usize = 2;

/// What the logins of all projects share.
pub(crate) struct Account {
    lockout: Mutex<Option<Lockout>>,
    permits: Semaphore,
    clock: Clock,
}

/// No login is tried with this password until then.
struct Lockout {
    password: Secret,
    until: Instant,
    refusal: Failure,
}

impl Account {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { lockout: Mutex::default(), permits: Semaphore::new(MOST_LOGINS), clock }
    }

    /// Makes a login, unless the password was refused shortly before.
    pub(crate) async fn log_in<T>(
        &self,
        password: &Secret,
        login: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let _permit = self.permits.acquire().await;
        self.check(password)?;
        let outcome = login.await;
        if let Err(refusal) = &outcome
            && is_about_the_account(refusal)
        {
            let (password, refusal) = (password.clone(), refusal.clone());
            let until = self.clock.now() + REST;
            *self.lockout.lock() = Some(Lockout { password, until, refusal });
        }
        outcome
    }

    /// Fails with the refusal of a password, as long as no login is tried with it.
    pub(crate) fn check(&self, password: &Secret) -> Result<(), Failure> {
        match &*self.lockout.lock() {
            Some(lockout) if lockout.password == *password && self.clock.now() < lockout.until => {
                Err(lockout.refusal.clone())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How long no login is tried after a failure, if it is about the account.
    pub(crate) fn rest_after(&self, failure: &Failure) -> Option<Duration> {
        let until = self.lockout.lock().as_ref().map(|lockout| lockout.until)?;
        let left = until.saturating_duration_since(self.clock.now());
        is_about_the_account(failure).then_some(left)
    }
}

/// Whether a refusal counts towards the lock of the account. Others are about the project.
fn is_about_the_account(failure: &Failure) -> bool {
    failure.upstream_status() == Some(401)
}
