//! Validators of what is answered, and whether a client has it already (RFC 9110, sections 8.8 and 13.1.2).

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;

use super::compression::Coding;
use super::header_fields;
use super::heavy;
use super::refusal::Refusal;
use super::response::CompleteResponse;

/// The strong validator of a content in a coding, another one for each.
pub(crate) fn etag(content: &[u8], coding: Option<Coding>) -> HeaderValue {
    let mut tag = hex::encode(Sha256::digest(content));
    tag.truncate(32);
    let tag = match coding {
        Some(coding) => format!("\"{tag}-{}\"", coding.name()),
        None => format!("\"{tag}\""),
    };
    // Digits, letters and quotes are always a valid header value.
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static(""))
}

/// Whether a client says that it has what this is the validator of.
pub(crate) fn has(request: &HeaderMap, etag: &HeaderValue) -> bool {
    header_fields::list(request, &header::IF_NONE_MATCH)
        .map(|tag| tag.trim_start_matches("W/"))
        .any(|tag| etag == tag || tag == "*")
}

/// Adds the validator of a response, and removes the body where the client has it.
///
/// # Errors
/// When hashing panics.
pub(crate) async fn validated(
    request: &HeaderMap,
    mut response: CompleteResponse,
    coding: Option<Coding>,
    tasks: &TaskTracker,
) -> Result<CompleteResponse, Refusal> {
    if response.status != StatusCode::OK {
        return Ok(response);
    }
    let content = response.body.clone();
    let tagging = heavy::run(tasks, response.body.len(), move || etag(&content, coding));
    let etag = tagging.await.map_err(|_| Refusal::panicked())?;
    if has(request, &etag) {
        response.status = StatusCode::NOT_MODIFIED;
        response.headers.remove(header::CONTENT_TYPE);
        response.body = Bytes::new();
    }
    response.headers.insert(header::ETAG, etag);
    Ok(response)
}
