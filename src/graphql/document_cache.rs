//! The document cache: clients send the same few documents over and over, and to parse and validate one
//! costs more than all the rest of a query that is answered from the record cache.
//!
//! An entry is found by the whole text and the operation's name. It holds nothing but what the text means:
//! no caller, no variable, no answer.

use std::hash::Hash;
use std::sync::Arc;

use apollo_compiler::Node;
use apollo_compiler::executable::Operation;
use foldhash::quality::RandomState;
use moka::Equivalent;
use moka::sync::Cache;

use super::document::Document;
use super::plan::Plan;

/// Memory for documents, estimated: small beside the record cache.
const MOST_BYTES: u64 = 8 * 1024 * 1024;
/// A longer text is read each time: it would push out many others.
const LONGEST: usize = 16 * 1024;
/// What a byte of text takes once it is parsed, estimated from common queries.
const BYTES_FOR_EACH: usize = 60;
/// What an entry takes beside that.
const BOOKKEEPING: usize = 400;

/// The documents that the process has validated. Clones share them.
#[derive(Clone)]
pub(crate) struct DocumentCache(Cache<DocumentKey, Arc<PreparedOperation>, RandomState>);

/// An operation of a valid document.
#[derive(Debug)]
pub(crate) struct PreparedOperation {
    pub(crate) document: Document,
    pub(crate) operation: Node<Operation>,
    /// Where it is executed without async-graphql.
    pub(crate) plan: Option<Arc<Plan>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DocumentKey {
    text: Box<str>,
    operation: Option<Box<str>>,
}

/// A key to look up, not owned. Its hash is that of the key.
#[derive(Hash)]
struct DocumentLookup<'a> {
    text: &'a str,
    operation: Option<&'a str>,
}

impl Equivalent<DocumentKey> for DocumentLookup<'_> {
    fn equivalent(&self, key: &DocumentKey) -> bool {
        self.text == &*key.text && self.operation == key.operation.as_deref()
    }
}

impl DocumentCache {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder().max_capacity(MOST_BYTES).weigher(weight);
        Self(cache.build_with_hasher(RandomState::default()))
    }

    pub(crate) fn get(
        &self,
        text: &str,
        operation: Option<&str>,
    ) -> Option<Arc<PreparedOperation>> {
        self.0.get(&DocumentLookup { text, operation })
    }

    pub(crate) fn insert(
        &self,
        text: &str,
        operation: Option<&str>,
        prepared: &Arc<PreparedOperation>,
    ) {
        if text.len() <= LONGEST {
            let key = DocumentKey { text: text.into(), operation: operation.map(Box::from) };
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
    let plan = prepared.plan.as_ref().map_or(0, |plan| plan.bytes());
    let meaning = key.text.len() * BYTES_FOR_EACH + prepared.document.positions().bytes() + plan;
    u32::try_from(BOOKKEEPING + key.text.len() + meaning).unwrap_or(u32::MAX)
}
