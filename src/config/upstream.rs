//! `upstream.*`: where the upstream is, who we are to it, and how long we wait.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::tz::TimeZone;
use url::Url;

use crate::domain::Secret;

/// How the upstream is reached.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Base address: `upstream.endpoint`, or the public one of `upstream.region`.
    pub endpoint: Url,
    /// `upstream.credentials`, with what they need.
    pub credentials: CredentialsMode,
    /// `upstream.time_zone`: the zone of timestamps that carry none.
    pub time_zone: TimeZone,
    /// `upstream.connect_timeout`
    pub connect_timeout: Duration,
    /// `upstream.attempt_timeout`: one attempt, body included.
    pub attempt_timeout: Duration,
    /// `upstream.deadline`: all attempts and waits of one load.
    pub deadline: Duration,
    /// `upstream.max_concurrency`: requests under way to the upstream.
    pub max_concurrency: NonZeroU32,
    /// `upstream.max_body_bytes`: a larger answer, once decompressed, is an error.
    pub max_body_bytes: usize,
}

/// Whose credentials go upstream.
#[derive(Clone, Debug)]
pub enum CredentialsMode {
    /// The caller's own token is sent on.
    Passthrough,
    /// The gateway signs with an access key of its own.
    AkSk(AccessKey),
}

/// An access key pair, permanent or temporary.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// Access key id. Not a secret by itself, but kept out of logs and errors.
    pub access: Secret,
    /// Secret key.
    pub secret: Secret,
    /// Makes the pair temporary.
    pub security_token: Option<Secret>,
    /// Sent as `X-Project-Id` where set.
    pub project_id: Option<String>,
}

impl UpstreamConfig {
    /// The defaults, for an upstream at `endpoint`.
    pub fn at(endpoint: Url) -> Self {
        Self {
            endpoint,
            credentials: CredentialsMode::Passthrough,
            time_zone: TimeZone::UTC,
            connect_timeout: Duration::from_secs(2),
            attempt_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            max_concurrency: NonZeroU32::new(256).unwrap_or(NonZeroU32::MIN),
            max_body_bytes: 1024 * 1024,
        }
    }
}
