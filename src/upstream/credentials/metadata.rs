//! Temporary keys of a cloud server, from its metadata service.
//!
//! The service answers on a link-local address of the server. Newer ones require a session token. Keys
//! live for an hour, and new ones appear ten minutes before their end.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use reqwest::Request;
use serde::Deserialize;

use super::lease::{Issued, Lease, refusal, secret_value};
use crate::clock::Clock;
use crate::config::{AccessKey, MetadataService, UpstreamConfig};
use crate::domain::{Failure, Secret};
use crate::upstream::attempt::{HttpResponse, exchange_within, malformed};
use crate::upstream::http_client::{HttpClient, below};

const SESSION_TTL_HEADER: HeaderName = HeaderName::from_static("x-metadata-token-ttl-seconds");
const SESSION_HEADER: HeaderName = HeaderName::from_static("x-metadata-token");
/// The lifetime of a session token, in seconds, as the official SDK asks for it.
const SESSION_TTL: HeaderValue = HeaderValue::from_static("21600");
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
    clock: Clock,
}

/// A temporary key, in any of the shapes that the official SDK accepts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Nested {
        #[serde(alias = "credentials")]
        credential: SecurityKey,
    },
    Flat(SecurityKey),
}

#[derive(Deserialize)]
struct SecurityKey {
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
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn new(
        service: &MetadataService,
        config: &UpstreamConfig,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        let http = HttpClient::direct(&service.endpoint, config, CONNECT_TIMEOUT)?;
        Ok(Self { service: service.clone(), http, clock })
    }

    /// Fetches the key. A refused session is replaced once; that does not help a server without an agency.
    pub(crate) async fn issue(&self) -> Result<Lease, Failure> {
        let mut response = self.security_key().await?;
        if response.status == 401 && !says_no_agency(&response.body) {
            response = self.security_key().await?;
        }
        let HttpResponse { status, headers, body } = response;
        if !(200..300).contains(&status) {
            return Err(refusal(status, &headers));
        }
        let incomplete = || malformed("lacks a part of the temporary key", status);
        let (Body::Nested { credential: key } | Body::Flat(key)) =
            serde_json::from_slice(&body).map_err(|_| incomplete())?;
        let ends: Timestamp = key.expires_at.parse().map_err(|_| incomplete())?;
        let key = AccessKey {
            access: Secret::new(key.access),
            secret: Secret::new(key.secret),
            security_token: Some(Secret::new(key.securitytoken)),
            project_id: self.service.project_id.clone(),
        };
        Ok(Lease::until(ends, Issued::Key(Arc::new(key)), &self.clock, |_| RENEW_AHEAD))
    }

    /// Asks for the key, in a new session if the service has sessions. Keys are asked for about once an hour,
    /// so a session is not kept for the next one.
    async fn security_key(&self) -> Result<HttpResponse, Failure> {
        let lifetime = (SESSION_TTL_HEADER, SESSION_TTL);
        let answer = self.ask(Method::PUT, "/meta-data/latest/api/token", Some(lifetime)).await?;
        let session = match answer.status {
            200..300 => {
                let token = String::from_utf8_lossy(&answer.body);
                let token = secret_value(token.trim())
                    .map_err(|_| malformed("has a session token that no header can carry", 200))?;
                Some((SESSION_HEADER, token))
            }
            // An older service, which needs no session.
            404 | 405 | 503 => None,
            status => return Err(refusal(status, &answer.headers)),
        };
        self.ask(Method::GET, "/openstack/latest/securitykey", session).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> Result<HttpResponse, Failure> {
        let make = || {
            let mut request = Request::new(method.clone(), below(&self.service.endpoint, path));
            request.headers_mut().extend(header.clone());
            request
        };
        exchange_within(&self.http, make, EXCHANGE_TIMEOUT, LARGEST_ANSWER).await
    }
}

/// Whether the service says that the server has no agency.
fn says_no_agency(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).to_ascii_lowercase().contains("agency")
}
