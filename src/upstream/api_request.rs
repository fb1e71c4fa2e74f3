//! A request of the upstream's API, and the caller for whom it is made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use url::Url;

use crate::domain::Token;
use crate::fair_semaphore::Requester;

/// The request of a caller for which a call is made.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Who takes the permit. A load that several requests share is made for the first.
    pub requester: Requester,
    /// The caller's token.
    pub token: Option<Token>,
    /// Sent as `X-Request-Id`.
    pub request_id: Arc<str>,
    /// How much of the deadline has passed already.
    pub waited: Duration,
}

/// A request of the upstream's API, before credentials are added.
pub(super) struct ApiRequest {
    pub(super) method: Method,
    pub(super) path: String,
    /// The path without ids, for traces.
    pub(super) template: &'static str,
    /// As it is signed and sent; empty for none.
    pub(super) query: String,
    /// JSON; empty for none.
    pub(super) body: Bytes,
}

impl ApiRequest {
    pub(super) fn get(path: String, template: &'static str) -> Self {
        Self { method: Method::GET, path, template, query: String::new(), body: Bytes::new() }
    }
}

/// The address of a path below a base address, which may have a path itself.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    match base.path().trim_end_matches('/') {
        "" => url.set_path(path),
        above => url.set_path(&[above, path].concat()),
    }
    url
}
