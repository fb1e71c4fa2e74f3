//! Pages of other sites: which requests they may make a browser send (cross-site request forgery), and which
//! answers they may read (cross-origin resource sharing).
//!
//! A page cannot read the answer unless CORS lets it, but the request alone spends upstream calls, and under
//! the gateway's own credentials it needs no secret. Browsers say where a request comes from: all of them by
//! `Origin`, on HTTPS and on this machine also by `Sec-Fetch-Site`. Programs say nothing.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::refusal::Refusal;
use crate::domain::ErrorCode;

/// How long a browser may remember what CORS allows.
const MAX_AGE: Duration = Duration::from_mins(10);
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a request of a page whose origin is not the gateway's own and not in `cors.allow_origins`.
pub(crate) fn check(
    method: &Method,
    headers: &HeaderMap,
    allow_origins: &[String],
) -> Result<(), Refusal> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(&header::ORIGIN);
    let is_listed =
        origin.is_some_and(|origin| allow_origins.iter().any(|one| one == origin || one == "*"));
    let is_own = match (text(&SEC_FETCH_SITE), origin) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        // Without `Sec-Fetch-Site` an application/json POST of another site has passed a CORS preflight. One of this
        // site may have another `Origin` than `Host`, as proxies rewrite the latter.
        (None, _) if method == Method::POST => true,
        (None, None) => true,
        (None, Some(origin)) => text(&header::HOST).is_some_and(|host| {
            origin.split_once("://").is_some_and(|(_, own)| own.eq_ignore_ascii_case(host))
        }),
    };
    if is_own || is_listed {
        return Ok(());
    }
    let message = "a page of another site made the browser send this: cors.allow_origins lists the \
                   origins whose pages may";
    Err(Refusal::new(StatusCode::FORBIDDEN, ErrorCode::BadRequest, message))
}

/// The layer for `cors.allow_origins`; `None` if there are none. It answers preflight requests itself.
pub(crate) fn cors_layer(origins: &[String]) -> Option<CorsLayer> {
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
