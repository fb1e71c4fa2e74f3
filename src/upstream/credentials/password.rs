//! Tokens of the gateway's own, from a login with user name and password.
//!
//! The call is `KeystoneCreateUserTokenByPassword`. By default five failed logins within 15 minutes lock
//! the user for 15 minutes (<https://support.huaweicloud.com/intl/en-us/usermanual-iam5/iam_01_1172.html>),
//! so a refused login is not repeated for that long.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::super::attempt::{ExchangeLimits, HttpRequest, exchange, malformed};
use super::super::http_client::HttpClient;
use super::super::retry::chance;
use super::skew;
use super::token_refresher::{Issuer, Lease};
use crate::clock::Clock;
use crate::config::{IamLogin, Live, ProjectScope, UpstreamConfig};
use crate::domain::{
    Failure, FailureCode, Refusal, RefusalKind, Secret, TimeLimit, Unreachable, UpstreamAnswer,
};

/// IAM's id of a request.
const TRACE_ID: HeaderName = HeaderName::from_static("x-iam-trace-id");
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// How long nobody logs in after a refusal: as long as a user would be locked.
const REST: Duration = Duration::from_mins(15);
/// A token is renewed when less than this share of its life is left.
const RENEW_AHEAD: u32 = 10;
/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 256 * 1024;

/// Logs in.
pub(crate) struct PasswordLogin {
    terms: Live<Terms>,
    /// What was sent before that, which an answer under way may repeat.
    previous: Live<Option<Secret>>,
    clock: Clock,
}

/// As whom to log in, where, and how long that may take.
pub(crate) struct Terms {
    pub(crate) login: IamLogin,
    http: HttpClient,
    timeout: Duration,
}

impl Terms {
    pub(crate) fn new(login: &IamLogin, config: &UpstreamConfig) -> Result<Self, reqwest::Error> {
        let http = HttpClient::new(&login.endpoint, config)?;
        Ok(Self { login: login.clone(), http, timeout: config.attempt_timeout })
    }
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
    pub(crate) fn new(terms: Terms, clock: Clock) -> Self {
        Self { terms: Live::new(terms), previous: Live::new(None), clock }
    }

    pub(crate) fn terms(&self) -> Arc<Terms> {
        self.terms.get()
    }

    /// Logs in on other terms from now on. Whether the password is another one.
    pub(crate) fn change(&self, terms: Terms) -> bool {
        let old = self.terms.get().login.password.clone();
        let is_other = old != terms.login.password;
        if is_other {
            self.previous.set(Some(old));
        }
        self.terms.set(terms);
        is_other
    }

    /// What must not stand in any text.
    pub(crate) fn passwords(&self) -> Vec<Secret> {
        let previous = self.previous.load();
        let current = self.terms.load().login.password.clone();
        Option::as_ref(&previous).cloned().into_iter().chain([current]).collect()
    }

    fn request(login: &IamLogin) -> Result<HttpRequest, Failure> {
        let IamLogin { endpoint, user, password, domain, scope } = login;
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

    async fn log_in(
        &self,
        terms: &Terms,
        limits: ExchangeLimits,
    ) -> Result<Lease<Secret>, Failure> {
        let request = Self::request(&terms.login)?;
        let answer = exchange(&terms.http, &request, limits, || {}).await?;
        let (status, headers) = (answer.status, answer.headers);
        if !(200..300).contains(&status) {
            return Err(self.refusal(status, &headers));
        }
        let token = headers.get(SUBJECT_TOKEN).and_then(|value| value.to_str().ok());
        let token = token.ok_or_else(|| malformed("has no X-Subject-Token", status))?;
        let body: Option<Body> = serde_json::from_slice(&answer.body).ok();
        let ends = body.and_then(|body| body.token.expires_at.parse().ok());
        let ends = ends.ok_or_else(|| malformed("does not say when the token ends", status))?;
        Ok(self.lease(Secret::new(token), ends))
    }

    fn lease(&self, token: Secret, ends: Timestamp) -> Lease<Secret> {
        let now = self.clock.now();
        let left = ends.duration_since(self.clock.timestamp()).max(SignedDuration::ZERO);
        let life = left.unsigned_abs();
        // Gateways that were started together do not renew together.
        let ahead = life / RENEW_AHEAD;
        let ahead = ahead.mul_f64(0.75 + 0.25 * chance());
        Lease { value: token, renew_at: now + life.saturating_sub(ahead), ends_at: now + life }
    }

    /// What a refusal means by its status alone. IAM's texts may repeat what was sent, so neither log
    /// nor caller sees them; the id of the request is enough for support.
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
        let timeout = terms.timeout;
        let deadline = Instant::now() + timeout;
        let limits = ExchangeLimits { timeout, deadline, max_body_bytes: LARGEST_ANSWER };
        let login = timeout_at(deadline, self.log_in(&terms, limits)).await;
        login.unwrap_or(Err(Failure::TimedOut(TimeLimit::Attempt)))
    }

    fn rest_after(failure: &Failure) -> Option<Duration> {
        (failure.code() == FailureCode::UpstreamUnauthenticated).then_some(REST)
    }
}
