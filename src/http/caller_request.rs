//! A request before and after its caller is authenticated: who sent it, from where, and what it demands.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::auth::Caller;
use super::cache_headers::CacheDirectives;
use super::negotiation::MediaType;
use crate::records::{CallerKey, RequestContext};

pub(crate) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id of a caller's own that is used, in characters.
const LONGEST_REQUEST_ID: usize = 128;

/// The longest name or version of an application that is kept, in characters.
const MAX_APP_CHARS: usize = 64;
static APP_NAMES: [HeaderName; 2] = [
    HeaderName::from_static("apollographql-client-name"),
    HeaderName::from_static("graphql-client-name"),
];
static APP_VERSIONS: [HeaderName; 2] = [
    HeaderName::from_static("apollographql-client-version"),
    HeaderName::from_static("graphql-client-version"),
];

/// A request as it arrives.
pub(crate) struct IncomingRequest {
    pub(crate) parts: Parts,
    /// The other end of the connection, which may be a proxy.
    pub(crate) peer: IpAddr,
    pub(crate) id: Arc<str>,
    pub(crate) app: ClientApp,
}

/// A request of an authenticated caller.
pub(crate) struct CallerRequest {
    /// Whether the operations are in the parameters of a GET, or in the body of a POST.
    pub(crate) by_get: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) origin: RequestOrigin,
    /// Whose data is read; `None` without a token that the upstream would ask for.
    pub(crate) data_of: Option<CallerKey>,
    pub(crate) media_type: MediaType,
    /// What `Cache-Control` demands.
    pub(crate) cache: CacheDirectives,
    /// Whether the response lists the reads that it was made from.
    pub(crate) explain: bool,
}

/// Who sent a request. The same for all its operations, also over a socket or an event stream.
#[derive(Clone)]
pub(crate) struct RequestOrigin {
    pub(crate) caller: Caller,
    /// The request's id.
    pub(crate) id: Arc<str>,
    /// The other end of the connection, which may be a proxy.
    pub(crate) peer: IpAddr,
    pub(crate) app: ClientApp,
}

/// The name and version of the client's application, as Apollo's and Hive's client libraries send them. Anyone
/// can send any name, so it identifies no caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientApp {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) version: Option<Arc<str>>,
}

impl CallerRequest {
    /// The context in which records are read for this request.
    pub(crate) fn asking(&self) -> RequestContext {
        let CacheDirectives { no_cache, max_age } = self.cache;
        RequestContext { no_cache, max_age, ..self.origin.asking() }
    }
}

impl RequestOrigin {
    /// The context in which records are read.
    pub(crate) fn asking(&self) -> RequestContext {
        let Caller { identity, token, grant, .. } = &self.caller;
        RequestContext {
            identity: identity.clone(),
            operation: 0,
            token: token.clone(),
            grant: Arc::clone(grant),
            request_id: Arc::clone(&self.id),
            no_cache: false,
            max_age: None,
        }
    }
}

impl ClientApp {
    /// Reads the headers of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let first = |names: &[HeaderName]| names.iter().find_map(|name| text(headers, name));
        Self { name: first(&APP_NAMES), version: first(&APP_VERSIONS) }
    }

    /// Whether a header tells what the client calls itself.
    pub(crate) fn is_header(name: &str) -> bool {
        APP_NAMES.iter().chain(&APP_VERSIONS).any(|header| header == name)
    }

    /// This, or the other where this has no name.
    pub(crate) fn or(self, other: Self) -> Self {
        if self.name.is_some() { self } else { other }
    }
}

/// A header without the characters that could spoil a log line or a label; `None` if nothing is left.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<Arc<str>> {
    let value = headers.get(name)?.to_str().ok()?;
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || " -_.:/@+".contains(*c);
    let plain: String = value.trim().chars().filter(is_plain).take(MAX_APP_CHARS).collect();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.into())
}

/// The caller's request id if it is a sane one, else a new one: as a text and as a header value.
pub(crate) fn request_id(headers: &HeaderMap) -> (Arc<str>, HeaderValue) {
    if let Some(value) = headers.get(&X_REQUEST_ID)
        && let Some(id) = sane(value.as_bytes())
    {
        return (Arc::from(id), value.clone());
    }
    let id = new_request_id();
    // Hexadecimal digits are always a valid header value.
    let value = HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static(""));
    (id, value)
}

/// A value as a request id, if it is a sane one.
fn sane(value: &[u8]) -> Option<&str> {
    let is_sane = (1..=LONGEST_REQUEST_ID).contains(&value.len())
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte));
    if is_sane { str::from_utf8(value).ok() } else { None }
}

/// 32 hexadecimal digits, as the upstream writes its own.
fn new_request_id() -> Arc<str> {
    // From this thread's generator: a system call for each request would take longer.
    let (random, mut digits) = (rand::random::<[u8; 16]>(), [0; 32]);
    // The buffer has exactly the length of the digits.
    let _ = hex::encode_to_slice(random, &mut digits);
    str::from_utf8(&digits).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn an_id_that_could_spoil_a_log_is_replaced() {
        for id in ["", "a b", "\"", "x\u{7f}", &"i".repeat(129)] {
            let mut headers = HeaderMap::new();
            if let Ok(value) = id.parse() {
                headers.insert("x-request-id", value);
            }

            let used = request_id(&headers).0;

            assert!(used.len() == 32 && *used != *id, "{id:?} became {used}");
        }
        let (id, value) = request_id(&headers(&[("x-request-id", "Root=1-67:a/b")]));
        assert_eq!((&*id, value.to_str().unwrap()), ("Root=1-67:a/b", "Root=1-67:a/b"));
    }
}
