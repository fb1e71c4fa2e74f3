//! Validators of what is answered, and whether a client has it already (RFC 9110, sections 8.8 and 13.1.2).

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};

use super::header_fields;

/// The strong validator of a content in a coding, another one for each.
pub(crate) fn etag(content: &[u8], coding: Option<&str>) -> HeaderValue {
    let mut tag = hex::encode(Sha256::digest(content));
    tag.truncate(32);
    let tag = match coding {
        Some(coding) => format!("\"{tag}-{coding}\""),
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
