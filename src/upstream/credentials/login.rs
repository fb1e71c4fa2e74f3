//! Tokens for the gateway itself, from a login with user name and password.
//!
//! The call is `KeystoneCreateUserTokenByPassword`. By default five failed logins within 15 minutes lock
//! the user for 15 minutes (<https://support.huaweicloud.com/intl/en-us/usermanual-iam5/iam_01_1172.html>),
//! whichever project they are for. So a refused password stops the logins of all projects for that long, and
//! no more than [`MOST_LOGINS`] are tried at a time.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::Request;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};

use super::lease::{Issued, Lease, Pause, refusal, report_clock_skew};
use crate::clock::Clock;
use crate::config::{IamLogin, LoginTarget, ProjectScope};
use crate::domain::{Failure, Secret};
use crate::upstream::attempt::{exchange_within, malformed};
use crate::upstream::http_client::{HttpClient, below};
use crate::upstream::retry::chance;

/// How long no login is tried after a refusal: as long as a user would be locked.
pub(crate) const LOCKOUT: Duration = Duration::from_mins(15);
/// Accounts can be set to lock after three failed logins. With two, one dead IAM does not hold up another.
const MOST_LOGINS: usize = 2;
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// A token is renewed when less than this share of its lifetime is left.
const RENEW_AHEAD: u32 = 10;
/// The most bytes of a response.
const LARGEST_ANSWER: usize = 256 * 1024;

/// Logs in for one project.
pub(crate) struct Login {
    pub(crate) user: IamLogin,
    pub(crate) target: LoginTarget,
    pub(crate) iam: Arc<IamEndpoint>,
    pub(crate) account: Arc<Account>,
    pub(crate) timeout: Duration,
    pub(crate) clock: Clock,
}

/// What an account or an access key allows, whichever project it is used for.
pub(crate) struct Account {
    /// After a refusal that could lock it.
    pub(crate) lockout: Pause,
    logins: Semaphore,
}

impl Default for Account {
    fn default() -> Self {
        Self { lockout: Pause::default(), logins: Semaphore::new(MOST_LOGINS) }
    }
}

/// One address of IAM.
pub(crate) struct IamEndpoint {
    pub(crate) http: HttpClient,
    /// Held by a login: the other projects wait, in case it is refused.
    pub(crate) turn: Mutex<()>,
}

impl Login {
    /// Makes a login, unless the password was refused shortly before.
    pub(crate) async fn issue(&self) -> Result<Lease, Failure> {
        let Account { lockout, logins } = &*self.account;
        let _turn = self.iam.turn.lock().await;
        let _permit = logins.acquire().await;
        lockout.check(self.clock.now())?;
        let outcome = self.log_in().await;
        if let Err(failure) = &outcome
            && failure.upstream_status() == Some(401)
        {
            // Only this counts towards the lock; other refusals are about the project.
            lockout.begin(self.clock.now() + LOCKOUT, failure);
        }
        outcome
    }

    async fn log_in(&self) -> Result<Lease, Failure> {
        let http = &self.iam.http;
        let answer = exchange_within(http, || self.request(), self.timeout, LARGEST_ANSWER).await?;
        let (status, headers) = (answer.status, answer.headers);
        if status == 401 {
            report_clock_skew(&headers, self.clock.timestamp());
        }
        if !(200..300).contains(&status) {
            return Err(refusal(status, &headers));
        }
        let token = headers.get(SUBJECT_TOKEN).and_then(|value| value.to_str().ok());
        let token = token.ok_or_else(|| malformed("has no X-Subject-Token", status))?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let ends = body.pointer("/token/expires_at").and_then(|ends| ends.as_str()?.parse().ok());
        let ends = ends.ok_or_else(|| malformed("does not say when the token ends", status))?;
        // Gateways that were started together do not renew together.
        let jitter = 0.75 + 0.25 * chance();
        let ahead = |life: Duration| (life / RENEW_AHEAD).mul_f64(jitter);
        Ok(Lease::until(ends, Issued::Token(Secret::new(token)), &self.clock, ahead))
    }

    fn request(&self) -> Request {
        let IamLogin { user, password, domain, .. } = &self.user;
        let mut url = below(&self.target.endpoint, "/v3/auth/tokens");
        url.set_query(Some("nocatalog=true"));
        let project = match &self.target.scope {
            ProjectScope::Id(id) => json!({ "id": id }),
            ProjectScope::Name(name) => json!({ "name": name }),
        };
        let user = json!({
            "name": user, "password": password.expose(), "domain": { "name": domain },
        });
        let body = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": user } },
            "scope": { "project": project },
        } });
        let mut request = Request::new(Method::POST, url);
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        *request.body_mut() = Some(body.to_string().into());
        request
    }
}
