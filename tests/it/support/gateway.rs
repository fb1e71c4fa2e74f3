//! The gateway under test.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use screen_record_gateway::app::{App, Start};
use screen_record_gateway::app::{Outcome, ReloadHandle};
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{
    BreakerConfig, Config, CredentialsMode, Environment, GraphqlConfig, IamLogin, Invocation,
    Loaded, LoginTarget, ProjectScope, Target, UpstreamConfig,
};
use screen_record_gateway::domain::Secret;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use url::Url;

use super::log::export_traces;
use super::{Reply, ScriptedUpstream, TestFile};

pub(crate) const PROJECT: &str = "089b2f9a3d80d3062f24c00ca4ed5cbd";
pub(crate) const RECORD: &str = "6c655e6a-1b2c-4d3e-8f90-b7f0edc7a082";
pub(crate) const TOKEN: &str = "token-of-a-caller";
/// The region of the upstream.
pub(crate) const REGION: &str = "test-1";

/// How long a test waits for an event: far longer than it takes, even with a thousand connections on a
/// busy machine.
const PATIENCE: Duration = Duration::from_secs(45);

/// The real app on free ports; stops when dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) upstream: ScriptedUpstream,
    clock: Clock,
    http: reqwest::Client,
    reloads: ReloadHandle,
    stop: Option<oneshot::Sender<()>>,
    running: Option<tokio::task::JoinHandle<()>>,
}

impl Gateway {
    /// In front of an upstream with one answer.
    pub(crate) async fn answering(status: u16, body: Value) -> Self {
        Self::before(ScriptedUpstream::start(move |_| Reply::json(status, &body)).await).await
    }

    /// In front of an upstream under the test's control.
    pub(crate) async fn before(upstream: ScriptedUpstream) -> Self {
        Self::configured(upstream, |_| {}).await
    }

    /// As `before`, with settings changed from their defaults.
    pub(crate) async fn configured(
        upstream: ScriptedUpstream,
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = config_for(upstream.address);
        adjust(&mut config);
        if config.cache.shared.is_some() {
            let secret = || Secret::new("a secret of the deployment");
            config.cache.key_secret.get_or_insert_with(secret);
        }
        let clock = Clock::default();
        let traces = export_traces(config.traces.as_ref());
        let start = Start { traces, ..Start::from(Loaded::fixed(config), clock.clone()) };
        let app = App::start(start).await.unwrap();
        Self::running(app, upstream, clock)
    }

    /// With the settings of a file, which are reloaded on request only, and with the usual ports and retries.
    pub(crate) async fn following(
        upstream: ScriptedUpstream,
        settings: &TestFile,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::with_file(upstream, settings, variables, Duration::from_hours(1)).await
    }

    /// As [`Self::following`], but changed files cause a reload too.
    pub(crate) async fn watching(upstream: ScriptedUpstream, settings: &TestFile) -> Self {
        Self::with_file(upstream, settings, &[], Duration::from_millis(10)).await
    }

    async fn with_file(
        upstream: ScriptedUpstream,
        settings: &TestFile,
        variables: &[(&str, &str)],
        poll_interval: Duration,
    ) -> Self {
        let endpoint = format!("http://{}", upstream.address);
        let usual = [
            ("GATEWAY_CONFIG", settings.0.to_str().unwrap()),
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
            ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
            ("GATEWAY_UPSTREAM__ENDPOINT", &endpoint),
            ("GATEWAY_UPSTREAM__BREAKER_MIN_CALLS", "1000000"),
        ];
        let variables = usual.iter().chain(variables);
        let variables = variables.map(|(name, value)| ((*name).into(), (*value).into()));
        let environment = Environment::new(variables, |path| std::fs::read(path));
        let arguments = ["screen-record-gateway", "serve"].map(OsString::from);
        let Ok(Invocation::Serve(loaded)) = Invocation::parse(arguments, &environment) else {
            unreachable!("a test's settings are good to begin with");
        };
        let clock = Clock::default();
        let start = Start { poll_interval, ..Start::from(loaded, clock.clone()) };
        let app = App::start(start).await.unwrap();
        Self::running(app, upstream, clock)
    }

    fn running(app: App, upstream: ScriptedUpstream, clock: Clock) -> Self {
        let reloads = app.reloads();
        let (address, admin) = (app.local_addr().unwrap(), app.admin_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async move {
            let _ = stopped.await;
        }));
        let http = client();
        let (stop, running) = (Some(stop), Some(running));
        Self { address, admin, upstream, clock, http, reloads, stop, running }
    }

    /// Reloads the settings, as a signal would.
    pub(crate) async fn reload(&self) -> Outcome {
        self.reloads.reload().await
    }

    /// Moves the gateway's time forward.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub(crate) fn upstream_requests(&self) -> usize {
        self.upstream.requests()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    /// A POST of a document with the usual token; the answer's JSON.
    pub(crate) async fn query(&self, document: &str) -> Value {
        self.query_as(TOKEN, document).await
    }

    pub(crate) async fn query_as(&self, token: &str, document: &str) -> Value {
        self.post(document, &[("x-auth-token", token)]).await.json
    }

    /// Repeats a query until the answer is as wanted, to wait for background work.
    pub(crate) async fn until(&self, document: &str, wanted: impl Fn(&Value) -> bool) {
        let asking = async {
            while !wanted(&self.query(document).await) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("it never came");
    }

    /// Waits until the gateway has this number of requests in progress.
    pub(crate) async fn in_flight(&self, requests: usize) {
        self.until_metric(&format!("gateway_http_requests_in_flight {requests}")).await;
    }

    /// Waits until the metrics page has a line.
    pub(crate) async fn until_metric(&self, line: &str) {
        let asking = async {
            while !self.admin_get("/metrics").await.1.lines().any(|shown| shown == line) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("it never came");
    }

    /// A POST of a document with some headers; the whole answer.
    pub(crate) async fn post(&self, document: &str, headers: &[(&str, &str)]) -> HttpAnswer {
        let body = json!({ "query": document }).to_string();
        let mut request =
            self.http.post(self.url()).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        HttpAnswer::of(request.send().await.unwrap()).await
    }

    /// A GET from the admin listener: status and body.
    pub(crate) async fn admin_get(&self, path: &str) -> (u16, String) {
        let response = self.http.get(format!("http://{}{path}", self.admin)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Asks the app to stop, as a signal would.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// Waits until the app has stopped.
    pub(crate) async fn stopped(&mut self) {
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }
}

/// An HTTP answer of the gateway.
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) json: Value,
}

impl HttpAnswer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Self { status, headers, json }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The default settings, for an upstream on this machine.
pub(crate) fn config_for(upstream: SocketAddr) -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        admin_listen: "127.0.0.1:0".parse().unwrap(),
        upstream: one_attempt(upstream_at(upstream)),
        graphql: GraphqlConfig { introspection: true, graphiql: true, ..GraphqlConfig::default() },
        ..Config::default()
    }
}

/// A login of `user` in `account`, by an IAM at an address, for the usual project.
pub(crate) fn logs_in(config: &mut Config, iam: Url, password: &str) {
    let (user, domain) = ("user".to_owned(), "account".to_owned());
    let password = Secret::new(password);
    let login = IamLogin { user, password, domain, ..IamLogin::default() };
    config.upstream.credentials = CredentialsMode::Password(login);
    let scope = ProjectScope::Id(PROJECT.to_owned());
    let target = config.upstream.default.as_mut().unwrap();
    target.login = Some(LoginTarget { endpoint: iam, scope });
}

/// Long time limits and lifetimes, for tests with many callers.
pub(crate) fn patient(config: &mut Config) {
    config.upstream.connect_timeout = 2 * PATIENCE;
    config.upstream.attempt_timeout = 2 * PATIENCE;
    config.upstream.deadline = 2 * PATIENCE;
    config.limits.request_timeout = 2 * PATIENCE;
    // One caller gets seven eighths of it.
    config.limits.max_in_flight = 2048;
    config.cache.ttl_active = 2 * PATIENCE;
}

/// The usual region, at an address.
fn upstream_at(upstream: SocketAddr) -> UpstreamConfig {
    let target = Target::at(format!("http://{upstream}").parse().unwrap());
    let target = Target { region: Some(REGION.to_owned()), ..target };
    UpstreamConfig { default: Some(target), ..UpstreamConfig::default() }
}

/// Without retries and circuit breaker, which have their own tests.
fn one_attempt(config: UpstreamConfig) -> UpstreamConfig {
    let breaker = BreakerConfig { min_calls: NonZeroU32::MAX, ..config.breaker };
    UpstreamConfig { max_attempts: NonZeroU32::MIN, breaker, ..config }
}

/// A query for the usual record.
pub(crate) fn screen_record(selection: &str) -> String {
    format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "{RECORD}") {{ {selection} }} }}"#)
}

/// A client without proxies and with a long time limit.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(2 * PATIENCE).build().unwrap()
}
