//! Which field of an operation read what, and from where: for those who build a page and want to know.
//!
//! A field says that it reads by [`at`]; what is read then, however deep below, is noted under its path.
//! Only the operation's own reads are noted, and nothing of whose they are or what is in them.

use std::time::Duration;

use serde::Serialize;

use super::read::{Content, Read};

tokio::task_local! {
    /// The field that is being read for.
    static FIELD: Vec<Step>;
}

/// One part of a field's path, as it stands in errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Step {
    /// A field, by its name in the answer.
    Name(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// One thing that was read for a field. Spans of time are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    path: Vec<Step>,
    /// `record`, `page` or `link`.
    kind: &'static str,
    /// As in [`CacheOutcome::as_str`](super::CacheOutcome::as_str).
    outcome: &'static str,
    /// Which tier of the cache held it; none where the upstream was asked.
    tier: Option<&'static str>,
    /// Nothing where it could not be read.
    age_ms: Option<u64>,
    fresh_for_ms: Option<u64>,
    stale_for_ms: Option<u64>,
    /// HTTP status of the upstream's answer, where it was asked and answered.
    upstream_status: Option<u16>,
}

/// Reads for a field: what `reading` reads is noted under `path`.
pub async fn at<T>(path: Vec<Step>, reading: impl Future<Output = T>) -> T {
    FIELD.scope(path, reading).await
}

impl Explained {
    /// A read for the field that is being read for. It may have failed.
    pub(crate) fn new(content: Content, read: &Read, is_there: bool) -> Self {
        let millis = |span: Duration| u64::try_from(span.as_millis()).ok().filter(|_| is_there);
        let tier = if read.is_shared { "shared" } else { "process" };
        Self {
            path: FIELD.try_with(Clone::clone).unwrap_or_default(),
            kind: content.noun(),
            outcome: read.outcome.as_str(),
            tier: (is_there && read.outcome.is_kept()).then_some(tier),
            age_ms: millis(read.age),
            fresh_for_ms: millis(read.remaining),
            stale_for_ms: millis(read.overdue),
            upstream_status: read.upstream_status,
        }
    }

    /// Whether both are of one kind and for one field.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (&self.path, self.kind) == (&other.path, other.kind)
    }
}
