//! The document cache: clients send the same few documents over and over, and to parse and validate one
//! costs more than all the rest of a query that is answered from the record cache.
//!
//! An entry is found by the whole text and the operation's name. It holds nothing but what the text means:
//! no caller, no variable, no answer.

use std::sync::Arc;

use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::document::Document;
use super::plan::Plan;

/// Memory for documents, estimated: small beside the record cache.
const MOST_BYTES: u64 = 8 * 1024 * 1024;
/// A longer text is read each time: it would push out many others.
const LONGEST: usize = 16 * 1024;
/// What a byte of text takes, parsed and with the positions of its tokens, estimated from common queries.
const BYTES_FOR_EACH: usize = 70;
/// What an entry takes beside that.
const BOOKKEEPING: usize = 400;

/// The documents that the process has validated. Clones share them.
#[derive(Clone)]
pub(crate) struct DocumentCache(Cache<DocumentKey, Arc<PreparedOperation>, RandomState>);

/// A valid document with the operation to execute.
#[derive(Debug)]
pub(crate) struct PreparedOperation {
    pub(crate) document: Document,
    /// Where it is executed without async-graphql.
    pub(crate) plan: Option<Plan>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DocumentKey {
    pub(crate) text: String,
    pub(crate) operation_name: Option<Arc<str>>,
}

impl DocumentCache {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder().max_capacity(MOST_BYTES).weigher(weight);
        Self(cache.build_with_hasher(RandomState::default()))
    }

    pub(crate) fn get(&self, key: &DocumentKey) -> Option<Arc<PreparedOperation>> {
        self.0.get(key)
    }

    pub(crate) fn insert(&self, key: DocumentKey, prepared: &Arc<PreparedOperation>) {
        if key.text.len() <= LONGEST {
            self.0.insert(key, Arc::clone(prepared));
        }
    }

    /// Number of documents and their weight in bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.0.run_pending_tasks();
        (self.0.entry_count(), self.0.weighted_size())
    }
}

fn weight(key: &DocumentKey, prepared: &Arc<PreparedOperation>) -> u32 {
    let plan = prepared.plan.as_ref().map_or(0, Plan::bytes);
    u32::try_from(BOOKKEEPING + key.text.len() * BYTES_FOR_EACH + plan).unwrap_or(u32::MAX)
}
