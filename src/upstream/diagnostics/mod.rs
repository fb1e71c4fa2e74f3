//! Checks the settings by calling the upstream, for the command `check`.

mod reachability;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::SignedDuration;

pub use self::reachability::{CheckedAddress, Reached, reach};
use super::api_request::Call;
use super::client::Upstream;
use super::error_mapping::Code;
use crate::clock::Clock;
use crate::config::{CredentialsMode, Target, UpstreamConfig};
use crate::domain::{Diagnostic, Failure, FailureCode, ProjectId, RecordId, Token, UpstreamAnswer};

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

/// A target to check, and the project that is asked for there.
struct Subject<'c> {
    /// The project, if a table names it.
    named: Option<&'c ProjectId>,
    target: &'c Target,
    project: ProjectId,
}

impl Upstream {
    /// Checks the settings: for each project the addresses that a call needs, and the answer to one
    /// request. `served` are the projects that callers may ask for, `None` for all.
    pub async fn diagnose(&self, served: Option<&BTreeSet<ProjectId>>) -> Findings {
        let routes = self.routes();
        let config = &*routes.config;
        let (mut answers, mut addresses) = (Findings::default(), Findings::default());
        let mut reachable = HashMap::new();
        let own = routes.default.as_ref().and_then(|route| route.credentials.project());
        for subject in subjects(config, served, own.as_deref()) {
            let mut is_reachable = true;
            for address in subject.addresses(config) {
                let key = address.url.clone();
                if !reachable.contains_key(&key) {
                    let found = check_address(&address, config, self.clock()).await;
                    reachable.insert(key.clone(), found.problems.is_empty());
                    addresses.add(found);
                }
                is_reachable &= reachable.get(&key).is_some_and(|is_reachable| *is_reachable);
            }
            if is_reachable {
                answers.add(self.ask(&subject, config).await);
            }
        }
        answers.add(addresses);
        answers
    }

    /// Makes a test request.
    async fn ask(&self, subject: &Subject<'_>, config: &UpstreamConfig) -> Findings {
        let token = self.uses_callers_token().then(|| Token::new("none"));
        let call = Call { token, request_id: Arc::from("check"), ..Call::default() };
        let asking = async {
            let id = RecordId::parse(NO_RECORDING)?;
            self.project(&subject.project)?.show_screen_record(&call, &id).await
        };
        let verdict = match asking.await {
            Ok(_) => Ok("the upstream answered".to_owned()),
            Err(failure) => explain_failure(&failure, config),
        };
        let of = subject.name().map(|name| format!("{name}: ")).unwrap_or_default();
        match verdict {
            Ok(reason) => Findings { notes: vec![of + &reason], problems: Vec::new() },
            Err(Diagnostic { problem, remedy }) => {
                let problem = Diagnostic::new(of + &problem, remedy);
                Findings { notes: Vec::new(), problems: vec![problem] }
            }
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

/// The targets to check. Projects that no table names are checked by one of them, if one is known.
fn subjects<'c>(
    config: &'c UpstreamConfig,
    served: Option<&BTreeSet<ProjectId>>,
    own: Option<&str>,
) -> Vec<Subject<'c>> {
    let is_named = |project: &ProjectId| config.projects.iter().any(|named| named.id == *project);
    let unnamed = served.and_then(|served| served.iter().find(|project| !is_named(project)));
    let some = if served.is_some_and(|served| served.iter().all(is_named)) {
        None
    } else if config.projects.is_empty() {
        Some(own.unwrap_or(NO_RECORDING))
    } else {
        own
    };
    let project = unnamed.cloned().or_else(|| ProjectId::parse(some?).ok());
    let default = config.default.as_ref().zip(project);
    let default = default.map(|(target, project)| Subject { named: None, target, project });
    let named = config.projects.iter().map(|named| Subject {
        named: Some(&named.id),
        target: &named.target,
        project: named.id.clone(),
    });
    default.into_iter().chain(named).collect()
}

impl<'c> Subject<'c> {
    /// What the project is called in findings.
    fn name(&self) -> Option<String> {
        let project = self.named?;
        Some(match &self.target.region {
            Some(region) => format!("project {project} in {region}"),
            None => format!("project {project}"),
        })
    }

    fn addresses(&self, config: &'c UpstreamConfig) -> Vec<CheckedAddress<'c>> {
        let keys = match self.named {
            Some(project) => format!("projects.{project}"),
            None => "upstream".to_owned(),
        };
        let Target { endpoint, login, .. } = self.target;
        let mut addresses = vec![CheckedAddress {
            what: "the upstream",
            setting: format!("{keys}.endpoint or {keys}.region"),
            url: endpoint,
        }];
        if let Some(login) = login {
            let setting = format!("HUAWEICLOUD_SDK_IAM_ENDPOINT or {keys}.region");
            addresses.push(CheckedAddress { what: "IAM", setting, url: &login.endpoint });
        }
        if let CredentialsMode::Metadata(service) = &config.credentials {
            let setting = "upstream.metadata_endpoint (there is one on cloud servers only)";
            let (setting, url) = (setting.to_owned(), &service.endpoint);
            addresses.push(CheckedAddress { what: "the metadata service", setting, url });
        }
        addresses
    }
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
    match reach(address, config, clock).await {
        Ok(Reached { skew: Some(skew), .. }) => match check_clock(address, skew, config) {
            Some(Err(diagnostic)) => findings.problems.push(diagnostic),
            Some(Ok(note)) => findings.notes.push(note),
            None => {}
        },
        Ok(Reached { skew: None, .. }) => {}
        Err(diagnostic) => findings.problems.push(diagnostic),
    }
    findings
}

/// A note, or a problem, if this machine's clock differs from that of an address.
fn check_clock(
    address: &CheckedAddress<'_>,
    skew: SignedDuration,
    config: &UpstreamConfig,
) -> Option<Result<String, Diagnostic>> {
    if skew.abs() <= NOTABLE {
        return None;
    }
    let way = if skew.is_positive() { "behind" } else { "ahead of" };
    let seconds = skew.abs().as_secs();
    let apart = format!("this machine's clock is {seconds} s {way} that of {}", address.what);
    let is_signed =
        matches!(config.credentials, CredentialsMode::AkSk(_) | CredentialsMode::Metadata(_));
    if is_signed && skew.abs() >= SIGNATURES_ALLOW {
        let problem = format!("{apart}, and signatures are refused from 15 minutes on");
        let remedy =
            "set this machine's clock, and keep it right by NTP (chrony, systemd-timesyncd)";
        return Some(Err(Diagnostic::new(problem, remedy)));
    }
    Some(Ok(format!("{apart}: set it, for lives of tokens and certificates go by it")))
}

/// Explains the failure of a test request to addresses that answer.
fn explain_failure(failure: &Failure, config: &UpstreamConfig) -> Result<String, Diagnostic> {
    let callers = matches!(config.credentials, CredentialsMode::Passthrough);
    let has_code = failure.upstream().is_some_and(|answer| answer.error_code.is_some());
    let said = failure.upstream().map(said).unwrap_or_default();
    match failure.code() {
        FailureCode::NotFound | FailureCode::BadUserInput if has_code => {
            Ok("the upstream was reached and knows the credentials".to_owned())
        }
        FailureCode::Unauthenticated if callers && has_code => {
            Ok("the upstream was reached and asks for a token, which every caller brings"
                .to_owned())
        }
        FailureCode::NotFound
        | FailureCode::BadUserInput
        | FailureCode::ResponseTooLarge
        | FailureCode::UpstreamInvalidResponse => Err(another_service(&said)),
        FailureCode::Unauthenticated if callers => Err(another_service(&said)),
        FailureCode::Unauthenticated | FailureCode::UpstreamUnauthenticated => {
            Err(refused_credentials(&config.credentials, &said))
        }
        FailureCode::Forbidden => Err(Diagnostic::new(
            format!("the credentials may not read recordings of this project{said}"),
            "check that the project (HUAWEICLOUD_SDK_PROJECT_ID, inbound.projects or its table) is of the \
             region that upstream.region, upstream.endpoint or its table names, and grant \
             workspace:screenRecord:get",
        )),
        FailureCode::RateLimited => Err(Diagnostic::new(
            format!("{failure}{said}"),
            "wait a minute and check again; if that stays so, have the quota of the API raised",
        )),
        FailureCode::UpstreamUnavailable | FailureCode::UpstreamTimeout => Err(Diagnostic::new(
            format!("{failure}, although its address answers{said}"),
            "check again; if that stays so, look at the status of the service, at \
             upstream.attempt_timeout and upstream.deadline, and at what stands in between",
        )),
        FailureCode::UpstreamError if is_unknown_api(failure) => Err(another_service(&said)),
        FailureCode::Conflict | FailureCode::UpstreamError | FailureCode::Overloaded => {
            Err(Diagnostic::new(
                format!("{failure}{said}"),
                "check upstream.endpoint and upstream.region; the id of the request, where there is \
                 one, is what the cloud's support asks for",
            ))
        }
    }
}

/// Whether the API gateway has no such API at this host.
fn is_unknown_api(failure: &Failure) -> bool {
    let code = failure.upstream().and_then(|answer| answer.error_code.as_deref());
    matches!(
        code.and_then(Code::of),
        Some(Code::Gateway("0101" | "0103" | "0104" | "0105" | "0106"))
    )
}

fn another_service(said: &str) -> Diagnostic {
    Diagnostic::new(
        format!("what answers is not the screen-recording API{said}"),
        "check that upstream.endpoint is Workspace's address, or that upstream.region is a region \
         that has Workspace",
    )
}

fn refused_credentials(mode: &CredentialsMode, said: &str) -> Diagnostic {
    let (whose, remedy) = match mode {
        CredentialsMode::Passthrough => ("the token", "send one of the project and region"),
        CredentialsMode::AkSk(_) => (
            "the access key",
            "check HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, that the key is active, and a temporary \
             key's HUAWEICLOUD_SDK_SECURITY_TOKEN; more than five refusals in a row lock a key for \
             five minutes",
        ),
        CredentialsMode::Password(_) => (
            "the login",
            "check iam.user, iam.password, iam.domain and the project; five failed logins lock the \
             user for 15 minutes",
        ),
        CredentialsMode::Metadata(_) => (
            "the temporary key",
            "check that the server has an agency, and that it may read recordings",
        ),
    };
    Diagnostic::new(format!("the upstream does not accept {whose}{said}"), remedy)
}

/// The upstream's error, which is redacted already.
fn said(answer: &UpstreamAnswer) -> String {
    let code = answer.error_code.as_deref().unwrap_or("no code");
    let message = answer.error_message.as_deref().unwrap_or("no message");
    let request = answer.request_id.as_deref().map(|id| format!(", request {id}"));
    format!(" (status {}, {code}: {message}{})", answer.status, request.unwrap_or_default())
}
