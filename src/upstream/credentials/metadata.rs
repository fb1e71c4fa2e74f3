//! Temporary keys of a cloud server, from its metadata service.
//!
//! The service answers on a link-local address of the server. Newer ones require a session token. Keys
//! live for an hour, and new ones appear ten minutes before their end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use url::Url;

use super::super::attempt::{HttpRequest, exchange_within, malformed};
use super::super::http_client::{HttpClient, ca_certificates};
use super::token_refresher::{Issuer, Lease};
use crate::clock::Clock;
use crate::config::{AccessKey, Live, MetadataService, UpstreamConfig};
use crate::domain::{
    Failure, FailureCode, Refusal, RefusalKind, Secret, Unreachable, UpstreamAnswer,
};

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
/// The pause after the service has said that the server has no agency.
const REST: Duration = Duration::from_mins(5);
/// The most bytes of a response.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Fetches temporary keys.
pub(crate) struct MetadataKeys {
    service: MetadataService,
    http: Live<HttpClient>,
    session: Mutex<Session>,
    clock: Clock,
}

/// The session token and its end.
#[derive(Default)]
enum Session {
    #[default]
    None,
    Token(Secret, Instant),
    /// The service has none; asked again from this moment on.
    Unsupported(Instant),
}

/// A client for the service. Never through a proxy: the address is this machine's own. With TLS only the
/// configured CAs are trusted: no public one certifies such an address.
///
/// # Errors
/// When no HTTP client can be made.
pub(crate) fn http_client(
    service: &MetadataService,
    config: &UpstreamConfig,
) -> Result<HttpClient, reqwest::Error> {
    HttpClient::direct(&service.endpoint, ca_certificates(config)?, CONNECT_TIMEOUT)
}

impl MetadataKeys {
    /// Fetches from a service, with a client made by [`http_client`].
    pub(crate) fn new(service: MetadataService, http: HttpClient, clock: Clock) -> Self {
        Self { service, http: Live::new(http), session: Mutex::default(), clock }
    }

    /// Changes the client.
    pub(crate) fn change(&self, http: HttpClient) {
        self.http.set(http);
    }

    pub(crate) fn project(&self) -> Option<&str> {
        self.service.project_id.as_deref()
    }

    async fn keys(&self) -> Result<Lease<AccessKey>, Failure> {
        let session = self.session().await?;
        let (status, body) = self.security_key(session.as_ref()).await?;
        let is_refused = status == 401 && session.is_some() && !says_no_agency(&body);
        if !is_refused {
            return self.read(status, &body);
        }
        // The session has ended early.
        self.remember(Session::None);
        let session = self.session().await?;
        let (status, body) = self.security_key(session.as_ref()).await?;
        self.read(status, &body)
    }

    /// The session token, new if need be; `None` if the service has none.
    async fn session(&self) -> Result<Option<Secret>, Failure> {
        let now = self.clock.now();
        match &*self.session.lock() {
            Session::Token(token, until) if now < *until => return Ok(Some(token.clone())),
            Session::Unsupported(until) if now < *until => return Ok(None),
            Session::None | Session::Token(..) | Session::Unsupported(_) => {}
        }
        let mut request = self.request(Method::PUT, "/meta-data/latest/api/token")?;
        request.headers.insert(SESSION_TTL_HEADER, HeaderValue::from(SESSION_LIFE.as_secs()));
        let (status, body) = self.ask(&request).await?;
        match status {
            200..300 => {
                let token = Secret::new(body.trim());
                let until = now + SESSION_USE;
                self.remember(Session::Token(token.clone(), until));
                Ok(Some(token))
            }
            // An older service, which needs no session.
            404 | 405 | 503 => {
                self.remember(Session::Unsupported(now + NO_SESSIONS_FOR));
                Ok(None)
            }
            _ => Err(refused(status, RefusalKind::Broken, status >= 500)),
        }
    }

    async fn security_key(&self, session: Option<&Secret>) -> Result<(u16, String), Failure> {
        let mut request = self.request(Method::GET, "/openstack/latest/securitykey")?;
        if let Some(session) = session {
            let mut value = HeaderValue::from_str(session.expose())
                .map_err(|_| malformed("has a session token that no header can carry", 200))?;
            value.set_sensitive(true);
            request.headers.insert(SESSION_HEADER, value);
        }
        self.ask(&request).await
    }

    fn read(&self, status: u16, body: &str) -> Result<Lease<AccessKey>, Failure> {
        match status {
            200..300 => {}
            401 | 403 | 404 => {
                return Err(refused(status, RefusalKind::GatewayUnauthenticated, false));
            }
            503 => return Err(refused(status, RefusalKind::OutOfService, true)),
            _ => return Err(refused(status, RefusalKind::Broken, status >= 500)),
        }
        let answer: Option<Map<String, Value>> = serde_json::from_str(body).ok();
        let answer = answer.ok_or_else(|| malformed("is not a JSON object", status))?;
        let nested = ["credential", "credentials"].iter().find_map(|key| answer.get(*key));
        let parts = nested.and_then(Value::as_object).unwrap_or(&answer);
        let text = |keys: &[&str]| keys.iter().find_map(|key| parts.get(*key)?.as_str());
        let access = text(&["access", "accessKeyId", "access_key_id"]);
        let secret = text(&["secret", "secretAccessKey", "secret_access_key"]);
        let token = text(&["securitytoken", "securityToken", "security_token"]);
        let ends = text(&["expires_at", "expiration"]);
        let ends = ends.and_then(|ends| ends.parse::<Timestamp>().ok());
        let (Some(access), Some(secret), Some(token), Some(ends)) = (access, secret, token, ends)
        else {
            return Err(malformed("lacks a part of the temporary key", status));
        };
        let key = AccessKey {
            access: Secret::new(access),
            secret: Secret::new(secret),
            security_token: Some(Secret::new(token)),
            project_id: self.service.project_id.clone(),
        };
        Ok(Lease::until(ends, key, &self.clock, |_| RENEW_AHEAD))
    }

    fn request(&self, method: Method, path: &str) -> Result<HttpRequest, Failure> {
        let base = self.service.endpoint.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{path}"));
        let url = url.map_err(|_| Failure::Unreachable(Unreachable::Connect))?;
        Ok(HttpRequest { method, url, headers: HeaderMap::new(), body: Bytes::new() })
    }

    /// Status and body of a response.
    async fn ask(&self, request: &HttpRequest) -> Result<(u16, String), Failure> {
        let http = self.http.get();
        let answer = exchange_within(&http, request, EXCHANGE_TIMEOUT, LARGEST_ANSWER).await?;
        Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    }

    fn remember(&self, session: Session) {
        *self.session.lock() = session;
    }
}

impl Issuer for MetadataKeys {
    type Issued = AccessKey;

    const NAME: &'static str = "metadata";

    async fn issue(&self) -> Result<Lease<AccessKey>, Failure> {
        self.keys().await
    }

    fn rest_after(&self, failure: &Failure) -> Option<Duration> {
        (failure.code() == FailureCode::UpstreamUnauthenticated).then_some(REST)
    }
}

/// Whether the service says that the server has no agency. A new session does not change that.
fn says_no_agency(body: &str) -> bool {
    body.to_ascii_lowercase().contains("agency")
}

/// Without the service's own texts: they are about this machine, and callers must not see them.
fn refused(status: u16, kind: RefusalKind, retryable: bool) -> Failure {
    let answer = UpstreamAnswer { status, ..UpstreamAnswer::default() };
    Failure::Refused(Refusal { kind, retryable, retry_after: None, answer }.into())
}
