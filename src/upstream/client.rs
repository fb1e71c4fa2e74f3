//! Calls of the upstream: places, the circuit, attempts and their limits.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use jiff::tz::TimeZone;
use tokio::time::{Instant as Deadline, sleep, timeout_at};
use url::{Position, Url};

use super::attempt::{Answer, ExchangeLimits, HttpRequest, exchange, malformed};
use super::breaker::{Breaker, Circuit, Pass};
use super::credentials::{CallerPart, Credentials, CredentialsChange, Generation, Signable};
use super::diagnostics::{self, Diagnosis};
use super::error_mapping::{self, RawAnswer, ReadAnswer};
use super::http_client::HttpClient;
use super::metrics::UpstreamMetrics;
use super::retry::{self, RetryBudget, RetryClass, chance};
use super::traced::TracedAttempt;
use super::wire;
use crate::clock::Clock;
use crate::config::{Live, UpstreamConfig};
use crate::domain::{Failure, ProjectId, RecordId, TimeLimit, Token};
use crate::fair_semaphore::{FairSemaphore, Permit, Requester};
use crate::signature::canonical_query;
use crate::trace::Trace;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A call that waits for a permit is shed once its operation has no call in progress and got no permit for
/// so long.
const LONGEST_WITHOUT_PERMIT: Duration = Duration::from_millis(500);

/// The upstream. Clones share connections and limits.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

/// A client for other settings, ready to be used.
pub struct UpstreamChange {
    config: UpstreamConfig,
    /// Where it takes another one.
    http: Option<HttpClient>,
    credentials: CredentialsChange,
}

struct Inner {
    http: Live<HttpClient>,
    endpoint: Endpoint,
    credentials: Credentials,
    limits: Live<UpstreamConfig>,
    time_zone: TimeZone,
    permits: FairSemaphore,
    breaker: Breaker,
    budget: RetryBudget,
    metrics: UpstreamMetrics,
    clock: Clock,
}

/// The base address, in the parts that every call needs.
struct Endpoint {
    base: Url,
    /// Its path without a slash at the end, which stands before those of calls and is signed with them.
    base_path: String,
}

/// For whom a call is made.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Who the call is made for, where permits are short. A load that several share is made for the one
    /// who began it.
    pub requester: Requester,
    /// The caller's token.
    pub token: Option<Token>,
    /// Sent as `X-Request-Id`.
    pub request_id: Arc<str>,
    /// What of the deadline has gone by already.
    pub waited: Duration,
    /// For whose sake it is made: attempts become spans below it.
    pub trace: Trace,
}

/// Decoded pairs.
pub(super) type Query = Vec<(Cow<'static, str>, Cow<'static, str>)>;

/// A request to be made, apart from what is put on it for the upstream's sake.
pub(super) struct ApiRequest {
    pub(super) method: Method,
    pub(super) path: String,
    /// The path without ids, as it stands in traces.
    pub(super) template: &'static str,
    pub(super) query: Query,
    /// JSON; empty for none.
    pub(super) body: Bytes,
}

/// A request with the upstream's credentials on it.
pub(super) struct SignedRequest {
    pub(super) http: HttpRequest,
    /// Of the credentials.
    generation: Generation,
    /// The path without ids.
    pub(super) template: &'static str,
    /// Attempts before this one.
    pub(super) earlier_attempts: u32,
}

/// What the circuit is told of an attempt. One that is given up, by its callers or because the
/// deadline has come, counts as unanswered if it had half of its time.
struct Verdict<'u> {
    pass: Option<Pass<'u>>,
    upstream: &'u Inner,
    begun: Instant,
}

impl Upstream {
    /// A client for the configured upstream. Connects to nothing yet.
    ///
    /// # Errors
    /// When the TLS set-up of this machine cannot be used, for example without any root certificates.
    pub fn new(
        config: &UpstreamConfig,
        metrics: UpstreamMetrics,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        let http = HttpClient::new(&config.endpoint, config)?;
        let credentials = Credentials::new(config, clock.clone())?;
        Ok(Self(Arc::new(Inner {
            http: Live::new(http),
            endpoint: Endpoint::of(&config.endpoint),
            credentials,
            permits: FairSemaphore::new(most_calls(config)),
            breaker: Breaker::new(&config.breaker),
            budget: RetryBudget::new(),
            limits: Live::new(config.clone()),
            time_zone: config.time_zone.clone(),
            metrics,
            clock,
        })))
    }

    /// Gets everything ready for other settings. Address, mode and time zone stay as they are.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn prepare(&self, config: &UpstreamConfig) -> Result<UpstreamChange, reqwest::Error> {
        let old = self.0.limits.load();
        let is_same = old.connect_timeout == config.connect_timeout
            && old.ca_certificates == config.ca_certificates;
        Ok(UpstreamChange {
            http: (!is_same).then(|| HttpClient::new(&self.0.endpoint.base, config)).transpose()?,
            credentials: self.0.credentials.prepare(config)?,
            config: config.clone(),
        })
    }

    /// Has other settings used from now on; calls under way end as they began. Whether calls are made
    /// as somebody else now, so that what was read before is not theirs.
    pub fn change(&self, change: UpstreamChange) -> bool {
        let UpstreamChange { config, http, credentials } = change;
        if let Some(http) = http {
            self.0.http.set(http);
        }
        self.0.permits.resize(most_calls(&config));
        self.0.breaker.change(&config.breaker);
        self.0.limits.set(config);
        self.0.credentials.change(credentials)
    }

    /// Whether calls are made with the caller's token, so that data is the caller's alone.
    pub fn uses_callers_token(&self) -> bool {
        self.0.credentials.are_callers()
    }

    /// Why calls cannot succeed for now, where that is known: the gateway's own credentials were
    /// refused.
    pub fn trouble(&self) -> Option<&'static str> {
        self.0.credentials.trouble()
    }

    /// Looks at the addresses that a call needs, sends one request and judges the answer: for checking
    /// settings, not for data.
    pub async fn diagnose(&self, project: Option<&ProjectId>) -> Diagnosis {
        let config = self.0.limits.get();
        let mut notes = match diagnostics::look_around(&config, &self.0.clock).await {
            Ok(notes) => notes,
            Err(diagnostics) => return Diagnosis::NotReady(diagnostics),
        };
        // No recording has this id, so the best answer is that there is none.
        let id = "00000000000000000000000000000000";
        let own = self.0.credentials.project();
        let project = project.map(ProjectId::as_str).or(own.as_deref()).unwrap_or(id);
        let token = self.uses_callers_token().then(|| Token::new("none"));
        let call = Call { token, request_id: Arc::from("check"), ..Call::default() };
        let asking = async {
            let (project, id) = (ProjectId::parse(project)?, RecordId::parse(id)?);
            self.show_screen_record(&call, &project, &id).await
        };
        let judged = match asking.await {
            Ok(_) => Ok("the upstream answered".to_owned()),
            Err(failure) => diagnostics::judge(&failure, &config),
        };
        match judged {
            Ok(reason) => {
                notes.insert(0, reason);
                Diagnosis::Ready(notes)
            }
            Err(diagnostic) => Diagnosis::NotReady(vec![diagnostic]),
        }
    }

    /// The zone of timestamps that carry none.
    pub(super) fn time_zone(&self) -> &TimeZone {
        &self.0.time_zone
    }

    /// Where the circuit stands, as a word for readiness, unless calls go through.
    pub fn circuit(&self) -> Option<&'static str> {
        match self.0.breaker.circuit(self.0.clock.now()) {
            Circuit::Closed => None,
            Circuit::HalfOpen => Some("the circuit to the upstream is half open"),
            Circuit::Open => Some("the circuit to the upstream is open after too many failures"),
        }
    }

    /// Brings the gauges of the circuit and of the calls under way up to date.
    pub fn observe(&self) {
        let Inner { metrics, limits, permits, .. } = &*self.0;
        metrics.show_calls(limits.load().max_concurrency.get(), permits.free());
        metrics.show_waiting(permits.waiting());
        self.0.metrics.show_circuit(self.0.breaker.circuit(self.0.clock.now()));
    }

    /// One call within its deadline: as many attempts as it is worth.
    pub(super) async fn send(&self, call: &Call, outgoing: &ApiRequest) -> Result<Answer, Failure> {
        let left = self.0.limits.load().deadline.saturating_sub(call.waited);
        let deadline = Deadline::now() + left;
        self.0.budget.earn();
        let within = timeout_at(deadline, self.attempts(call, outgoing, deadline)).await;
        within.unwrap_or(Err(Failure::TimedOut(TimeLimit::Deadline)))
    }

    async fn attempts(
        &self,
        call: &Call,
        outgoing: &ApiRequest,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let mut failed = 0;
        let mut renewed = false;
        let mut most = self.0.limits.load().max_attempts.get();
        loop {
            // Credentials have pauses of their own after a failure, so it is told at once.
            let mut request = self.request(call, outgoing).await?;
            request.earlier_attempts = failed + u32::from(renewed);
            let failure = match self.one(call, request, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if self.0.credentials.may_be_renewed(&failure) && !renewed {
                renewed = true;
                continue;
            }
            failed += 1;
            match RetryClass::of(&failure) {
                RetryClass::Often => {}
                // Another failure of whichever kind is the last.
                RetryClass::Once => most = most.min(failed + 1),
                RetryClass::Never => return Err(failure),
            }
            let wait = retry::wait(failed, failure.retry_after(), chance());
            if failed >= most || Deadline::now() + wait >= deadline {
                return Err(failure);
            }
            if !self.0.budget.spend() {
                self.0.metrics.retries_over_budget.inc();
                return Err(failure);
            }
            tracing::debug!(
                code = failure.code().as_str(),
                upstream.status = failure.upstream_status(),
                attempt = failed,
                wait_ms = wait.as_millis(),
                "another attempt follows"
            );
            self.0.metrics.retries.inc();
            sleep(wait).await;
        }
    }

    /// One attempt, once it has a permit and the circuit lets it through.
    async fn one(
        &self,
        call: &Call,
        request: SignedRequest,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let Inner { breaker, clock, metrics, .. } = &*self.0;
        let count = |_: &Failure| {
            metrics.breaker_refused.inc();
        };
        // Before it queues: permits may all be held by calls that wait for a dead upstream.
        breaker.check(clock.now()).inspect_err(count)?;
        let _permit = self.permit(call).await?;
        let pass = breaker.admit(clock.now()).inspect_err(count)?;
        let mut verdict = Verdict { pass: Some(pass), upstream: &self.0, begun: clock.now() };
        let answer = self.attempt(call, request, deadline).await;
        verdict.tell(answer.as_ref().is_err_and(RetryClass::is_outage));
        answer
    }

    /// A permit for one call under way.
    async fn permit(&self, call: &Call) -> Result<Permit, Failure> {
        let permit = self.0.permits.acquire(call.requester, LONGEST_WITHOUT_PERMIT).await;
        permit.ok_or_else(|| {
            self.0.metrics.shed.inc();
            Failure::Overloaded
        })
    }

    /// One attempt: signed for itself, timed, counted. Sending again what the upstream has not processed
    /// is part of it.
    async fn attempt(
        &self,
        call: &Call,
        mut request: SignedRequest,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let Inner { http, limits, metrics, clock, .. } = &*self.0;
        let traced = TracedAttempt::begin(&call.trace, &mut request);
        let started = clock.now();
        let limits = {
            let limits = limits.load();
            let (timeout, max_body_bytes) = (limits.attempt_timeout, limits.max_body_bytes);
            ExchangeLimits { timeout, deadline, max_body_bytes }
        };
        let count_resend = || {
            metrics.resends.inc();
        };
        let answer = exchange(&http.get(), &request.http, limits, count_resend).await;
        let took = clock.now().saturating_duration_since(started);
        let outcome = answer.as_ref().map(|answer| answer.status);
        metrics.count_attempt(outcome, took);
        traced.end(outcome);
        let answer = answer?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(self.refusal(&answer, call, request.generation))
    }

    async fn request(&self, call: &Call, outgoing: &ApiRequest) -> Result<SignedRequest, Failure> {
        let Inner { endpoint, credentials, .. } = &*self.0;
        let ApiRequest { method, path, query, body, template } = outgoing;
        let signed_path = match endpoint.base_path.as_str() {
            "" => Cow::Borrowed(path.as_str()),
            base => Cow::Owned([base, path].concat()),
        };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, JSON);
        if let Ok(id) = HeaderValue::from_str(&call.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        let part = CallerPart { token: call.token.as_ref(), host: endpoint.host() };
        let signable = Signable { method: method.as_str(), path: &signed_path, query, body };
        let generation = credentials.authorize(&mut headers, &part, &signable).await?;
        let url = endpoint.url(&signed_path, query);
        let http = HttpRequest { method: method.clone(), url, headers, body: body.clone() };
        Ok(SignedRequest { http, generation, template, earlier_attempts: 0 })
    }

    fn refusal(&self, answer: &Answer, call: &Call, used: Generation) -> Failure {
        let Inner { credentials, clock, .. } = &*self.0;
        let raw = RawAnswer { status: answer.status, headers: &answer.headers, body: &answer.body };
        let secrets = credentials.secrets(call.token.as_ref());
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let ReadAnswer { failure, own_denial } =
            error_mapping::read(&raw, credentials.whose(), &secrets, clock.timestamp());
        if let Some(encoded) = own_denial {
            tracing::warn!(
                encoded_authorization_message = encoded,
                "the gateway's own credentials were denied"
            );
        }
        credentials.heed(&failure, &answer.headers, used);
        failure
    }

    pub(super) fn unlike(&self, unlike: wire::Unlike, answer: &Answer, call: &Call) -> Failure {
        match unlike {
            wire::Unlike::Error => self.refusal(answer, call, Generation::default()),
            wire::Unlike::Malformed(problem) => malformed(problem, answer.status),
        }
    }
}

impl Verdict<'_> {
    fn tell(&mut self, failed: bool) {
        let Inner { clock, metrics, .. } = self.upstream;
        if self.pass.take().is_some_and(|pass| pass.tell(failed, clock.now())) {
            metrics.breaker_opened.inc();
            tracing::error!("too many attempts failed: the circuit to the upstream opens");
        }
    }
}

impl Drop for Verdict<'_> {
    fn drop(&mut self) {
        let Inner { clock, limits, .. } = self.upstream;
        let took = clock.now().saturating_duration_since(self.begun);
        // Callers who are less patient than the settings would hide a dead upstream otherwise.
        if self.pass.is_some() && 2 * took >= limits.load().attempt_timeout {
            self.tell(true);
        }
    }
}

impl ApiRequest {
    pub(super) fn get(path: String, template: &'static str) -> Self {
        Self { method: Method::GET, path, template, query: Vec::new(), body: Bytes::new() }
    }
}

impl Endpoint {
    fn of(endpoint: &Url) -> Self {
        let base_path = endpoint.path().trim_end_matches('/').to_owned();
        Self { base: endpoint.clone(), base_path }
    }

    /// The address of a call. Path and query are made of checked ids and encoded values, so they stand in
    /// it as they are signed.
    fn url(&self, path: &str, query: &Query) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.set_query(Some(&canonical_query(query)));
        }
        url
    }

    /// As it stands in the `Host` header: with the port unless it is the scheme's own.
    fn host(&self) -> &str {
        &self.base[Position::BeforeHost..Position::AfterPort]
    }
}

fn most_calls(config: &UpstreamConfig) -> usize {
    usize::try_from(config.max_concurrency.get()).unwrap_or(1)
}
