//! Calls of the upstream for one project: permits, circuit breaker, attempts and time limits.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::Request;
use tokio::time::{Instant, sleep, timeout_at};
use tower::retry::budget::Budget as _;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::attempt::{ExchangeLimits, HttpResponse, exchange, malformed};
use super::client::{Region, Route, Upstream, host};
use super::credentials::Issued;
use super::error_mapping::{self, Whose};
use super::http_client::below;
use super::metrics::reason;
use super::retry::{self, Judgement, RetryClass, chance};
use super::wire::Unlike;
use crate::config::Target;
use crate::domain::{Failure, ProjectId, TimeLimit, Token};
use crate::fair_semaphore::Requester;
use crate::signature::SignableRequest;
use crate::spans::{TARGET, context_of, fail, inject};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long an operation without a call in progress waits for a permit.
const LONGEST_WITHOUT_PERMIT: Duration = Duration::from_millis(500);

/// A client for the recordings of one project. It keeps its region and credentials when the settings
/// change.
#[derive(Clone)]
pub struct ProjectClient {
    pub(super) project: ProjectId,
    pub(super) route: Arc<Route>,
}

/// The request of a caller for which a call is made.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Who takes the permit. A load that several requests share is made for the first.
    pub requester: Requester,
    /// The caller's token.
    pub token: Option<Token>,
    /// Sent as `X-Request-Id`.
    pub request_id: Arc<str>,
    /// How much of the deadline has passed already.
    pub waited: Duration,
}

/// A request of the upstream's API, before credentials are added.
pub(super) struct ApiRequest {
    pub(super) method: Method,
    pub(super) path: String,
    /// The path without ids, for traces.
    pub(super) template: &'static str,
    /// As it is signed and sent; empty for none.
    pub(super) query: String,
    /// JSON; empty for none.
    pub(super) body: Bytes,
}

/// An attempt at a request.
struct Attempt<'c> {
    call: &'c Call,
    request: &'c ApiRequest,
    deadline: Instant,
    /// Attempts before this one.
    earlier: u32,
    credentials: Issued,
}

impl Upstream {
    /// A client for a project.
    ///
    /// # Errors
    /// [`Failure::ProjectNotAllowed`] if the settings do not say where the project is.
    pub fn project(&self, project: &ProjectId) -> Result<ProjectClient, Failure> {
        let routes = self.0.load();
        let route = routes.of(project).ok_or(Failure::ProjectNotAllowed)?;
        Ok(ProjectClient { project: project.clone(), route: Arc::clone(route) })
    }
}

impl ProjectClient {
    /// Distinguishes targets with other recordings, in keys of the shared cache.
    pub fn tag(&self) -> &Arc<str> {
        &self.route.tag
    }

    /// Makes a call, with retries, within its deadline, and reads the body of the success.
    pub(super) async fn send<T>(
        &self,
        call: &Call,
        request: &ApiRequest,
        read: impl FnOnce(&[u8]) -> Result<T, Unlike>,
    ) -> Result<T, Failure> {
        let left = self.route.limits.deadline.saturating_sub(call.waited);
        let deadline = Instant::now() + left;
        self.route.region.budget.deposit();
        // Pinned here, since it is large and a timeout moves what it wraps.
        let attempts = pin!(self.attempts(call, request, deadline));
        let within = timeout_at(deadline, attempts).await;
        let (response, credentials) =
            within.unwrap_or(Err(Failure::TimedOut(TimeLimit::Deadline)))?;
        read(&response.body).map_err(|unlike| match unlike {
            Unlike::Error => self.refusal(call, &response, &credentials),
            Unlike::Malformed(problem) => malformed(problem, response.status),
        })
    }

    /// Makes attempts until one succeeds, and returns its response and the credentials it was made with.
    async fn attempts(
        &self,
        call: &Call,
        request: &ApiRequest,
        deadline: Instant,
    ) -> Result<(HttpResponse, Issued), Failure> {
        let Route { region, credentials, limits, .. } = &*self.route;
        let Region { label, budget, metrics, .. } = &**region;
        let mut failed = 0;
        let mut renewed = false;
        let mut most = limits.max_attempts.get();
        loop {
            // Credentials have their own pauses after a failure, so it is not retried here.
            let issued = match credentials {
                Some(own) => own.get().await?,
                None => Issued::Token(call.token.clone().ok_or(Failure::TokenMissing)?),
            };
            let earlier = failed + u32::from(renewed);
            let attempt = Attempt { call, request, deadline, earlier, credentials: issued };
            let signed = self.http_request(&attempt)?;
            let failure = match self.admitted_attempt(&attempt, signed).await {
                Ok(response) => return Ok((response, attempt.credentials)),
                Err(failure) => failure,
            };
            if !renewed && credentials.as_ref().is_some_and(|own| own.may_be_renewed(&failure)) {
                renewed = true;
                continue;
            }
            failed += 1;
            match Judgement::of(&failure).retry {
                RetryClass::Often => {}
                // The next failure of any kind is the last.
                RetryClass::Once => most = most.min(failed + 1),
                RetryClass::Never => return Err(failure),
            }
            let wait = retry::wait(failed, failure.retry_after(), chance());
            if failed >= most || Instant::now() + wait >= deadline {
                return Err(failure);
            }
            if !budget.withdraw() {
                metrics.retries_over_budget.inc();
                return Err(failure);
            }
            tracing::debug!(
                request.id = &*call.request_id,
                region = &**label,
                code = failure.code().as_str(),
                upstream.status = failure.upstream_status(),
                attempt = failed,
                wait_ms = wait.as_millis(),
                "another attempt follows"
            );
            metrics.retries.inc();
            sleep(wait).await;
        }
    }

    /// The HTTP request of an attempt, signed now.
    fn http_request(&self, attempt: &Attempt<'_>) -> Result<Request, Failure> {
        let Route { region, project, clock, .. } = &*self.route;
        let Attempt { call, request: ApiRequest { method, path, query, body, .. }, .. } = attempt;
        // Path and query consist of checked ids and encoded values, so they are sent as they are signed.
        let mut url = below(&region.base, path);
        if !query.is_empty() {
            url.set_query(Some(query));
        }
        // With room for what reqwest adds.
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(ACCEPT, JSON);
        if let Ok(id) = HeaderValue::from_str(&call.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        let (method_name, host) = (method.as_str(), [("host", host(&url))]);
        let signable =
            SignableRequest { method: method_name, path: url.path(), query, headers: &host, body };
        let now = clock.timestamp();
        attempt.credentials.authorize(&mut headers, project.as_ref(), now, &signable)?;
        let mut request = Request::new(method.clone(), url);
        *request.headers_mut() = headers;
        if !body.is_empty() {
            *request.body_mut() = Some(body.clone().into());
        }
        Ok(request)
    }

    /// Makes an attempt, once it has a permit and the circuit breaker admits it.
    async fn admitted_attempt(
        &self,
        attempt: &Attempt<'_>,
        signed: Request,
    ) -> Result<HttpResponse, Failure> {
        let Route { region, limits, .. } = &*self.route;
        let Region { breaker, permits, metrics, .. } = &**region;
        let count = |_: &Failure| {
            metrics.breaker_refused.inc();
        };
        // Checked before it queues too: calls that wait for a dead upstream may hold all permits.
        breaker.check().inspect_err(count)?;
        let permit = permits.acquire(attempt.call.requester, LONGEST_WITHOUT_PERMIT).await;
        let Some(_permit) = permit else {
            metrics.shed.inc();
            return Err(Failure::Overloaded);
        };
        // Impatient callers must not hide a dead upstream: a call counts as failed after half its time.
        let patience = limits.attempt_timeout / 2;
        let guard = breaker.admit(patience).inspect_err(count)?;
        let outcome = self.attempt(attempt, signed).await;
        guard.record(outcome.as_ref().is_err_and(|failure| Judgement::of(failure).is_outage));
        outcome
    }

    /// Makes an attempt, timed and counted.
    async fn attempt(
        &self,
        attempt: &Attempt<'_>,
        signed: Request,
    ) -> Result<HttpResponse, Failure> {
        let Route { region, limits, clock, .. } = &*self.route;
        let Region { http, metrics, .. } = &**region;
        let span = AttemptSpan::start(attempt, &self.route.target);
        let trace = context_of(&span.span);
        let traced = |mut request: Request| {
            inject(&trace, request.headers_mut());
            request
        };
        let again = || self.http_request(attempt).map(traced);
        let started = clock.now();
        let limits = ExchangeLimits {
            timeout: limits.attempt_timeout,
            deadline: attempt.deadline,
            max_body_bytes: limits.max_body_bytes,
        };
        let response = exchange(http, traced(signed), again, limits, &metrics.resends).await;
        let took = clock.now().saturating_duration_since(started);
        let outcome = response.as_ref().map(|response| response.status);
        metrics.count_attempt(outcome, took);
        span.end(outcome);
        let response = response?;
        if (200..300).contains(&response.status) {
            return Ok(response);
        }
        Err(self.refusal(attempt.call, &response, &attempt.credentials))
    }

    fn refusal(&self, call: &Call, response: &HttpResponse, used: &Issued) -> Failure {
        let Route { region, credentials, clock, .. } = &*self.route;
        let whose = if credentials.is_some() { Whose::Gateway } else { Whose::Caller };
        let mut secrets = used.secrets();
        secrets.extend(credentials.as_ref().and_then(|own| own.password()));
        let mut refusal = error_mapping::read(response, whose, &secrets, clock.timestamp());
        let Some(own) = credentials else { return Failure::Refused(Arc::new(refusal)) };
        // The reason of a denial of the gateway's own credentials is no business of the caller's.
        if let Some(encoded) = refusal.answer.encoded_authorization_message.take() {
            tracing::warn!(
                request.id = &*call.request_id,
                region = &*region.label,
                encoded_authorization_message = encoded,
                "the gateway's own credentials were denied"
            );
        }
        let failure = Failure::Refused(Arc::new(refusal));
        own.note_failure(&failure, &response.headers, used);
        failure
    }
}

/// The span of an attempt in progress, with the attributes of OpenTelemetry's conventions for HTTP clients.
/// Addresses appear as templates, so that no span names a project or a record. Dropping it marks the attempt
/// as abandoned: its callers have left, or its time was up.
struct AttemptSpan {
    span: Span,
    has_ended: bool,
}

impl AttemptSpan {
    fn start(attempt: &Attempt<'_>, target: &Target) -> Self {
        let Attempt { request: ApiRequest { method, template, .. }, earlier, .. } = attempt;
        let Target { endpoint, region, .. } = target;
        let span = info_span!(
            target: TARGET,
            "attempt",
            otel.name = format!("{method} {template}"),
            otel.kind = "client",
            http.request.method = method.as_str(),
            url.scheme = endpoint.scheme(),
            url.template = *template,
            cloud.region = region.as_deref(),
            server.address = endpoint.host_str(),
            server.port = endpoint.port_or_known_default().map(i64::from),
            http.request.resend_count = (*earlier > 0).then(|| i64::from(*earlier)),
        );
        Self { span, has_ended: false }
    }

    /// Records the outcome of the attempt.
    fn end(mut self, outcome: Result<u16, &Failure>) {
        self.has_ended = true;
        match outcome {
            Ok(status) => {
                self.span.set_attribute("http.response.status_code", i64::from(status));
                if status >= 400 {
                    fail(&self.span, &status.to_string());
                }
            }
            Err(failure) => fail(&self.span, reason(failure.code())),
        }
    }
}

impl Drop for AttemptSpan {
    fn drop(&mut self) {
        if !self.has_ended {
            fail(&self.span, "abandoned");
        }
    }
}
