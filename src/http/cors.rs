//! Cross-origin resource sharing: which pages of other sites may read answers.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// How long a browser may remember what CORS allows.
const MAX_AGE: Duration = Duration::from_mins(10);

/// The layer for `cors.allow_origins`; `None` if there are none. It answers preflight requests itself.
pub(crate) fn layer(origins: &[String]) -> Option<CorsLayer> {
    let listed = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let allowed = match origins {
        [] => return None,
        [every] if every == "*" => AllowOrigin::any(),
        _ => AllowOrigin::list(listed),
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        // Answers never depend on a cookie, so a listed page may send what its libraries add.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::AGE,
            header::ETAG,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
            HeaderName::from_static("cache-status"),
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(MAX_AGE);
    Some(layer)
}
