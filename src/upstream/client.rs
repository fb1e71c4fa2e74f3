//! One attempt to call the upstream, its limits, and what comes back.
//!
//! Proxies: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are honoured as by curl, except for an
//! upstream on a loopback address, which is always called directly. Redirects are never followed:
//! the credentials would travel with them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use jiff::tz::TimeZone;
use reqwest::{Certificate, Client, Method, Request, Response, Url};
use tokio::sync::SemaphorePermit;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::breaker::{Breaker, Circuit, Pass};
use super::credentials::{CallerPart, Credentials, CredentialsChange, Generation, Signable};
use super::failure::{self, RawAnswer, ReadAnswer};
use super::metrics::UpstreamMetrics;
use super::probe::{self, Probe};
use super::retry::{self, RetryBudget, Worth};
use super::traced::TracedAttempt;
use super::wire;
use crate::causes::causes;
use crate::clock::Clock;
use crate::config::{Live, UpstreamConfig};
use crate::domain::{Failure, ProjectId, RecordId, TimeLimit, Token, Unreachable, UpstreamAnswer};
use crate::signature::canonical_query;
use crate::slots::Slots;
use crate::trace::Trace;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a call waits for one of the permitted connections before it is shed.
const LONGEST_QUEUE: Duration = Duration::from_millis(500);
/// Idle connections are kept this long: less than servers commonly keep theirs.
const POOL_IDLE: Duration = Duration::from_secs(55);

/// The upstream. Clones share connections and limits.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

/// A client for other settings, ready to be used.
pub struct UpstreamChange {
    config: UpstreamConfig,
    /// Where it takes another one.
    http: Option<Client>,
    credentials: CredentialsChange,
}

struct Inner {
    http: Live<Client>,
    endpoint: Endpoint,
    credentials: Credentials,
    limits: Live<UpstreamConfig>,
    time_zone: TimeZone,
    permits: Slots,
    breaker: Breaker,
    budget: RetryBudget,
    metrics: UpstreamMetrics,
    clock: Clock,
}

/// The base address, in the parts that every call needs.
struct Endpoint {
    /// As it is configured.
    base: Url,
    /// The path of `base` alone, which is signed with the rest.
    base_path: String,
    /// As it stands in the `Host` header: with the port unless it is the scheme's own.
    host: String,
}

/// For whom a call is made.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The caller's token.
    pub token: Option<Token>,
    /// Sent as `X-Request-Id`.
    pub request_id: Arc<str>,
    /// What of the deadline has gone by already.
    pub waited: Duration,
    /// For whose sake it is made: attempts become spans below it.
    pub trace: Trace,
}

/// A request to be made, apart from what is put on it for the upstream's sake.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) path: String,
    /// The path without ids, as it stands in traces.
    pub(super) template: &'static str,
    /// Decoded pairs.
    pub(super) query: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// JSON; empty for none.
    pub(super) body: Bytes,
}

/// What the circuit is told of an attempt. One that is given up, by its callers or because the
/// deadline has come, counts as unanswered if it had half of its time.
struct Verdict<'u> {
    pass: Option<Pass<'u>>,
    upstream: &'u Inner,
    begun: Instant,
}

/// An answer of success.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Bytes,
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
        let http = http_client(&config.endpoint, config)?;
        let credentials = Credentials::new(config, clock.clone())?;
        Ok(Self(Arc::new(Inner {
            http: Live::new(http),
            endpoint: Endpoint::of(&config.endpoint),
            credentials,
            permits: Slots::new(most_calls(config)),
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
        let new_client = || http_client(&config.endpoint, config);
        Ok(UpstreamChange {
            http: (!is_same).then(new_client).transpose()?,
            credentials: self.0.credentials.prepare(config)?,
            config: config.clone(),
        })
    }

    /// Has other settings used from now on; calls under way end as they began. Whether calls are made
    /// as somebody else now, so that what was read before is not theirs.
    pub fn change(&self, change: UpstreamChange, tasks: &TaskTracker) -> bool {
        let UpstreamChange { config, http, credentials } = change;
        if let Some(http) = http {
            self.0.http.set(http);
        }
        self.0.permits.resize(most_calls(&config), tasks);
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
    pub async fn probe(&self, project: Option<&ProjectId>) -> Probe {
        let config = self.0.limits.get();
        let mut notes = match probe::look_around(&config, &self.0.clock).await {
            Ok(notes) => notes,
            Err(findings) => return Probe::NotReady(findings),
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
            Err(failure) => probe::judge(&failure, &config),
        };
        match judged {
            Ok(reason) => {
                notes.insert(0, reason);
                Probe::Ready(notes)
            }
            Err(finding) => Probe::NotReady(vec![finding]),
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
        metrics.show_calls(limits.load().max_concurrency.get(), permits.available_permits());
        self.0.metrics.show_circuit(self.0.breaker.circuit(self.0.clock.now()));
    }

    /// One call within its deadline: as many attempts as it is worth.
    pub(super) async fn send(&self, call: &Call, outgoing: &Outgoing) -> Result<Answer, Failure> {
        let left = self.0.limits.load().deadline.saturating_sub(call.waited);
        let deadline = self.0.clock.now() + left;
        self.0.budget.earn();
        let within = timeout(left, self.attempts(call, outgoing, deadline)).await;
        within.unwrap_or(Err(Failure::TimedOut(TimeLimit::Deadline)))
    }

    async fn attempts(
        &self,
        call: &Call,
        outgoing: &Outgoing,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let mut failed = 0;
        let mut renewed = false;
        let mut most = self.0.limits.load().max_attempts.get();
        loop {
            // Credentials have pauses of their own after a failure, so it is told at once.
            let request = self.request(call, outgoing).await?;
            let sent_before = failed + u32::from(renewed);
            let failure = match self.one(call, request, (outgoing.template, sent_before)).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if self.0.credentials.may_be_renewed(&failure) && !renewed {
                renewed = true;
                continue;
            }
            failed += 1;
            match Worth::of(&failure) {
                Worth::Often => {}
                // Another failure of whichever kind is the last.
                Worth::Once => most = most.min(failed + 1),
                Worth::Never => return Err(failure),
            }
            let wait = retry::wait(failed, failure.retry_after(), chance());
            if failed >= most || self.0.clock.now() + wait >= deadline {
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

    /// One attempt, once it has a place and the circuit lets it through.
    async fn one(
        &self,
        call: &Call,
        request: (Request, Generation),
        traced: (&'static str, u32),
    ) -> Result<Answer, Failure> {
        let Inner { breaker, clock, metrics, .. } = &*self.0;
        let count = |_: &Failure| {
            metrics.breaker_refused.inc();
        };
        // Before it queues: places may all be taken by calls that wait for a dead upstream.
        breaker.check(clock.now()).inspect_err(count)?;
        let _place = self.place().await?;
        let pass = breaker.admit(clock.now()).inspect_err(count)?;
        let mut verdict = Verdict { pass: Some(pass), upstream: &self.0, begun: clock.now() };
        let answer = self.attempt(call, request, traced).await;
        verdict.tell(answer.as_ref().is_err_and(Worth::is_outage));
        answer
    }

    /// A place among the calls under way.
    async fn place(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let Inner { permits, metrics, .. } = &*self.0;
        if let Ok(place) = permits.try_acquire() {
            return Ok(place);
        }
        metrics.waiting.inc();
        let place = timeout(LONGEST_QUEUE, permits.acquire()).await;
        metrics.waiting.dec();
        if let Ok(Ok(place)) = place {
            return Ok(place);
        }
        metrics.shed.inc();
        Err(Failure::Overloaded)
    }

    /// One attempt: signed for itself, timed, counted.
    async fn attempt(
        &self,
        call: &Call,
        (mut request, used): (Request, Generation),
        traced: (&'static str, u32),
    ) -> Result<Answer, Failure> {
        let traced = TracedAttempt::begin(&call.trace, &mut request, traced);
        let started = self.0.clock.now();
        let longest = self.0.limits.load().attempt_timeout;
        let exchange = timeout(longest, self.exchange(request)).await;
        let answer = exchange.unwrap_or(Err(Failure::TimedOut(TimeLimit::Attempt)));
        let took = self.0.clock.now().saturating_duration_since(started);
        let outcome = answer.as_ref().map(|answer| answer.status);
        self.0.metrics.count_attempt(outcome, took);
        traced.end(outcome);
        let answer = answer?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(self.refusal(&answer, call, used))
    }

    async fn request(
        &self,
        call: &Call,
        outgoing: &Outgoing,
    ) -> Result<(Request, Generation), Failure> {
        let Inner { endpoint, credentials, .. } = &*self.0;
        let Outgoing { method, path, query, body, .. } = outgoing;
        let signed_path = match endpoint.base_path.as_str() {
            "" => Cow::Borrowed(path.as_str()),
            base => Cow::Owned([base, path].concat()),
        };
        // Parsed once; only what differs from call to call is set. It is made of checked ids and encoded
        // values, so it stands in the address as it is.
        let mut url = endpoint.base.clone();
        url.set_path(&signed_path);
        if !query.is_empty() {
            url.set_query(Some(&canonical_query(query)));
        }
        let mut request = Request::new(method.clone(), url);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, JSON);
        if let Ok(id) = HeaderValue::from_str(&call.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        let part = CallerPart { token: call.token.as_ref(), host: &endpoint.host };
        let signable = Signable { method: method.as_str(), path: &signed_path, query, body };
        let used = credentials.authorize(headers, &part, &signable).await?;
        if !body.is_empty() {
            *request.body_mut() = Some(body.clone().into());
        }
        Ok((request, used))
    }

    async fn exchange(&self, request: Request) -> Result<Answer, Failure> {
        let mut response = self.0.http.get().execute(request).await.map_err(|e| no_answer(&e))?;
        let (status, headers) =
            (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let body = self.body(response, status).await?;
        Ok(Answer { status, headers, body })
    }

    /// Reads the body, up to the limit as counted after decompression.
    async fn body(&self, mut response: Response, status: u16) -> Result<Bytes, Failure> {
        let most = self.0.limits.load().max_body_bytes;
        let mut body = Body::default();
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(body.whole()),
                Err(error) => return Err(broken_body(&error, status)),
            };
            if body.len() + chunk.len() > most {
                return Err(malformed(format!("is larger than {most} bytes"), status));
            }
            body.add(chunk);
        }
    }

    fn refusal(&self, answer: &Answer, call: &Call, used: Generation) -> Failure {
        let Inner { credentials, clock, .. } = &*self.0;
        let raw = RawAnswer { status: answer.status, headers: &answer.headers, body: &answer.body };
        let secrets = credentials.secrets(call.token.as_ref());
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let ReadAnswer { failure, own_denial } =
            failure::read(&raw, credentials.whose(), &secrets, clock.timestamp());
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

/// A body as it comes in. Most come in one piece, which is passed on as it is.
#[derive(Default)]
struct Body {
    first: Bytes,
    /// All pieces, once there are several.
    several: BytesMut,
}

impl Body {
    fn len(&self) -> usize {
        self.first.len().max(self.several.len())
    }

    fn add(&mut self, piece: Bytes) {
        if self.first.is_empty() {
            self.first = piece;
            return;
        }
        if self.several.is_empty() {
            self.several.extend_from_slice(&self.first);
        }
        self.several.extend_from_slice(&piece);
    }

    fn whole(self) -> Bytes {
        if self.several.is_empty() { self.first } else { self.several.freeze() }
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

impl Outgoing {
    pub(super) fn get(path: String, template: &'static str) -> Self {
        Self { method: Method::GET, path, template, query: Vec::new(), body: Bytes::new() }
    }
}

impl Endpoint {
    fn of(endpoint: &Url) -> Self {
        let base = endpoint.clone();
        let base_path = endpoint.path().trim_end_matches('/').to_owned();
        let name = endpoint.host_str().unwrap_or_default();
        let host = match endpoint.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        Self { base, base_path, host }
    }
}

fn most_calls(config: &UpstreamConfig) -> usize {
    usize::try_from(config.max_concurrency.get()).unwrap_or(1)
}

/// A client for one address.
pub(super) fn http_client(
    endpoint: &Url,
    config: &UpstreamConfig,
) -> Result<Client, reqwest::Error> {
    // Fails only when a provider has been installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(POOL_IDLE)
        .user_agent(concat!("screen-record-gateway/", env!("CARGO_PKG_VERSION")));
    if is_loopback(endpoint) {
        builder = builder.no_proxy();
    }
    if endpoint.scheme() == "http" {
        // Nothing will be verified, so a machine without root certificates will do.
        builder = builder.tls_certs_only([]);
    } else if !config.ca_certificates.is_empty() {
        builder = builder.tls_certs_merge(ca_certificates(config)?);
    }
    builder.build()
}

/// What `upstream.ca_file` holds.
pub(super) fn ca_certificates(config: &UpstreamConfig) -> Result<Vec<Certificate>, reqwest::Error> {
    config.ca_certificates.iter().map(|certificate| Certificate::from_der(certificate)).collect()
}

pub(super) fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

pub(super) fn no_answer(error: &reqwest::Error) -> Failure {
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => Failure::TimedOut(TimeLimit::Connect),
        (true, false) => Failure::Unreachable(Unreachable::Connect),
        (false, true) => Failure::TimedOut(TimeLimit::Attempt),
        (false, false) => Failure::Unreachable(Unreachable::Cut),
    }
}

/// A body that broke off, or that does not decompress.
fn broken_body(error: &reqwest::Error, status: u16) -> Failure {
    if causes(error).any(<dyn std::error::Error>::is::<hyper::Error>) {
        return Failure::Unreachable(Unreachable::Cut);
    }
    malformed("cannot be decompressed".to_owned(), status)
}

/// From 0 to 1. Without randomness those who failed together come back together, which is no reason
/// not to come back.
pub(super) fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

fn malformed(problem: String, status: u16) -> Failure {
    let answer = UpstreamAnswer { status, ..UpstreamAnswer::default() };
    Failure::Malformed { problem, answer: Arc::new(answer) }
}
