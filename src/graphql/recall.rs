//! Requests that are known by their whole body: pages and dashboards send the same ones again and again, and
//! taking one apart costs as much as answering it from the cache.
//!
//! What is kept says what a body asks for, and nothing of who asks: no caller and no header. A body is
//! compared in full, so two that differ can never be taken for each other.
//!
//! With it goes the answer that was made of one recording, where the same body found that same recording
//! twice. It is given again only to whoever has found that recording in the cache: one of its version, fresh,
//! and the caller's own. So what may be read, and for how long, is the cache's to say, and its alone.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use foldhash::quality::RandomState;

use super::limits::QueryCost;
use super::operation::Answer;
use super::plan::{BoundPlan, Written};
use super::response_size::ResponseSize;
use crate::domain::ScreenRecord;
use crate::records::Reader;

/// The longest body that is kept, in bytes.
const LONGEST: usize = 2 * 1024;
/// The longest answer that is kept with it, in bytes.
const LONGEST_ANSWER: usize = 1024;
/// Memory for all of it, estimated, in bytes.
const MOST_BYTES: usize = 24 * 1024 * 1024;
/// A body can be in one bucket only, found by its hash.
const BUCKETS: usize = 4 * 1024;
/// As many bodies may share a bucket; one more takes the place of the oldest.
const IN_A_BUCKET: usize = 8;

/// How many bodies that were not kept a bucket remembers.
const REMEMBERED: usize = 4;

/// A request for plain selections, ready to be answered.
#[derive(Debug)]
pub(crate) struct PlainRequest {
    pub(crate) bound: BoundPlan,
    pub(crate) cost: QueryCost,
    /// As the request named its operation.
    pub(crate) operation_name: Option<Arc<str>>,
    last: Mutex<LastAnswer>,
}

/// The answer that was made last.
#[derive(Debug, Default)]
struct LastAnswer {
    /// What it was made of. Not kept alive by this, but its address is no other's as long as this is here.
    of: Weak<ScreenRecord>,
    /// Once the same was found twice: where callers take turns, each would only push out the other's.
    body: Option<Bytes>,
}

/// The requests that the process knows. Clones share them.
///
/// A table of fixed size and not a cache with an order: it costs less than what it saves, and what it forgets is
/// read again.
#[derive(Clone)]
pub(crate) struct KnownRequests(Arc<Table>);

struct Table {
    buckets: Box<[Mutex<Bucket>]>,
    hasher: RandomState,
    bytes: AtomicUsize,
}

#[derive(Default)]
struct Bucket {
    /// Hashes of the last bodies that were not kept, the oldest first. A body is kept when it comes a
    /// second time, so that those which never do cost nothing.
    passed_over: [u64; REMEMBERED],
    /// The oldest first.
    kept: Vec<(Box<[u8]>, Arc<PlainRequest>)>,
}

impl PlainRequest {
    pub(crate) fn new(bound: BoundPlan, cost: QueryCost, operation_name: Option<Arc<str>>) -> Self {
        Self { bound, cost, operation_name, last: Mutex::default() }
    }

    /// The answer, where everything is at hand; else nothing, and nothing is begun.
    pub(crate) fn answer_now(&self, reader: &Reader, size: &ResponseSize) -> Option<Answer> {
        let reads = self.bound.read_now(reader)?;
        // Who would have to wait for another writes it anew for less.
        let (Some(record), Ok(mut last)) = (reads.only_record(), self.last.try_lock()) else {
            return Some(self.bound.write(reads, size).into());
        };
        let is_same = std::ptr::eq(last.of.as_ptr(), Arc::as_ptr(record));
        if let (true, Some(body)) = (is_same, &last.body) {
            return Some(Answer::Whole(body.clone()));
        }
        if !is_same {
            *last = LastAnswer { of: Arc::downgrade(record), body: None };
            drop(last);
            return Some(self.bound.write(reads, size).into());
        }
        let Written { mut body, errors } = match self.bound.write(reads, size) {
            Ok(written) => written,
            Err(too_large) => return Some(too_large.into()),
        };
        if !errors.is_empty() {
            return Some(Answer::Written(Written { body, errors }));
        }
        body.push(b'}');
        if body.len() <= LONGEST_ANSWER {
            last.body = Some(Bytes::copy_from_slice(&body));
        }
        Some(Answer::Whole(body.into()))
    }
}

impl KnownRequests {
    pub(crate) fn new() -> Self {
        let buckets = (0..BUCKETS).map(|_| Mutex::default()).collect();
        let (hasher, bytes) = (RandomState::default(), AtomicUsize::new(0));
        Self(Arc::new(Table { buckets, hasher, bytes }))
    }

    /// What a body asks for, where that is known.
    pub(crate) fn get(&self, body: &[u8]) -> Option<Arc<PlainRequest>> {
        if body.len() > LONGEST {
            return None;
        }
        let hash = self.0.hasher.hash_one(body);
        let bucket = self.0.bucket(hash)?;
        let found = bucket.kept.iter().find(|(kept, _)| **kept == *body);
        found.map(|(_, request)| Arc::clone(request))
    }

    /// Keeps what a body asks for, if it was here before.
    pub(crate) fn keep(&self, body: &[u8], request: &Arc<PlainRequest>) {
        if body.len() > LONGEST {
            return;
        }
        let hash = self.0.hasher.hash_one(body);
        let Some(mut bucket) = self.0.bucket(hash) else { return };
        if !bucket.passed_over.contains(&hash) {
            bucket.passed_over.rotate_left(1);
            bucket.passed_over[REMEMBERED - 1] = hash;
            return;
        }
        let is_kept = bucket.kept.iter().any(|(kept, _)| **kept == *body);
        let more = weight(body, request);
        if !is_kept && self.0.makes_room(&mut bucket, more) {
            self.0.bytes.fetch_add(more, Ordering::Relaxed);
            bucket.kept.push((body.into(), Arc::clone(request)));
        }
    }

    /// Number of requests and their weight in bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        let kept = |bucket: &Mutex<Bucket>| {
            bucket.lock().unwrap_or_else(PoisonError::into_inner).kept.len() as u64
        };
        let bytes = self.0.bytes.load(Ordering::Relaxed) as u64;
        (self.0.buckets.iter().map(kept).sum(), bytes)
    }
}

impl Table {
    /// The bucket of a hash.
    fn bucket(&self, hash: u64) -> Option<MutexGuard<'_, Bucket>> {
        // The remainder is below the number of buckets.
        let place = usize::try_from(hash % BUCKETS as u64).unwrap_or_default();
        Some(self.buckets.get(place)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether one more of this weight may be kept, for which the oldest of its bucket may have to go.
    fn makes_room(&self, bucket: &mut Bucket, more: usize) -> bool {
        let is_full = |bytes: usize| bytes + more > MOST_BYTES;
        while bucket.kept.len() >= IN_A_BUCKET || is_full(self.bytes.load(Ordering::Relaxed)) {
            if bucket.kept.is_empty() {
                return false;
            }
            let (body, request) = bucket.kept.remove(0);
            self.bytes.fetch_sub(weight(&body, &request), Ordering::Relaxed);
        }
        true
    }
}

fn weight(body: &[u8], request: &PlainRequest) -> usize {
    let name = request.operation_name.as_ref().map_or(0, |name| name.len());
    let own = size_of::<(Box<[u8]>, PlainRequest, ScreenRecord)>() + LONGEST_ANSWER;
    own + body.len() + request.bound.bytes() + name
}

#[cfg(test)]
mod tests {
    use async_graphql::Variables;

    use super::*;
    use crate::graphql::document::Document;
    use crate::graphql::plan;

    fn request() -> Arc<PlainRequest> {
        let schema = crate::graphql::sdl::validation_schema();
        let document = Document::parse("{ __typename }", &schema, 100).unwrap();
        let plan = plan::compile(&document, document.operation(None).unwrap()).unwrap();
        let bound = Arc::new(plan).bind(Variables::default()).unwrap();
        Arc::new(PlainRequest::new(bound, QueryCost::default(), None))
    }

    #[test]
    fn a_body_is_kept_when_it_comes_a_second_time() {
        let (known, request) = (KnownRequests::new(), request());

        known.keep(b"body", &request);
        let once = known.get(b"body").is_some();
        known.keep(b"body", &request);

        assert!(!once && known.get(b"body").is_some());
        assert!(known.get(b"body ").is_none() && known.get(b"").is_none());
    }

    #[test]
    fn a_flood_of_bodies_stays_within_its_memory() {
        let (known, request) = (KnownRequests::new(), request());

        for number in 0..20_000 {
            let body = format!("{number}{}", " ".repeat(LONGEST - 8));
            known.keep(body.as_bytes(), &request);
            known.keep(body.as_bytes(), &request);
        }

        let (requests, bytes) = known.size();
        assert!(requests > 100 && bytes <= MOST_BYTES as u64, "{requests} of {bytes} bytes");
    }

    #[test]
    fn a_body_that_is_too_long_is_not_kept() {
        let (known, request) = (KnownRequests::new(), request());
        let body = vec![b' '; LONGEST + 1];

        known.keep(&body, &request);
        known.keep(&body, &request);

        assert_eq!((known.get(&body).is_some(), known.size()), (false, (0, 0)));
    }
}
