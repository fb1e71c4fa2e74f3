//! Automatic persisted queries, in Apollo's protocol: a client sends the SHA-256 of its document, and
//! the document itself only where the gateway does not have it.

use std::sync::Arc;

use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::graphql::{ErrorCode, Operation, PersistedQuery, request_error};

/// Memory for documents, in bytes.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// What the cache needs for a document beside its text, estimated.
const BOOKKEEPING: usize = 200;

/// Documents by their SHA-256. They are public: whoever knows the hash may know the text, and a
/// document is no data of anybody's.
#[derive(Clone)]
pub(crate) struct Documents {
    by_hash: Cache<PersistedQuery, Arc<str>>,
}

impl Documents {
    pub(crate) fn new() -> Self {
        let weight = |_: &PersistedQuery, text: &Arc<str>| {
            u32::try_from(text.len() + BOOKKEEPING).unwrap_or(u32::MAX)
        };
        Self { by_hash: Cache::builder().max_capacity(MOST_BYTES).weigher(weight).build() }
    }

    /// Puts the document in its place, or notes why there is none.
    pub(crate) fn resolve(&self, operation: &mut Operation) {
        let Some(hash) = operation.persisted else { return };
        if operation.query.is_empty() {
            if let Some(text) = self.by_hash.get(&hash) {
                text.as_ref().clone_into(&mut operation.query);
            } else {
                let code = ErrorCode::PersistedQueryNotFound;
                operation.fault = Some(request_error(code, "PersistedQueryNotFound"));
            }
        } else if !hash.is_of(&operation.query) {
            let message = "the document's SHA-256 is not the sha256Hash that came with it";
            operation.fault = Some(request_error(ErrorCode::BadRequest, message));
        }
    }

    /// Keeps a document that has proved valid.
    pub(crate) fn keep(&self, hash: PersistedQuery, text: &str) {
        if self.by_hash.get(&hash).is_none() {
            self.by_hash.insert(hash, Arc::from(text));
        }
    }
}

impl PersistedQuery {
    fn is_of(self, text: &str) -> bool {
        <[u8; 32]>::from(Sha256::digest(text.as_bytes())) == self.0
    }
}
