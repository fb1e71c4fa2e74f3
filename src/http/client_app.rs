//! What the client calls itself: the name and version of an application, as Apollo's and Hive's client
//! libraries send them. Anyone can send any name, so it identifies no caller.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};

/// The longest name or version that is kept, in characters.
const MAX_CHARS: usize = 64;
static NAMES: [HeaderName; 2] = [
    HeaderName::from_static("apollographql-client-name"),
    HeaderName::from_static("graphql-client-name"),
];
static VERSIONS: [HeaderName; 2] = [
    HeaderName::from_static("apollographql-client-version"),
    HeaderName::from_static("graphql-client-version"),
];

/// The name and version of the client's application, if it sends them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientApp {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) version: Option<Arc<str>>,
}

impl ClientApp {
    /// Reads the headers of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let first = |names: &[HeaderName]| names.iter().find_map(|name| text(headers, name));
        Self { name: first(&NAMES), version: first(&VERSIONS) }
    }

    /// Whether a header tells what the client calls itself.
    pub(crate) fn is_header(name: &str) -> bool {
        NAMES.iter().chain(&VERSIONS).any(|header| header == name)
    }

    /// This, or the other where this has no name.
    pub(crate) fn or(self, other: Self) -> Self {
        if self.name.is_some() { self } else { other }
    }
}

/// A header without the characters that could spoil a log line or a label; `None` if nothing is left.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<Arc<str>> {
    let value = headers.get(name)?.to_str().ok()?;
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || " -_.:/@+".contains(*c);
    let plain: String = value.trim().chars().filter(is_plain).take(MAX_CHARS).collect();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.into())
}
