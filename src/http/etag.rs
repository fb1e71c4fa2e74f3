//! Validators of what is answered, and whether a client has it already (RFC 9110, sections 8.8 and 13.1.2).

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;

use super::compression::Coding;
use super::header_fields;
use super::heavy;

/// The strong validator of a content in a coding, another one for each.
pub(crate) fn etag(digest: &str, coding: Option<Coding>) -> String {
    match coding {
        Some(coding) => format!("\"{digest}-{}\"", coding.name()),
        None => format!("\"{digest}\""),
    }
}

/// Whether a client says that it has what this is the validator of.
pub(crate) fn has(request: &HeaderMap, etag: &str) -> bool {
    header_fields::list(request, &header::IF_NONE_MATCH)
        .map(|tag| tag.trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

/// Adds a validator to a good answer, and leaves the body out where the client has it.
pub(crate) async fn validated(
    request: &HeaderMap,
    response: Response,
    tasks: &TaskTracker,
) -> Response {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The body is in memory already; this takes it out again.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let copy = body.clone();
    let Ok(digest) =
        heavy::run(tasks, body.len(), move || hex::encode(Sha256::digest(&copy))).await
    else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let digest = digest.get(..32).unwrap_or(&digest);
    let etag = etag(digest, parts.extensions.get::<Coding>().copied());
    let is_known = has(request, &etag);
    if let Ok(value) = HeaderValue::from_str(&etag) {
        parts.headers.insert(header::ETAG, value);
    }
    if is_known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.extensions.remove::<Coding>();
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_what_one_of_its_tags_says_whole() {
        let of = etag("abc", None);
        for (tags, is_known) in [
            (vec!["\"abc\""], true),
            (vec!["\"x\", W/\"abc\""], true),
            (vec!["\"x\"", "\"abc\""], true),
            (vec!["*"], true),
            (vec!["\"abc-gzip\""], false),
            (vec!["x\"abc\""], false),
            (vec![], false),
        ] {
            let mut request = HeaderMap::new();
            for tag in &tags {
                request.append(header::IF_NONE_MATCH, HeaderValue::from_static(tag));
            }

            assert_eq!(has(&request, &of), is_known, "with {tags:?}");
        }
    }
}
