//! Temporary keys of a cloud server, from its metadata service.
//!
//! The service answers on a link-local address of the server. Newer ones require a session token. Keys
//! live for an hour, and new ones appear ten minutes before their end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;

use super::super::api_request::below;
use super::super::attempt::{Answer, HttpRequest, exchange_within, malformed};
use super::super::http_client::{HttpClient, ca_certificates};
use super::lease::{Issued, Lease, refusal};
use super::signing::secret_value;
use crate::clock::Clock;
use crate::config::{AccessKey, MetadataService, UpstreamConfig};
use crate::domain::{Failure, Secret};

const SESSION_TTL_HEADER: HeaderName = HeaderName::from_static("x-metadata-token-ttl-seconds");
const SESSION_HEADER: HeaderName = HeaderName::from_static("x-metadata-token");
/// The lifetime of a session token.
const SESSION_LIFE: Duration = Duration::from_hours(6);
/// How long it is used: a minute less, so that it does not end in flight.
const SESSION_USE: Duration = SESSION_LIFE.saturating_sub(Duration::from_mins(1));
/// How long a service without session tokens is not asked for one again.
const NO_SESSIONS_FOR: Duration = Duration::from_hours(24);
/// The official SDK's limit to connect to this address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The same, and three seconds for the response.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(6);
/// Keys are renewed when less than this is left.
const RENEW_AHEAD: Duration = Duration::from_mins(10);
/// The most bytes of a response.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Fetches temporary keys.
pub(crate) struct MetadataKeys {
    service: MetadataService,
    http: HttpClient,
    session: Mutex<Option<Session>>,
    clock: Clock,
}

/// A session token, or that the service has none, and until when that holds.
#[derive(Clone)]
struct Session {
    token: Option<Secret>,
    until: Instant,
}

/// A temporary key, in any of the shapes that the official SDK accepts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Nested {
        #[serde(alias = "credentials")]
        credential: Key,
    },
    Flat(Key),
}

#[derive(Deserialize)]
struct Key {
    #[serde(alias = "accessKeyId", alias = "access_key_id")]
    access: String,
    #[serde(alias = "secretAccessKey", alias = "secret_access_key")]
    secret: String,
    #[serde(alias = "securityToken", alias = "security_token")]
    securitytoken: String,
    #[serde(alias = "expiration")]
    expires_at: String,
}

impl MetadataKeys {
    /// Never calls through a proxy: the address is this machine's own. With TLS only the configured CAs are
    /// trusted: no public one certifies such an address.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn new(
        service: &MetadataService,
        config: &UpstreamConfig,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        let certificates = ca_certificates(config)?;
        let http = HttpClient::direct(&service.endpoint, certificates, CONNECT_TIMEOUT)?;
        Ok(Self { service: service.clone(), http, session: Mutex::default(), clock })
    }

    pub(crate) async fn issue(&self) -> Result<Lease, Failure> {
        let session = self.session().await?;
        let answer = self.security_key(session.as_ref()).await?;
        if answer.status != 401 || session.is_none() || says_no_agency(&answer.body) {
            return self.read(&answer);
        }
        // The session has ended early.
        *self.session.lock() = None;
        let session = self.session().await?;
        self.read(&self.security_key(session.as_ref()).await?)
    }

    /// The session token, new if need be; `None` if the service has none.
    async fn session(&self) -> Result<Option<Secret>, Failure> {
        let now = self.clock.now();
        let known = self.session.lock().clone();
        if let Some(session) = known.filter(|session| now < session.until) {
            return Ok(session.token);
        }
        let life = (SESSION_TTL_HEADER, HeaderValue::from(SESSION_LIFE.as_secs()));
        let answer = self.ask(Method::PUT, "/meta-data/latest/api/token", Some(life)).await?;
        let (token, lasts) = match answer.status {
            200..300 => {
                let token = String::from_utf8_lossy(&answer.body);
                (Some(Secret::new(token.trim())), SESSION_USE)
            }
            // An older service, which needs no session.
            404 | 405 | 503 => (None, NO_SESSIONS_FOR),
            status => return Err(refusal(status, &answer.headers)),
        };
        *self.session.lock() = Some(Session { token: token.clone(), until: now + lasts });
        Ok(token)
    }

    async fn security_key(&self, session: Option<&Secret>) -> Result<Answer, Failure> {
        let session = session.map(|session| secret_value(session.expose())).transpose();
        let session =
            session.map_err(|_| malformed("has a session token that no header can carry", 200))?;
        let header = session.map(|session| (SESSION_HEADER, session));
        self.ask(Method::GET, "/openstack/latest/securitykey", header).await
    }

    fn read(&self, answer: &Answer) -> Result<Lease, Failure> {
        let Answer { status, headers, body } = answer;
        if !(200..300).contains(status) {
            return Err(refusal(*status, headers));
        }
        let incomplete = || malformed("lacks a part of the temporary key", *status);
        let (Body::Nested { credential: key } | Body::Flat(key)) =
            serde_json::from_slice(body).map_err(|_| incomplete())?;
        let ends: Timestamp = key.expires_at.parse().map_err(|_| incomplete())?;
        let key = AccessKey {
            access: Secret::new(key.access),
            secret: Secret::new(key.secret),
            security_token: Some(Secret::new(key.securitytoken)),
            project_id: self.service.project_id.clone(),
        };
        Ok(Lease::until(ends, Issued::Key(Arc::new(key)), &self.clock, |_| RENEW_AHEAD))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Answer, Failure> {
        let url = below(&self.service.endpoint, path);
        let headers = HeaderMap::from_iter(header);
        let request = HttpRequest { method, url, headers, body: Bytes::new() };
        exchange_within(&self.http, &request, EXCHANGE_TIMEOUT, LARGEST_ANSWER).await
    }
}

/// Whether the service says that the server has no agency. A new session does not change that.
fn says_no_agency(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).to_ascii_lowercase().contains("agency")
}
