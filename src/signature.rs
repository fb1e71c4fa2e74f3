//! Request signing with `SDK-HMAC-SHA256`, as the API gateway in front of the upstream wants it.
//!
//! Pure: a request's parts go in, the `Authorization` value comes out. The rules are those of the
//! signing guide, <https://support.huaweicloud.com/eu/devg-apisign/api-sign-algorithm-001.html>, and
//! of the official SDK, whose results the test vectors hold.

use std::borrow::Cow;
use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

/// Name of the algorithm, first word of the `Authorization` value.
pub const ALGORITHM: &str = "SDK-HMAC-SHA256";
/// Header that carries the time of signing; always signed.
pub const DATE_HEADER: &str = "X-Sdk-Date";
/// Header that stands for the body's hash where the body is not signed.
pub const CONTENT_HASH_HEADER: &str = "X-Sdk-Content-Sha256";
/// How the time of signing is written, in UTC.
pub const DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Everything but letters, digits and `-_.~` is written as `%XX`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The parts of a request that a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct SignableRequest<'a> {
    /// HTTP method, in any case.
    pub method: &'a str,
    /// Path as it stands on the wire, percent-encoded.
    pub path: &'a str,
    /// Query as [`canonical_query`] writes it; empty for none.
    pub query: &'a str,
    /// Every header that is to be signed, `Host` and [`DATE_HEADER`] among them. Headers whose
    /// name holds `_` are passed over, as the official SDK does.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, empty for none.
    pub body: &'a [u8],
}

/// A signature and the names of the headers it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Lower-case names, sorted, joined by `;`.
    pub signed_headers: String,
    /// Lower-case hexadecimal.
    pub signature: String,
}

impl Signature {
    /// Signs a request with a secret key. The time is the request's own [`DATE_HEADER`].
    pub fn of(request: &SignableRequest<'_>, secret_key: &str) -> Self {
        let text = string_to_sign(request);
        let signature = hex::encode(hmac(secret_key.as_bytes(), text.as_bytes()));
        Self { signed_headers: signed_header_names(&canonical_headers(request)), signature }
    }

    /// The `Authorization` value.
    pub fn authorization(&self, access_key: &str) -> String {
        let Self { signed_headers, signature } = self;
        format!(
            "{ALGORITHM} Access={access_key}, SignedHeaders={signed_headers}, Signature={signature}"
        )
    }
}

/// Writes a time as [`DATE_HEADER`] wants it.
pub fn date_header(at: jiff::Timestamp) -> String {
    at.strftime(DATE_FORMAT).to_string()
}

/// Writes a query in the form that is both signed and sent: pairs sorted by decoded name, then by
/// decoded value.
pub fn canonical_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut sorted: Vec<_> = pairs.into_iter().collect();
    sorted.sort_unstable();
    let mut query = String::new();
    for (name, value) in sorted {
        let separator = if query.is_empty() { "" } else { "&" };
        let _ = write!(query, "{separator}{}={}", encoded(name), encoded(value));
    }
    query
}

/// The text whose hash is signed; six parts joined by line feeds.
pub fn canonical_request(request: &SignableRequest<'_>) -> String {
    let headers = canonical_headers(request);
    let mut text = String::with_capacity(512);
    let _ = write!(
        text,
        "{}\n{}\n{}\n",
        request.method.to_ascii_uppercase(),
        canonical_path(request.path),
        request.query,
    );
    for (name, value) in &headers {
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "\n{}\n{}", signed_header_names(&headers), payload_hash(request));
    text
}

/// The text that is signed: algorithm, time and the hash of the canonical request.
pub fn string_to_sign(request: &SignableRequest<'_>) -> String {
    let date = header(request, DATE_HEADER).unwrap_or_default();
    let hash = hex::encode(Sha256::digest(canonical_request(request).as_bytes()));
    format!("{ALGORITHM}\n{date}\n{hash}")
}

/// Decodes each segment once and encodes it again; ends with a slash, which is not sent.
fn canonical_path(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut canonical: String =
        decoded.split('/').map(encoded).collect::<Vec<Cow<'_, str>>>().join("/");
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

fn canonical_headers<'a>(request: &SignableRequest<'a>) -> Vec<(String, &'a str)> {
    let mut headers: Vec<_> = request
        .headers
        .iter()
        .filter(|(name, _)| !name.contains('_'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    headers
}

fn signed_header_names(headers: &[(String, &str)]) -> String {
    headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";")
}

fn payload_hash(request: &SignableRequest<'_>) -> String {
    match header(request, CONTENT_HASH_HEADER) {
        Some(given) if !request.body.is_empty() => given.trim().to_owned(),
        _ => hex::encode(Sha256::digest(request.body)),
    }
}

fn header<'a>(request: &SignableRequest<'a>, wanted: &str) -> Option<&'a str> {
    let found = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| *value)
}

fn encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, ENCODED).into()
}

fn hmac(key: &[u8], text: &[u8]) -> impl AsRef<[u8]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Results of the official SDK, one per rule of the guide.
    const VECTORS: &str = include_str!("../tests/fixtures/signing-vectors.json");

    #[test]
    fn every_vector_of_the_official_sdk_is_reproduced() {
        let file: Value = serde_json::from_str(VECTORS).unwrap();
        let vectors = file["vectors"].as_array().unwrap();

        for vector in vectors {
            let (input, expected, name) = (&vector["input"], &vector["expected"], &vector["name"]);
            let pairs = input["query"].as_array().unwrap().iter();
            let pairs = pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
            let query = canonical_query(pairs);
            let headers: Vec<(&str, &str)> = expected["headers_sent"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                .collect();
            let request = SignableRequest {
                method: input["method"].as_str().unwrap(),
                path: input["path"].as_str().unwrap(),
                query: &query,
                headers: &headers,
                body: input["body"].as_str().unwrap_or_default().as_bytes(),
            };

            let signed = Signature::of(&request, input["sk"].as_str().unwrap());

            assert_eq!(canonical_request(&request), expected["canonical_request"], "{name}");
            assert_eq!(string_to_sign(&request), expected["string_to_sign"], "{name}");
            assert_eq!(
                signed.authorization(input["ak"].as_str().unwrap()),
                expected["authorization"],
                "{name}"
            );
        }
        assert_eq!(vectors.len(), 38);
    }
}
