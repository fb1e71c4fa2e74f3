//! Calls of the upstream for one project: permits, circuit breaker, attempts and time limits.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, sleep, timeout_at};
use tower::retry::budget::Budget as _;

use super::api_request::{ApiRequest, Call};
use super::attempt::{Answer, ExchangeLimits, HttpRequest, exchange, malformed};
use super::credentials::Generation;
use super::error_mapping::{self, Whose};
use super::region::{Region, RegionState, host};
use super::retry::{self, Judgement, RetryClass, chance};
use super::routes::Route;
use super::spans::AttemptSpan;
use super::wire::Unlike;
use crate::domain::{Failure, ProjectId, Secret, TimeLimit};
use crate::signature::SignableRequest;

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

/// A request with credentials.
pub(super) struct SignedRequest {
    pub(super) http: HttpRequest,
    /// The generation of the credentials.
    generation: Generation,
    /// The path without ids.
    pub(super) template: &'static str,
    /// Attempts before this one.
    pub(super) earlier_attempts: u32,
}

impl ProjectClient {
    /// Distinguishes targets with other recordings, in keys of the shared cache.
    pub fn tag(&self) -> &Arc<str> {
        &self.route.tag
    }

    /// Makes a call, with retries, within its deadline.
    pub(super) async fn send(&self, call: &Call, request: &ApiRequest) -> Result<Answer, Failure> {
        let left = self.route.limits.deadline.saturating_sub(call.waited);
        let deadline = Instant::now() + left;
        self.route.region.state.budget.deposit();
        // Pinned here, since it is large and a timeout moves what it wraps.
        let attempts = pin!(self.attempts(call, request, deadline));
        timeout_at(deadline, attempts).await.unwrap_or(Err(Failure::TimedOut(TimeLimit::Deadline)))
    }

    async fn attempts(
        &self,
        call: &Call,
        request: &ApiRequest,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let Route { region, credentials, limits, .. } = &*self.route;
        let RegionState { budget, metrics, .. } = &*region.state;
        let mut failed = 0;
        let mut renewed = false;
        let mut most = limits.max_attempts.get();
        loop {
            // Credentials have their own pauses after a failure, so it is not retried here.
            let mut signed = self.sign(call, request).await?;
            signed.earlier_attempts = failed + u32::from(renewed);
            let failure = match self.admitted_attempt(call, signed, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if credentials.may_be_renewed(&failure) && !renewed {
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
                region = &*region.label,
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

    /// One attempt, once it has a permit and the circuit breaker admits it.
    async fn admitted_attempt(
        &self,
        call: &Call,
        request: SignedRequest,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let Route { region, limits, .. } = &*self.route;
        let RegionState { breaker, permits, metrics, .. } = &*region.state;
        let count = |_: &Failure| {
            metrics.breaker_refused.inc();
        };
        // Checked before it queues too: calls that wait for a dead upstream may hold all permits.
        breaker.check().inspect_err(count)?;
        let permit = permits.acquire(call.requester, LONGEST_WITHOUT_PERMIT).await;
        let Some(_permit) = permit else {
            metrics.shed.inc();
            return Err(Failure::Overloaded);
        };
        // Impatient callers must not hide a dead upstream: a call counts as failed after half its time.
        let patience = limits.attempt_timeout / 2;
        let guard = breaker.admit(patience).inspect_err(count)?;
        let answer = self.attempt(call, request, deadline).await;
        guard.record(answer.as_ref().is_err_and(|failure| Judgement::of(failure).is_outage));
        answer
    }

    /// One attempt, timed and counted. A request that the upstream has not processed is sent again within
    /// it.
    async fn attempt(
        &self,
        call: &Call,
        mut request: SignedRequest,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let Route { region, target, limits, clock, .. } = &*self.route;
        let Region { http, state, .. } = &**region;
        let SignedRequest { http: sent, template, earlier_attempts, .. } = &mut request;
        let region_name = target.region.as_deref();
        let span = AttemptSpan::start(sent, template, region_name, *earlier_attempts);
        let started = clock.now();
        let (timeout, max_body_bytes) = (limits.attempt_timeout, limits.max_body_bytes);
        let limits = ExchangeLimits { timeout, deadline, max_body_bytes };
        let count_resend = || {
            state.metrics.resends.inc();
        };
        let answer = exchange(http, &request.http, limits, count_resend).await;
        let took = clock.now().saturating_duration_since(started);
        let outcome = answer.as_ref().map(|answer| answer.status);
        state.metrics.count_attempt(outcome, took);
        span.end(outcome);
        let answer = answer?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(self.refusal(&answer, call, request.generation))
    }

    async fn sign(&self, call: &Call, request: &ApiRequest) -> Result<SignedRequest, Failure> {
        let Route { region, credentials, project, .. } = &*self.route;
        let ApiRequest { method, query, body, template, .. } = request;
        let url = region.url(request);
        let mut headers = HeaderMap::new();
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
        let (token, project) = (call.token.as_ref(), project.as_ref());
        let generation = credentials.authorize(&mut headers, token, project, &signable).await?;
        let http = HttpRequest { method: method.clone(), url, headers, body: body.clone() };
        Ok(SignedRequest { http, generation, template, earlier_attempts: 0 })
    }

    fn refusal(&self, answer: &Answer, call: &Call, used: Generation) -> Failure {
        let Route { region, credentials, clock, .. } = &*self.route;
        let secrets = credentials.secrets(call.token.as_ref());
        let secrets: Vec<&str> = secrets.iter().map(Secret::expose).collect();
        let whose = credentials.whose();
        let mut refusal = error_mapping::read(answer, whose, &secrets, clock.timestamp());
        let denial = &mut refusal.answer.encoded_authorization_message;
        // The reason of a denial of the gateway's own credentials is no business of the caller's.
        if whose == Whose::Gateway
            && let Some(encoded) = denial.take()
        {
            tracing::warn!(
                region = &*region.label,
                encoded_authorization_message = encoded,
                "the gateway's own credentials were denied"
            );
        }
        let failure = Failure::Refused(Arc::new(refusal));
        credentials.note_failure(&failure, &answer.headers, used);
        failure
    }

    /// The content of a success, or the error that it holds instead.
    pub(super) fn judged<T>(
        &self,
        read: Result<T, Unlike>,
        answer: &Answer,
        call: &Call,
    ) -> Result<T, Failure> {
        read.map_err(|unlike| match unlike {
            Unlike::Error => self.refusal(answer, call, Generation::default()),
            Unlike::Malformed(problem) => malformed(problem, answer.status),
        })
    }
}
