//! `X-Gateway-Explain: 1`: answers that say where all that was read for them came from.
//!
//! Only if introspection is on: the contents and ages of a cache are for developers of pages, not for
//! users.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::graphql::Engine;

/// What asks for it, with the value `1`.
pub(crate) static X_GATEWAY_EXPLAIN: HeaderName = HeaderName::from_static("x-gateway-explain");

/// Whether a request asks for it, and may.
pub(crate) fn is_wanted(engine: &Engine, headers: &HeaderMap) -> bool {
    engine.shows_itself() && headers.get(&X_GATEWAY_EXPLAIN).is_some_and(|value| value == "1")
}

/// Says that an answer is about one reading, and is of no use for another.
pub(crate) fn keep_nowhere(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
