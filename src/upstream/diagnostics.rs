//! Checks the settings by calling the upstream, for the command `check`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::SignedDuration;
use reqwest::{Method, Request, Response, Url};
use tokio::time::timeout;

use super::client::{Route, Upstream};
use super::credentials::{NOTABLE_SKEW, clock_skew};
use super::http_client::HttpClient;
use super::project_client::Call;
use crate::clock::Clock;
use crate::config::{CredentialsMode, ProjectScope, Target, UpstreamConfig};
use crate::domain::{Diagnostic, ErrorCode, Failure, ProjectId, RecordId, Token, UpstreamAnswer};
use crate::error_chain::chain;

/// No recording and no project has this id, so the best answer is that there is none.
const NO_RECORDING: &str = "00000000000000000000000000000000";

/// Clock skew from which signatures are refused. See
/// <https://support.huaweicloud.com/eu/nl-nl/devg-apisign/api-sign-0001.html>.
const SIGNATURES_ALLOW: SignedDuration = SignedDuration::from_mins(15);

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What works, and what else to know.
    pub notes: Vec<String>,
    /// What does not work.
    pub problems: Vec<Diagnostic>,
}

/// An address from the settings.
pub struct CheckedAddress<'p> {
    /// The service there, such as `the upstream`.
    pub what: &'static str,
    /// The settings that name the address.
    pub setting: String,
    /// The address. Only scheme, host and port are shown.
    pub url: &'p Url,
}

impl Upstream {
    /// Checks the settings: for each project the addresses that a call needs, and the answer to one
    /// request. `served` are the projects that callers may ask for, `None` for all.
    pub async fn diagnose(&self, served: Option<&BTreeSet<ProjectId>>) -> Findings {
        let routes = self.0.get();
        let config = &*routes.config;
        let (mut answers, mut addresses) = (Findings::default(), Findings::default());
        let mut reachable = HashMap::new();
        for route in routes.all() {
            let named = route.project.clone();
            let Some(project) = named.or_else(|| unnamed_project(config, served)) else { continue };
            let mut is_reachable = true;
            for address in addresses_of(route) {
                if !reachable.contains_key(address.url) {
                    let can_be_called = addresses.check(&address, config, &routes.clock).await;
                    reachable.insert(address.url, can_be_called);
                }
                is_reachable &=
                    reachable.get(address.url).is_some_and(|is_reachable| *is_reachable);
            }
            if !is_reachable {
                continue;
            }
            let name = name(route);
            match explain(&self.ask(&project).await, &config.credentials) {
                Ok(note) => answers.notes.push(name + note),
                Err(Diagnostic { problem, remedy }) => {
                    answers.problems.push(Diagnostic::new(name + &problem, remedy));
                }
            }
        }
        answers.add(addresses);
        answers
    }

    /// Makes a test request.
    async fn ask(&self, project: &ProjectId) -> Result<(), Failure> {
        let token = self.uses_callers_token().then(|| Token::new("none"));
        let call = Call { token, request_id: Arc::from("check"), ..Call::default() };
        let id = RecordId::parse(NO_RECORDING)?;
        self.project(project)?.show_screen_record(&call, &id).await.map(drop)
    }
}

impl Findings {
    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.notes.extend(other.notes);
        self.problems.extend(other.problems);
    }

    /// Adds whether an address answers and what the clock there says. Returns whether it can be called.
    async fn check(
        &mut self,
        address: &CheckedAddress<'_>,
        config: &UpstreamConfig,
        clock: &Clock,
    ) -> bool {
        let what = address.what;
        if let Some(proxy) = config.proxies.shown_for(address.url) {
            self.notes.push(format!("{what} is called through the proxy {proxy}"));
        }
        let response = match reach(address, config).await {
            Ok(response) => response,
            Err(diagnostic) => {
                self.problems.push(diagnostic);
                return false;
            }
        };
        let skew = clock_skew(response.headers(), clock.timestamp());
        let Some(skew) = skew.filter(|skew| skew.abs() > NOTABLE_SKEW) else { return true };
        let way = if skew.is_positive() { "behind" } else { "ahead of" };
        let seconds = skew.abs().as_secs();
        let apart = format!("this machine's clock is {seconds} s {way} that of {what}");
        let is_signed =
            matches!(config.credentials, CredentialsMode::AkSk(_) | CredentialsMode::Metadata(_));
        let is_refused = is_signed && skew.abs() >= SIGNATURES_ALLOW;
        if is_refused {
            self.problems.push(Diagnostic::new(
                format!("{apart}, and signatures are refused from 15 minutes on"),
                "set this machine's clock, and keep it right by NTP (chrony, systemd-timesyncd)",
            ));
        } else {
            self.notes.push(format!("{apart}: set it, because tokens and certificates end by it"));
        }
        !is_refused
    }
}

/// A project that no table names and that callers may ask for: that of the gateway's own credentials, if
/// any may be asked for. `None` if all have tables, or none is known.
fn unnamed_project(
    config: &UpstreamConfig,
    served: Option<&BTreeSet<ProjectId>>,
) -> Option<ProjectId> {
    if let Some(served) = served {
        let is_unnamed =
            |project: &&ProjectId| config.projects.iter().all(|named| named.id != **project);
        return served.iter().find(is_unnamed).cloned();
    }
    let own = match &config.credentials {
        CredentialsMode::Passthrough => None,
        CredentialsMode::AkSk(key) => key.project_id.as_deref(),
        CredentialsMode::Metadata(service) => service.project_id.as_deref(),
        CredentialsMode::Password(_) => match &config.default.as_ref()?.login.as_ref()?.scope {
            ProjectScope::Id(id) => Some(id.as_str()),
            ProjectScope::Name(_) => None,
        },
    };
    let any = config.projects.is_empty().then_some(NO_RECORDING);
    ProjectId::parse(own.or(any)?).ok()
}

/// What a project is called before a finding, if a table names it.
fn name(route: &Route) -> String {
    match (&route.project, &route.target.region) {
        (Some(project), Some(region)) => format!("project {project} in {region}: "),
        (Some(project), None) => format!("project {project}: "),
        (None, _) => String::new(),
    }
}

fn addresses_of(route: &Route) -> Vec<CheckedAddress<'_>> {
    let keys = match &route.project {
        Some(project) => format!("projects.{project}"),
        None => "upstream".to_owned(),
    };
    let Target { endpoint, login, .. } = &route.target;
    let setting = format!("{keys}.endpoint or {keys}.region");
    let mut addresses = vec![CheckedAddress { what: "the upstream", setting, url: endpoint }];
    if let Some(login) = login {
        let setting = format!("HUAWEICLOUD_SDK_IAM_ENDPOINT or {keys}.region");
        addresses.push(CheckedAddress { what: "IAM", setting, url: &login.endpoint });
    }
    if let CredentialsMode::Metadata(service) = &route.limits.credentials {
        let setting = "upstream.metadata_endpoint (there is one on cloud servers only)";
        let (setting, url) = (setting.to_owned(), &service.endpoint);
        addresses.push(CheckedAddress { what: "the metadata service", setting, url });
    }
    addresses
}

/// Explains the answer to a test request.
fn explain(
    answer: &Result<(), Failure>,
    mode: &CredentialsMode,
) -> Result<&'static str, Diagnostic> {
    use CredentialsMode::{AkSk, Metadata, Passthrough, Password};
    use ErrorCode::{BadUserInput, Forbidden, NotFound, Unauthenticated, UpstreamUnauthenticated};
    const REFUSED: &str = "the upstream does not accept the gateway's credentials";
    let Err(failure) = answer else { return Ok("the upstream answered") };
    let answer = failure.upstream();
    let has_code = answer.is_some_and(|answer| answer.error_code.is_some());
    let (problem, remedy) = match (failure.code(), mode) {
        (NotFound | BadUserInput, _) if has_code => {
            return Ok("the upstream was reached and knows the credentials");
        }
        (Unauthenticated, Passthrough) if has_code => {
            return Ok("the upstream was reached and asks for a token, which every caller brings");
        }
        (Unauthenticated | UpstreamUnauthenticated, AkSk(_)) => (
            REFUSED.to_owned(),
            "check HUAWEICLOUD_SDK_AK, HUAWEICLOUD_SDK_SK and a temporary key's \
             HUAWEICLOUD_SDK_SECURITY_TOKEN; five more refusals lock the key for five minutes",
        ),
        (Unauthenticated | UpstreamUnauthenticated, Password(_)) => (
            REFUSED.to_owned(),
            "check iam.user, iam.password, iam.domain and the project; five failed logins lock the \
             user for 15 minutes",
        ),
        (Unauthenticated | UpstreamUnauthenticated, Metadata(_)) => {
            (REFUSED.to_owned(), "check that the server has an agency that may read recordings")
        }
        (Forbidden, _) => (
            "the credentials may not read recordings of this project".to_owned(),
            "check that the project is of the region that upstream.region or its table names, and \
             grant workspace:screenRecord:get",
        ),
        // A service in trouble; other answers are none of the screen-recording API.
        _ if failure.is_retryable() => (
            format!("{failure}, although its address answers"),
            "check again; if that stays so, look at the status of the service and its quota",
        ),
        _ => (
            "what answers is not the screen-recording API".to_owned(),
            "check that upstream.endpoint is Workspace's address, or that upstream.region has \
             Workspace",
        ),
    };
    Err(Diagnostic::new(problem + &answer.map(said).unwrap_or_default(), remedy))
}

/// The upstream's error, which is redacted already.
fn said(answer: &UpstreamAnswer) -> String {
    let code = answer.error_code.as_deref().unwrap_or("no code");
    let message = answer.error_message.as_deref().unwrap_or("no message");
    let request = answer.request_id.as_deref().map(|id| format!(", request {id}"));
    format!(" (status {}, {code}: {message}{})", answer.status, request.unwrap_or_default())
}

/// Calls an address once, without credentials, with the time limits and certificates of `config`. A response
/// of any status shows that name, route, certificate and protocol are right.
///
/// # Errors
/// If there is no response; why.
pub async fn reach(
    address: &CheckedAddress<'_>,
    config: &UpstreamConfig,
) -> Result<Response, Diagnostic> {
    let CheckedAddress { what, setting, url } = address;
    let http = HttpClient::new(url, config).map_err(|_| {
        let problem = "the certificates that this machine trusts cannot be read";
        Diagnostic::new(problem, "install the package ca-certificates, or set upstream.ca_file")
    })?;
    let port = url.port_or_known_default().unwrap_or_default();
    let shown = format!("{}:{port}", url.host_str().unwrap_or_default());
    let within = config.attempt_timeout;
    let sending = timeout(within, http.execute(Request::new(Method::GET, (*url).clone())));
    let error = match sending.await.map(|sent| sent.response) {
        Ok(Ok(response)) => return Ok(response),
        Ok(Err(error)) => error,
        Err(_elapsed) => {
            return Err(Diagnostic::new(
                format!("{what} at {shown} gives no answer within {within:?}"),
                format!("check {setting}; a slow service needs a longer upstream.attempt_timeout"),
            ));
        }
    };
    let tls: Option<&rustls::Error> = chain(&error).find_map(|error| error.downcast_ref());
    // The text of the root cause: outer texts may repeat the address in full.
    let why = tls.map(ToString::to_string).or_else(|| Some(chain(&error).last()?.to_string()));
    let why = why.unwrap_or_default();
    if let Some(proxy) = config.proxies.shown_for(url).filter(|_| error.is_connect()) {
        return Err(Diagnostic::new(
            format!("{shown} cannot be reached through the proxy {proxy}: {why}"),
            "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or name the host in NO_PROXY",
        ));
    }
    let (problem, hint) = match tls {
        Some(rustls::Error::InvalidCertificate(_)) => (
            format!("the certificate of {shown} is not accepted"),
            "and this machine's clock; set upstream.ca_file for a CA of your own, and have an \
             expired certificate renewed",
        ),
        Some(_) => (
            format!("there is no TLS connection to {shown}"),
            "and the scheme: TLS 1.2 or 1.3 is needed, and plain HTTP is written http://",
        ),
        None if error.is_connect() => (
            format!("{shown} cannot be connected to"),
            "that the service runs, and the DNS, routes and firewalls on the way; a far one needs a \
             longer upstream.connect_timeout",
        ),
        None => {
            (format!("{shown} gives no HTTP response"), "and the scheme, which may be https://")
        }
    };
    let remedy = format!("check host and port in {setting}, {hint}");
    Err(Diagnostic::new(format!("{problem}: {why}"), remedy))
}
