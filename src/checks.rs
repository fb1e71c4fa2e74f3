//! The checks of the command `check`: the files that the settings name, callers' keys, the shared cache and
//! the upstream.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::clock::Clock;
use crate::config::{
    Config, CredentialsMode, InboundAuth, InboundConfig, JwksSource, JwtConfig, UpstreamConfig,
};
use crate::domain::Diagnostic;
use crate::error_chain::on_one_line;
use crate::http::{AuthParts, Authenticator, TlsChange, check_audit_log, check_documents};
use crate::records::check_shared;
use crate::upstream::{CheckedAddress, Findings, Upstream, UpstreamMetrics, reach};

/// The remedy for a file.
const FILES: &str = "check the path, that the user whom the gateway runs as may read the file, and \
                     that it is written as docs/DEPLOYMENT.md describes it";

/// The remedy for the file of the audit log.
const WRITTEN_FILE: &str =
    "check the path, and that the user whom the gateway runs as may write the file";

/// Checks everything.
pub(crate) async fn run(config: &Config) -> Findings {
    let mut findings = Findings { problems: files(config), ..Findings::default() };
    let Config { upstream, inbound, cache, .. } = config;
    findings.problems.extend(callers(inbound, upstream).await.err());
    if let Some(shared) = &cache.shared {
        findings.problems.extend(check_shared(shared).await.err());
    }
    match Upstream::new(upstream, UpstreamMetrics::default(), Clock::default()) {
        Ok(client) => findings.add(client.diagnose(inbound.projects.as_ref()).await),
        Err(error) => findings.problems.push(Diagnostic::new(
            on_one_line(&error),
            "install the package ca-certificates, or set upstream.ca_file",
        )),
    }
    findings
}

/// Checks the files of certificates, of trusted documents and of the audit log.
fn files(config: &Config) -> Vec<Diagnostic> {
    let read = [TlsChange::read(config.tls.as_ref()).map(drop), check_documents(&config.graphql)];
    let read = read.into_iter().map(|read| (read, FILES));
    let written = (check_audit_log(&config.audit), WRITTEN_FILE);
    let checked = read.chain([written]);
    checked
        .filter_map(|(checked, remedy)| Some(Diagnostic::new(on_one_line(&checked.err()?), remedy)))
        .collect()
}

/// Checks the keys of callers, or of their tokens' issuer.
async fn callers(inbound: &InboundConfig, upstream: &UpstreamConfig) -> Result<(), Diagnostic> {
    let parts = AuthParts {
        passes_tokens: matches!(upstream.credentials, CredentialsMode::Passthrough),
        clock: Clock::default(),
        tasks: TaskTracker::new(),
        stopping: CancellationToken::new(),
    };
    match Authenticator::start(inbound, parts).await {
        Ok(callers) => match (callers.trouble(), &inbound.auth) {
            (None, _) => Ok(()),
            (Some(_), InboundAuth::Jwt(JwtConfig { jwks: JwksSource::Address(address), .. })) => {
                Err(keys(address, upstream).await)
            }
            (Some(trouble), _) => Err(Diagnostic::new(trouble, "check inbound.jwt_jwks")),
        },
        Err(error) => Err(Diagnostic::new(on_one_line(&error), FILES)),
    }
}

/// Finds out why an address has no keys.
async fn keys(address: &Url, upstream: &UpstreamConfig) -> Diagnostic {
    // The upstream's certificates are trusted for the upstream alone.
    let config = UpstreamConfig { ca_certificates: Vec::new(), ..upstream.clone() };
    let (what, setting) = ("the address of the keys", "inbound.jwt_jwks".to_owned());
    match reach(&CheckedAddress { what, setting, url: address }, &config).await {
        Err(diagnostic) => diagnostic,
        Ok(response) => Diagnostic::new(
            format!(
                "inbound.jwt_jwks answers with status {}, but not with a set of keys that \
                 signatures can be checked with",
                response.status().as_u16(),
            ),
            "set it to the address that the issuer's metadata names as jwks_uri",
        ),
    }
}
