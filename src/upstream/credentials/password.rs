//! Tokens for the gateway itself, from a login with user name and password.
//!
//! The call is `KeystoneCreateUserTokenByPassword`. By default five failed logins within 15 minutes lock
//! the user for 15 minutes (<https://support.huaweicloud.com/intl/en-us/usermanual-iam5/iam_01_1172.html>),
//! so a refused login is not repeated for that long. Each project has a login of its own.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use url::Url;

use super::super::attempt::{HttpRequest, exchange_within, malformed};
use super::super::http_client::HttpClient;
use super::super::retry::chance;
use super::account::{Account, REST};
use super::skew;
use super::token_refresher::{Issuer, Lease};
use crate::clock::Clock;
use crate::config::{IamLogin, Live, LoginTarget, ProjectScope};
use crate::domain::{
    Failure, FailureCode, Refusal, RefusalKind, Secret, Unreachable, UpstreamAnswer,
};

/// IAM's id of a request.
const TRACE_ID: HeaderName = HeaderName::from_static("x-iam-trace-id");
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// A token is renewed when less than this share of its lifetime is left.
const RENEW_AHEAD: u32 = 10;
/// The most bytes of a response.
const LARGEST_ANSWER: usize = 256 * 1024;

/// Logs in for one project.
pub(crate) struct PasswordLogin {
    account: Arc<Account>,
    terms: Live<Terms>,
    /// The earlier password, which a response in flight may repeat.
    previous: Live<Option<Secret>>,
    clock: Clock,
}

/// Who logs in, where, and within what time.
pub(crate) struct Terms {
    pub(crate) login: IamLogin,
    pub(crate) target: LoginTarget,
    pub(crate) iam: IamClient,
    pub(crate) timeout: Duration,
}

/// A client for one address of IAM, which the logins of all its projects share.
#[derive(Clone)]
pub(crate) struct IamClient {
    pub(crate) http: HttpClient,
    /// Held by a login: the other projects wait, in case it is refused.
    pub(crate) turn: Arc<Mutex<()>>,
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: String,
}

impl PasswordLogin {
    pub(crate) fn new(account: Arc<Account>, terms: Terms, clock: Clock) -> Self {
        Self { account, terms: Live::new(terms), previous: Live::new(None), clock }
    }

    pub(crate) fn terms(&self) -> Arc<Terms> {
        self.terms.get()
    }

    /// Changes the terms. Returns whether the password has changed.
    pub(crate) fn change(&self, terms: Terms) -> bool {
        let old = self.terms.get().login.password.clone();
        let is_other = old != terms.login.password;
        if is_other {
            self.previous.set(Some(old));
        }
        self.terms.set(terms);
        is_other
    }

    /// The passwords that no text may show.
    pub(crate) fn passwords(&self) -> Vec<Secret> {
        let previous = self.previous.load();
        let current = self.terms.load().login.password.clone();
        Option::as_ref(&previous).cloned().into_iter().chain([current]).collect()
    }

    fn request(terms: &Terms) -> Result<HttpRequest, Failure> {
        let IamLogin { user, password, domain } = &terms.login;
        let LoginTarget { endpoint, scope } = &terms.target;
        let base = endpoint.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}/v3/auth/tokens?nocatalog=true"))
            .map_err(|_| Failure::Unreachable(Unreachable::Connect))?;
        let project = match scope {
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
        let body = body.to_string().into();
        Ok(HttpRequest { method: Method::POST, url, headers, body })
    }

    async fn log_in(&self, terms: &Terms) -> Result<Lease<Secret>, Failure> {
        let request = Self::request(terms)?;
        let (http, timeout) = (&terms.iam.http, &terms.timeout);
        let answer = exchange_within(http, &request, *timeout, LARGEST_ANSWER).await?;
        let (status, headers) = (answer.status, answer.headers);
        if !(200..300).contains(&status) {
            return Err(self.refusal(status, &headers));
        }
        let token = headers.get(SUBJECT_TOKEN).and_then(|value| value.to_str().ok());
        let token = token.ok_or_else(|| malformed("has no X-Subject-Token", status))?;
        let body: Option<Body> = serde_json::from_slice(&answer.body).ok();
        let ends = body.and_then(|body| body.token.expires_at.parse().ok());
        let ends = ends.ok_or_else(|| malformed("does not say when the token ends", status))?;
        // Gateways that were started together do not renew together.
        let jitter = 0.75 + 0.25 * chance();
        let ahead = |life: Duration| (life / RENEW_AHEAD).mul_f64(jitter);
        Ok(Lease::until(ends, Secret::new(token), &self.clock, ahead))
    }

    /// The meaning of a refusal, by its status alone. IAM's texts may repeat the password, so they are
    /// neither logged nor passed on; the id of the request is enough for support.
    fn refusal(&self, status: u16, headers: &HeaderMap) -> Failure {
        if status == 401 {
            skew::report(headers, self.clock.timestamp());
        }
        let (kind, retryable) = match status {
            429 => (RefusalKind::Throttled, true),
            408 | 504 => (RefusalKind::TimedOut, true),
            503 => (RefusalKind::OutOfService, true),
            400..500 => (RefusalKind::GatewayUnauthenticated, false),
            _ => (RefusalKind::Broken, status >= 500),
        };
        let request_id = headers.get(TRACE_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let answer = UpstreamAnswer { status, request_id, ..UpstreamAnswer::default() };
        Failure::Refused(Refusal { kind, retryable, retry_after: None, answer }.into())
    }
}

impl Issuer for PasswordLogin {
    type Issued = Secret;

    const NAME: &'static str = "iam";

    async fn issue(&self) -> Result<Lease<Secret>, Failure> {
        let terms = self.terms.get();
        let _turn = terms.iam.turn.lock().await;
        self.account.log_in(&terms.login.password, self.log_in(&terms)).await
    }

    fn scope(&self) -> Option<String> {
        let (ProjectScope::Id(scope) | ProjectScope::Name(scope)) = &self.terms.load().target.scope;
        Some(scope.clone())
    }

    fn is_stopped(&self) -> bool {
        self.account.check(&self.terms.load().login.password).is_err()
    }

    fn rest_after(&self, failure: &Failure) -> Option<Duration> {
        let is_refusal = failure.code() == FailureCode::UpstreamUnauthenticated;
        self.account.rest_after(failure).or(is_refusal.then_some(REST))
    }
}
