//! Checks the settings by calling the upstream, for the command `check`.

mod reachability;

use jiff::SignedDuration;

pub use self::reachability::{CheckedAddress, Reached, reach};
use super::error_mapping::Code;
use crate::clock::Clock;
use crate::config::{CredentialsMode, UpstreamConfig};
use crate::domain::{Diagnostic, Failure, FailureCode, UpstreamAnswer};

/// Clock skew from which signatures are refused. See
/// <https://support.huaweicloud.com/eu/nl-nl/devg-apisign/api-sign-0001.html>.
const SIGNATURES_ALLOW: SignedDuration = SignedDuration::from_mins(15);
/// Clock skew that is reported.
const NOTABLE: SignedDuration = SignedDuration::from_mins(5);

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// The settings work: the reason, then notes.
    Ready(Vec<String>),
    /// The settings do not work.
    NotReady(Vec<Diagnostic>),
}

/// Checks every address that a call needs, and the clocks there. Returns notes if all is well.
pub(super) async fn check_addresses(
    config: &UpstreamConfig,
    clock: &Clock,
) -> Result<Vec<String>, Vec<Diagnostic>> {
    let mut notes = Vec::new();
    let mut diagnostics = Vec::new();
    for address in addresses(config) {
        if let Some(proxy) = config.proxies.shown_for(address.url) {
            notes.push(format!("{} is called through the proxy {proxy}", address.what));
        }
        match reach(&address, config, clock).await {
            Ok(Reached { skew: Some(skew), .. }) => match check_clock(&address, skew, config) {
                Some(Err(diagnostic)) => diagnostics.push(diagnostic),
                Some(Ok(note)) => notes.push(note),
                None => {}
            },
            Ok(Reached { skew: None, .. }) => {}
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    if diagnostics.is_empty() { Ok(notes) } else { Err(diagnostics) }
}

fn addresses(config: &UpstreamConfig) -> Vec<CheckedAddress<'_>> {
    let setting = "upstream.endpoint or upstream.region";
    let mut addresses =
        vec![CheckedAddress { what: "the upstream", setting, url: &config.endpoint }];
    match &config.credentials {
        CredentialsMode::Passthrough | CredentialsMode::AkSk(_) => {}
        CredentialsMode::Password(login) => {
            let setting = "HUAWEICLOUD_SDK_IAM_ENDPOINT or upstream.region";
            addresses.push(CheckedAddress { what: "IAM", setting, url: &login.endpoint });
        }
        CredentialsMode::Metadata(service) => {
            let setting = "upstream.metadata_endpoint (there is one on cloud servers only)";
            addresses.push(CheckedAddress {
                what: "the metadata service",
                setting,
                url: &service.endpoint,
            });
        }
    }
    addresses
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
pub(super) fn explain_failure(
    failure: &Failure,
    config: &UpstreamConfig,
) -> Result<String, Diagnostic> {
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
            "check that the project (HUAWEICLOUD_SDK_PROJECT_ID, inbound.projects) is of the region \
             that upstream.region or upstream.endpoint names, and grant workspace:screenRecord:get",
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
