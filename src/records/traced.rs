//! The spans of reads: one for each record, page or link that a request reads, which says where it came
//! from. Neither projects nor records are named.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key::RecordKey;
use super::read::CacheOutcome;
use crate::domain::Failure;
use crate::trace::{Begun, Span, Trace};

/// Where something came from.
const OUTCOME: &str = "gateway.cache.outcome";
/// In place of a hit: what is kept is that there is no such record.
const NEGATIVE: &str = "negative";

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Record,
    Page,
    Link,
}

/// The reads of records of one request that are under way; none are known where they are not traced.
/// Clones share them.
#[derive(Clone, Default)]
pub(crate) struct TracedReads(Option<Arc<Mutex<Open>>>);

/// Of each record, the reads that wait for it.
type Open = HashMap<RecordKey, Vec<Span>>;

impl Content {
    fn as_str(self) -> &'static str {
        match self {
            Self::Record => "read record",
            Self::Page => "read page",
            Self::Link => "read link",
        }
    }

    /// As it is called where it is explained what was read.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Page => "page",
            Self::Link => "link",
        }
    }

    /// The span of a read that begins now.
    pub(crate) fn begin(self, trace: &Trace) -> Span {
        trace.begin(|| Begun::internal(self.as_str()))
    }

    /// The span of a read that took no time.
    pub(crate) fn found(self, trace: &Trace, outcome: CacheOutcome) {
        drop(trace.begin(|| Begun::internal(self.as_str()).with(OUTCOME, outcome.as_str())));
    }
}

/// Says where something came from that has been read.
pub(crate) fn tell(span: &Span, outcome: CacheOutcome) {
    span.trace().tell(OUTCOME, outcome.as_str());
}

/// Says why it could not be read.
pub(crate) fn fail(span: &Span, failure: &Failure) {
    span.trace().fail(failure.code().as_str());
}

impl TracedReads {
    pub(crate) fn of(trace: &Trace) -> Self {
        Self(trace.is_kept().then(Arc::default))
    }

    /// A read that waits for something.
    pub(crate) fn begin(&self, trace: &Trace, key: &RecordKey) {
        if let Some(mut open) = self.open() {
            open.entry(key.clone()).or_default().push(Content::Record.begin(trace));
        }
    }

    /// The place of a read that waits, for what is done for its sake; that of the whole request where
    /// there is none.
    pub(crate) fn place(&self, request: &Trace, key: &RecordKey) -> Trace {
        let open = self.open();
        let span = open.as_ref().and_then(|open| open.get(key)?.last());
        span.map_or_else(|| request.clone(), |span| span.trace().clone())
    }

    /// Says what a read waits for: what somebody else has begun.
    pub(crate) fn link(&self, key: &RecordKey, to: &Trace) {
        let open = self.open();
        if let Some(span) = open.as_ref().and_then(|open| open.get(key)?.last()) {
            span.trace().link(to);
        }
    }

    /// Says why a read has found nothing.
    pub(crate) fn fail(&self, key: &RecordKey, failure: &Failure) {
        let open = self.open();
        if let Some(span) = open.as_ref().and_then(|open| open.get(key)?.last()) {
            fail(span, failure);
        }
    }

    /// A read is done, whether it has waited or not.
    pub(crate) fn end(
        &self,
        request: &Trace,
        key: &RecordKey,
        (outcome, is_absence): (CacheOutcome, bool),
    ) {
        let Some(mut open) = self.open() else { return };
        let waited = open.get_mut(key).and_then(Vec::pop);
        drop(open);
        let span = waited.unwrap_or_else(|| Content::Record.begin(request));
        match outcome {
            CacheOutcome::Hit if is_absence => span.trace().tell(OUTCOME, NEGATIVE),
            outcome => tell(&span, outcome),
        }
    }

    fn open(&self) -> Option<MutexGuard<'_, Open>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
