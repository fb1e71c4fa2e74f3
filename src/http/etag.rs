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
    let copy = response.body.clone();
    let hash = move || hex::encode(Sha256::digest(&copy));
    let digest = heavy::run(tasks, response.body.len(), hash).await;
    let digest = digest.map_err(|_| Refusal::panicked())?;
    let etag = etag(digest.get(..32).unwrap_or(&digest), coding);
    if has(request, &etag) {
        response.status = StatusCode::NOT_MODIFIED;
        response.headers.remove(header::CONTENT_TYPE);
        response.body = Bytes::new();
    }
    if let Ok(value) = HeaderValue::from_str(&etag) {
        response.headers.insert(header::ETAG, value);
    }
    Ok(response)
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
