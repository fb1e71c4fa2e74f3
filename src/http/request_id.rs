//! The id of a request.

use std::sync::Arc;

use axum::http::HeaderMap;

/// The longest request id of a caller's own that is used, in characters.
const LONGEST_REQUEST_ID: usize = 128;

/// The caller's request id if it is a sane one, else a new one.
pub(crate) fn of(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    match given {
        Some(id) if is_sane(id) => Arc::from(id),
        _ => Arc::from(new_request_id()),
    }
}

fn is_sane(id: &str) -> bool {
    (1..=LONGEST_REQUEST_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
}

/// 32 hexadecimal digits, as the upstream writes its own.
fn new_request_id() -> String {
    let mut random = [0_u8; 16];
    // Ids without randomness still tell this process's requests from nobody's, which is all that is
    // lost if the system has none to give.
    let _ = getrandom::fill(&mut random);
    hex::encode(random)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

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

            let used = of(&headers);

            assert!(used.len() == 32 && *used != *id, "{id:?} became {used}");
        }
        assert_eq!(&*of(&headers(&[("x-request-id", "Root=1-67:a/b")])), "Root=1-67:a/b");
    }
}
