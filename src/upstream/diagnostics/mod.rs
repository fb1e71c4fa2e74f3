//! Checks the settings by calling the upstream, for the command `check`.

mod reachability;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::SignedDuration;

pub use self::reachability::{CheckedAddress, Reached, reach};
use super::api_request::Call;
use super::client::Upstream;
use super::routes::Route;
use crate::clock::Clock;
use crate::config::{CredentialsMode, ProjectScope, Target, UpstreamConfig};
use crate::domain::{Diagnostic, ErrorCode, Failure, ProjectId, RecordId, Token, UpstreamAnswer};

/// No recording and no project has this id, so the best answer is that there is none.
const NO_RECORDING: &str = "00000000000000000000000000000000";

/// Clock skew from which signatures are refused. See
/// <https://support.huaweicloud.com/eu/nl-nl/devg-apisign/api-sign-0001.html>.
const SIGNATURES_ALLOW: SignedDuration = SignedDuration::from_mins(15);
/// Clock skew that is reported.
const NOTABLE: SignedDuration = SignedDuration::from_mins(5);

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What works, and what else to know.
    pub notes: Vec<String>,
    /// What does not work.
    pub problems: Vec<Diagnostic>,
}

impl Upstream {
    /// Checks the settings: for each project the addresses that a call needs, and the answer to one
    /// request. `served` are the projects that callers may ask for, `None` for all.
    pub async fn diagnose(&self, served: Option<&BTreeSet<ProjectId>>) -> Findings {
        let routes = self.routes();
        let config = &*routes.config;
        let (mut answers, mut addresses) = (Findings::default(), Findings::default());
        let mut reachable = HashMap::new();
        for route in routes.all() {
            let named = route.project.clone();
            let Some(project) = named.or_else(|| unnamed_project(config, served)) else { continue };
            let mut is_reachable = true;
            for address in addresses_of(route) {
                let key = address.url.clone();
                if !reachable.contains_key(&key) {
                    let found = check_address(&address, config, self.clock()).await;
                    reachable.insert(key.clone(), found.problems.is_empty());
                    addresses.add(found);
                }
                is_reachable &= reachable.get(&key).is_some_and(|is_reachable| *is_reachable);
            }
            if is_reachable {
                let name = name(route);
                match self.ask(&project, config).await {
                    Ok(note) => answers.notes.push(name + &note),
                    Err(Diagnostic { problem, remedy }) => {
                        answers.problems.push(Diagnostic::new(name + &problem, remedy));
                    }
                }
            }
        }
        answers.add(addresses);
        answers
    }

    /// Makes a test request.
    async fn ask(
        &self,
        project: &ProjectId,
        config: &UpstreamConfig,
    ) -> Result<String, Diagnostic> {
        let token = self.uses_callers_token().then(|| Token::new("none"));
        let call = Call { token, request_id: Arc::from("check"), ..Call::default() };
        let asking = async {
            let id = RecordId::parse(NO_RECORDING)?;
            self.project(project)?.show_screen_record(&call, &id).await
        };
        match asking.await {
            Ok(_) => Ok("the upstream answered".to_owned()),
            Err(failure) => explain_failure(&failure, &config.credentials),
        }
    }
}

impl Findings {
    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.notes.extend(other.notes);
        self.problems.extend(other.problems);
    }
}

/// A project that no table names and that callers may ask for: that of the gateway's own credentials, if
/// any may be asked for. `None` if all have tables, or none is known.
fn unnamed_project(
    config: &UpstreamConfig,
    served: Option<&BTreeSet<ProjectId>>,
) -> Option<ProjectId> {
    if let Some(served) = served {
        let is_named =
            |project: &ProjectId| config.projects.iter().any(|named| named.id == *project);
        return served.iter().find(|project| !is_named(project)).cloned();
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
    let mut addresses = vec![CheckedAddress {
        what: "the upstream",
        setting: format!("{keys}.endpoint or {keys}.region"),
        url: endpoint,
    }];
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

/// Checks whether an address answers, and the clock there.
async fn check_address(
    address: &CheckedAddress<'_>,
    config: &UpstreamConfig,
    clock: &Clock,
) -> Findings {
    let mut findings = Findings::default();
    if let Some(proxy) = config.proxies.shown_for(address.url) {
        findings.notes.push(format!("{} is called through the proxy {proxy}", address.what));
    }
    let skew = match reach(address, config, clock).await {
        Ok(reached) => reached.skew.filter(|skew| skew.abs() > NOTABLE),
        Err(diagnostic) => {
            findings.problems.push(diagnostic);
            None
        }
    };
    let Some(skew) = skew else { return findings };
    let way = if skew.is_positive() { "behind" } else { "ahead of" };
    let seconds = skew.abs().as_secs();
    let apart = format!("this machine's clock is {seconds} s {way} that of {}", address.what);
    let is_signed =
        matches!(config.credentials, CredentialsMode::AkSk(_) | CredentialsMode::Metadata(_));
    if is_signed && skew.abs() >= SIGNATURES_ALLOW {
        findings.problems.push(Diagnostic::new(
            format!("{apart}, and signatures are refused from 15 minutes on"),
            "set this machine's clock, and keep it right by NTP (chrony, systemd-timesyncd)",
        ));
    } else {
        let why = "for lives of tokens and certificates go by it";
        findings.notes.push(format!("{apart}: set it, {why}"));
    }
    findings
}

/// Explains the failure of a test request to addresses that answer.
fn explain_failure(failure: &Failure, mode: &CredentialsMode) -> Result<String, Diagnostic> {
    use ErrorCode::{BadUserInput, Forbidden, NotFound, Unauthenticated, UpstreamUnauthenticated};
    let answer = failure.upstream();
    let has_code = answer.is_some_and(|answer| answer.error_code.is_some());
    let callers = matches!(mode, CredentialsMode::Passthrough);
    let (problem, remedy) = match failure.code() {
        NotFound | BadUserInput if has_code => {
            return Ok("the upstream was reached and knows the credentials".to_owned());
        }
        Unauthenticated if callers && has_code => {
            let reached =
                "the upstream was reached and asks for a token, which every caller brings";
            return Ok(reached.to_owned());
        }
        Unauthenticated | UpstreamUnauthenticated if !callers => (
            "the upstream does not accept the gateway's credentials".to_owned(),
            refused_credentials(mode),
        ),
        Forbidden => (
            "the credentials may not read recordings of this project".to_owned(),
            "check that the project (HUAWEICLOUD_SDK_PROJECT_ID, inbound.projects or its table) is of the \
             region that upstream.region, upstream.endpoint or its table names, and grant \
             workspace:screenRecord:get",
        ),
        // A service in trouble; other answers are none of the screen-recording API.
        _ if failure.is_retryable() => (
            format!("{failure}, although its address answers"),
            "check again; if that stays so, look at the status of the service, its quota, \
             upstream.endpoint and upstream.attempt_timeout; the id of the request is what the cloud's \
             support asks for",
        ),
        _ => (
            "what answers is not the screen-recording API".to_owned(),
            "check that upstream.endpoint is Workspace's address, or that upstream.region is a region \
             that has Workspace",
        ),
    };
    Err(Diagnostic::new(problem + &answer.map(said).unwrap_or_default(), remedy))
}

fn refused_credentials(mode: &CredentialsMode) -> &'static str {
    match mode {
        CredentialsMode::Passthrough => "send a token of the project and region",
        CredentialsMode::AkSk(_) => {
            "check HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, that the key is active, and a temporary \
             key's HUAWEICLOUD_SDK_SECURITY_TOKEN; more than five refusals in a row lock a key for \
             five minutes"
        }
        CredentialsMode::Password(_) => {
            "check iam.user, iam.password, iam.domain and the project; five failed logins lock the \
             user for 15 minutes"
        }
        CredentialsMode::Metadata(_) => {
            "check that the server has an agency, and that it may read recordings"
        }
    }
}

/// The upstream's error, which is redacted already.
fn said(answer: &UpstreamAnswer) -> String {
    let code = answer.error_code.as_deref().unwrap_or("no code");
    let message = answer.error_message.as_deref().unwrap_or("no message");
    let request = answer.request_id.as_deref().map(|id| format!(", request {id}"));
    format!(" (status {}, {code}: {message}{})", answer.status, request.unwrap_or_default())
}
