//! Tokens for the gateway itself, from a login with user name and password.
//!
//! The call is `KeystoneCreateUserTokenByPassword`. By default five failed logins within 15 minutes lock
//! the user for 15 minutes (<https://support.huaweicloud.com/intl/en-us/usermanual-iam5/iam_01_1172.html>),
//! whichever project they are for. So a refused password stops the logins of all projects for that long, and
//! no more than [`MOST_LOGINS`] are tried at a time.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Mutex, Semaphore};

use super::super::api_request::below;
use super::super::attempt::{HttpRequest, exchange_within, malformed};
use super::super::http_client::HttpClient;
use super::super::retry::chance;
use super::lease::{Issued, Lease, Pause, refusal};
use super::skew;
use crate::clock::Clock;
use crate::config::{IamLogin, LoginTarget, ProjectScope};
use crate::domain::{Failure, Secret};

/// How long no login is tried after a refusal: as long as a user would be locked.
pub(crate) const REST: Duration = Duration::from_mins(15);
/// Accounts can be set to lock after three failed logins. With two, one dead IAM does not hold up another.
pub(crate) const MOST_LOGINS: usize = 2;
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// A token is renewed when less than this share of its lifetime is left.
const RENEW_AHEAD: u32 = 10;
/// The most bytes of a response.
const LARGEST_ANSWER: usize = 256 * 1024;

/// Logs in for one project.
pub(crate) struct Login {
    pub(crate) user: IamLogin,
    pub(crate) target: LoginTarget,
    pub(crate) iam: Arc<Iam>,
    /// Shared by the logins of all projects, as is the account.
    pub(crate) lockout: Arc<Pause>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) timeout: Duration,
    pub(crate) clock: Clock,
}

/// One address of IAM.
pub(crate) struct Iam {
    pub(crate) http: HttpClient,
    /// Held by a login: the other projects wait, in case it is refused.
    pub(crate) turn: Mutex<()>,
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: String,
}

impl Login {
    /// Makes a login, unless the password was refused shortly before.
    pub(crate) async fn issue(&self) -> Result<Lease, Failure> {
        let Self { iam, lockout, permits, clock, .. } = self;
        let _turn = iam.turn.lock().await;
        let _permit = permits.acquire().await;
        lockout.check(clock.now())?;
        let outcome = self.log_in().await;
        if let Err(failure) = &outcome
            && failure.upstream_status() == Some(401)
        {
            // Only this counts towards the lock; other refusals are about the project.
            lockout.begin(clock.now() + REST, failure);
        }
        outcome
    }

    async fn log_in(&self) -> Result<Lease, Failure> {
        let http = &self.iam.http;
        let answer = exchange_within(http, &self.request(), self.timeout, LARGEST_ANSWER).await?;
        let (status, headers) = (answer.status, answer.headers);
        if status == 401 {
            skew::report(&headers, self.clock.timestamp());
        }
        if !(200..300).contains(&status) {
            return Err(refusal(status, &headers));
        }
        let token = headers.get(SUBJECT_TOKEN).and_then(|value| value.to_str().ok());
        let token = token.ok_or_else(|| malformed("has no X-Subject-Token", status))?;
        let body: Option<Body> = serde_json::from_slice(&answer.body).ok();
        let ends = body.and_then(|body| body.token.expires_at.parse().ok());
        let ends = ends.ok_or_else(|| malformed("does not say when the token ends", status))?;
        // Gateways that were started together do not renew together.
        let jitter = 0.75 + 0.25 * chance();
        let ahead = |life: Duration| (life / RENEW_AHEAD).mul_f64(jitter);
        Ok(Lease::until(ends, Issued::Token(Secret::new(token)), &self.clock, ahead))
    }

    fn request(&self) -> HttpRequest {
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
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
        HttpRequest { method: Method::POST, url, headers, body: body.to_string().into() }
    }
}
