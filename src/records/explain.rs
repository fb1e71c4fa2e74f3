//! Which field of an operation read what, and from where: for those who build a page and want to know.
//!
//! A field says that it reads by [`at`]; what is read then, however deep below, is noted under its path.
//! Only the operation's own reads are noted, and nothing of whose they are or what is in them.

use std::time::Duration;

use parking_lot::Mutex;
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

/// What one operation has read, in the order it was finished.
#[derive(Default)]
pub(crate) struct Explanation(Mutex<Vec<Explained>>);

/// Reads for a field: what `reading` reads is noted under `path`.
pub async fn at<T>(path: Vec<Step>, reading: impl Future<Output = T>) -> T {
    FIELD.scope(path, reading).await
}

impl Explanation {
    /// Notes a page of a scan, if it is the first of its field: how many pages a scan reads says how many
    /// rows it has passed over.
    pub(crate) fn note_scan(&self, read: &Read, is_there: bool) {
        let path = FIELD.try_with(Clone::clone).unwrap_or_default();
        let noun = Content::Page.noun();
        if !self.0.lock().iter().any(|one| one.path == path && one.kind == noun) {
            self.note(Content::Page, read, is_there);
        }
    }

    /// Notes a read, which may have failed.
    pub(crate) fn note(&self, content: Content, read: &Read, is_there: bool) {
        let millis = |span: Duration| u64::try_from(span.as_millis()).ok();
        let there = |span: Duration| is_there.then(|| millis(span)).flatten();
        self.0.lock().push(Explained {
            path: FIELD.try_with(Clone::clone).unwrap_or_default(),
            kind: content.noun(),
            outcome: read.outcome.as_str(),
            tier: (is_there && read.outcome.is_kept()).then_some("process"),
            age_ms: there(read.age),
            fresh_for_ms: there(read.remaining),
            stale_for_ms: there(read.overdue),
            upstream_status: read.upstream_status,
        });
    }

    /// Notes that the last read was answered by the shared cache.
    pub(crate) fn mark_shared(&self) {
        if let Some(last) = self.0.lock().last_mut() {
            last.tier = Some("shared");
        }
    }

    pub(crate) fn all(&self) -> Vec<Explained> {
        self.0.lock().clone()
    }
}
