//! The id of a request.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id of a caller's own that is used, in characters.
const LONGEST_REQUEST_ID: usize = 128;

/// The caller's request id if it is a sane one, else a new one: as a text and as a header value.
pub(crate) fn of(headers: &HeaderMap) -> (Arc<str>, HeaderValue) {
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

            let used = of(&headers).0;

            assert!(used.len() == 32 && *used != *id, "{id:?} became {used}");
        }
        let (id, value) = of(&headers(&[("x-request-id", "Root=1-67:a/b")]));
        assert_eq!((&*id, value.to_str().unwrap()), ("Root=1-67:a/b", "Root=1-67:a/b"));
    }
}
