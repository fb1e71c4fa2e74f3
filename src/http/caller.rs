//! Who asks: the token and the request id.

use std::sync::Arc;

use axum::http::{HeaderMap, header};

use super::refusal::Refusal;
use crate::domain::Token;

/// The longest token the upstream accepts, in characters.
const LONGEST_TOKEN: usize = 64_000;
/// The longest request id of a caller's own that is used, in characters.
const LONGEST_REQUEST_ID: usize = 128;

/// The caller's token: `X-Auth-Token`, else `Authorization: Bearer …`.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<Token>, Refusal> {
    let unreadable = || Refusal::bad_request("the token holds characters other than visible ASCII");
    let text = if let Some(value) = headers.get("x-auth-token") {
        value.to_str().map_err(|_| unreadable())?
    } else if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| unreadable())?;
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
            _ => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    let text = text.trim();
    if text.len() > LONGEST_TOKEN {
        let message =
            format!("the token has {} characters: {LONGEST_TOKEN} are allowed", text.len());
        return Err(Refusal::bad_request(message));
    }
    Ok((!text.is_empty()).then(|| Token::new(text)))
}

/// The caller's request id if it is a sane one, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> Arc<str> {
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
    fn the_upstreams_own_header_wins_over_a_bearer_token() {
        for (given, expected) in [
            (&[("x-auth-token", "one"), ("authorization", "Bearer other")][..], Some("one")),
            (&[("authorization", "bearer  other ")], Some("other")),
            (&[("authorization", "Basic dTpw")], None),
            (&[("authorization", "Bearer ")], None),
            (&[], None),
        ] {
            let token = token(&headers(given)).unwrap();

            assert_eq!(token.as_ref().map(Token::expose), expected, "of {given:?}");
        }
    }

    #[test]
    fn an_id_that_could_spoil_a_log_is_replaced() {
        for id in ["", "a b", "\"", "x\u{7f}", &"i".repeat(129)] {
            let mut headers = HeaderMap::new();
            if let Ok(value) = id.parse() {
                headers.insert("x-request-id", value);
            }

            let used = request_id(&headers);

            assert!(used.len() == 32 && *used != *id, "{id:?} became {used}");
        }
        assert_eq!(&*request_id(&headers(&[("x-request-id", "Root=1-67:a/b")])), "Root=1-67:a/b");
    }
}
