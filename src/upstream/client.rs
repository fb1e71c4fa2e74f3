//! Calls of the upstream: permits, circuit breaker, attempts and time limits.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use jiff::tz::TimeZone;
use tokio::time::{Instant, sleep, timeout_at};
use url::{Position, Url};

use super::attempt::{Answer, ExchangeLimits, HttpRequest, exchange, malformed};
use super::breaker::{Breaker, Circuit};
use super::credentials::{Credentials, CredentialsChange, Generation, Signable};
use super::diagnostics::{self, Diagnosis};
use super::error_mapping::{self, RawAnswer, ReadAnswer};
use super::http_client::HttpClient;
use super::metrics::UpstreamMetrics;
use super::retry::{self, RetryBudget, RetryClass, chance};
use super::spans::AttemptSpan;
use super::wire;
use crate::clock::Clock;
use crate::config::{Live, UpstreamConfig};
use crate::domain::{Failure, ProjectId, RecordId, TimeLimit, Token};
use crate::fair_semaphore::{FairSemaphore, Requester};
use crate::signature::canonical_query;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long an operation without a call in progress waits for a permit.
const LONGEST_WITHOUT_PERMIT: Duration = Duration::from_millis(500);

/// The upstream. Clones share connections and limits.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

/// Prepared settings, which replace the current ones.
pub struct UpstreamChange {
    config: UpstreamConfig,
    /// A new client, if the settings need one.
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

/// The base address.
struct Endpoint {
    base: Url,
    /// Its path without the last slash; it precedes the paths of calls and is signed with them.
    base_path: String,
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

/// Decoded pairs.
pub(super) type Query = Vec<(Cow<'static, str>, Cow<'static, str>)>;

/// A request of the upstream's API, before credentials are added.
pub(super) struct ApiRequest {
    pub(super) method: Method,
    pub(super) path: String,
    /// The path without ids, for traces.
    pub(super) template: &'static str,
    pub(super) query: Query,
    /// JSON; empty for none.
    pub(super) body: Bytes,
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
            breaker: Breaker::new(&config.breaker, metrics.breaker_opened.clone(), clock.clone()),
            budget: RetryBudget::new(),
            limits: Live::new(config.clone()),
            time_zone: config.time_zone.clone(),
            metrics,
            clock,
        })))
    }

    /// Prepares other settings. Address, mode and time zone stay the same.
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

    /// Applies prepared settings; calls in flight keep the old ones. Returns whether the gateway's own
    /// identity may have changed, so that data of before may not be served.
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

    /// Why the gateway's own credentials cannot be used now.
    pub fn trouble(&self) -> Option<&'static str> {
        self.0.credentials.trouble()
    }

    /// Checks the settings: the addresses that a call needs, and the answer to one request.
    pub async fn diagnose(&self, project: Option<&ProjectId>) -> Diagnosis {
        let config = self.0.limits.get();
        let mut notes = match diagnostics::check_addresses(&config, &self.0.clock).await {
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
        let verdict = match asking.await {
            Ok(_) => Ok("the upstream answered".to_owned()),
            Err(failure) => diagnostics::explain_failure(&failure, &config),
        };
        match verdict {
            Ok(reason) => {
                notes.insert(0, reason);
                Diagnosis::Ready(notes)
            }
            Err(diagnostic) => Diagnosis::NotReady(vec![diagnostic]),
        }
    }

    /// The zone of timestamps without one.
    pub(super) fn time_zone(&self) -> &TimeZone {
        &self.0.time_zone
    }

    /// Why the circuit breaker holds calls back, if it does.
    pub fn circuit(&self) -> Option<&'static str> {
        match self.0.breaker.circuit() {
            Circuit::Closed => None,
            Circuit::HalfOpen => Some("the circuit to the upstream is half open"),
            Circuit::Open => Some("the circuit to the upstream is open after too many failures"),
        }
    }

    /// Updates the gauges of the circuit and of the calls in flight.
    pub fn observe(&self) {
        let Inner { metrics, limits, permits, .. } = &*self.0;
        metrics.show_calls(limits.load().max_concurrency.get(), permits.free());
        metrics.show_waiting(permits.waiting());
        self.0.metrics.show_circuit(self.0.breaker.circuit());
    }

    /// Makes a call, with retries, within its deadline.
    pub(super) async fn send(&self, call: &Call, request: &ApiRequest) -> Result<Answer, Failure> {
        let left = self.0.limits.load().deadline.saturating_sub(call.waited);
        let deadline = Instant::now() + left;
        self.0.budget.earn();
        let within = timeout_at(deadline, self.attempts(call, request, deadline)).await;
        within.unwrap_or(Err(Failure::TimedOut(TimeLimit::Deadline)))
    }

    async fn attempts(
        &self,
        call: &Call,
        request: &ApiRequest,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let mut failed = 0;
        let mut renewed = false;
        let mut most = self.0.limits.load().max_attempts.get();
        loop {
            // Credentials have their own pauses after a failure, so it is not retried here.
            let mut signed = self.sign(call, request).await?;
            signed.earlier_attempts = failed + u32::from(renewed);
            let failure = match self.admitted_attempt(call, signed, deadline).await {
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
                // The next failure of any kind is the last.
                RetryClass::Once => most = most.min(failed + 1),
                RetryClass::Never => return Err(failure),
            }
            let wait = retry::wait(failed, failure.retry_after(), chance());
            if failed >= most || Instant::now() + wait >= deadline {
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

    /// One attempt, once it has a permit and the circuit breaker admits it.
    async fn admitted_attempt(
        &self,
        call: &Call,
        request: SignedRequest,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let Inner { breaker, permits, limits, metrics, .. } = &*self.0;
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
        let patience = limits.load().attempt_timeout / 2;
        let guard = breaker.admit(patience).inspect_err(count)?;
        let answer = self.attempt(call, request, deadline).await;
        guard.record(answer.as_ref().is_err_and(retry::is_outage));
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
        let Inner { http, limits, metrics, clock, .. } = &*self.0;
        let SignedRequest { http: sent, template, earlier_attempts, .. } = &mut request;
        let span = AttemptSpan::start(sent, template, *earlier_attempts);
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
        span.end(outcome);
        let answer = answer?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(self.refusal(&answer, call, request.generation))
    }

    async fn sign(&self, call: &Call, request: &ApiRequest) -> Result<SignedRequest, Failure> {
        let Inner { endpoint, credentials, .. } = &*self.0;
        let ApiRequest { method, path, query, body, template } = request;
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
        let (method_name, host) = (method.as_str(), endpoint.host());
        let signable = Signable { method: method_name, host, path: &signed_path, query, body };
        let token = call.token.as_ref();
        let generation = credentials.authorize(&mut headers, token, &signable).await?;
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
        credentials.note_failure(&failure, &answer.headers, used);
        failure
    }

    pub(super) fn unlike(&self, unlike: wire::Unlike, answer: &Answer, call: &Call) -> Failure {
        match unlike {
            wire::Unlike::Error => self.refusal(answer, call, Generation::default()),
            wire::Unlike::Malformed(problem) => malformed(problem, answer.status),
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

    /// The address of a call. Path and query consist of checked ids and encoded values, so they are sent
    /// as they are signed.
    fn url(&self, path: &str, query: &Query) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.set_query(Some(&canonical_query(query)));
        }
        url
    }

    /// The `Host` header: with the port unless it is the scheme's default.
    fn host(&self) -> &str {
        &self.base[Position::BeforeHost..Position::AfterPort]
    }
}

fn most_calls(config: &UpstreamConfig) -> usize {
    usize::try_from(config.max_concurrency.get()).unwrap_or(1)
}
