//! Persisted queries: trusted documents by id, from a manifest, and automatic persisted queries by
//! SHA-256, in Apollo's protocol.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::Arc;

use async_graphql::ServerError;
use moka::sync::Cache;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::setting_file::{FileError, read_file};
use crate::config::GraphqlConfig;
use crate::domain::ErrorCode;
use crate::graphql::{Operation, PersistedQuery, request_error};

/// Memory for automatically persisted queries, in bytes.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// What the cache needs for a document beside its text, estimated.
const BOOKKEEPING: usize = 200;

/// The documents. Clones share them. All callers share them too: a document is no caller's data.
#[derive(Clone)]
pub(crate) struct PersistedQueries {
    automatic: Cache<PersistedQuery, Arc<str>>,
    trusted: Arc<Manifest>,
    /// Whether every document that is not trusted is refused.
    only_trusted: bool,
}

/// Trusted documents by id, and their texts.
#[derive(Debug, Default)]
struct Manifest {
    by_id: HashMap<String, Arc<str>>,
    texts: HashSet<Arc<str>>,
}

/// Whether the manifest that the settings name can be used.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn check_documents(config: &GraphqlConfig) -> Result<(), FileError> {
    PersistedQueries::load(config).map(drop)
}

impl PersistedQueries {
    /// Reads the manifest that the settings name.
    pub(crate) fn load(config: &GraphqlConfig) -> Result<Self, FileError> {
        let weight = |_: &PersistedQuery, text: &Arc<str>| {
            u32::try_from(text.len() + BOOKKEEPING).unwrap_or(u32::MAX)
        };
        let automatic = Cache::builder().max_capacity(MOST_BYTES).weigher(weight).build();
        let trusted = match &config.documents_file {
            // Bounded by no size: the operator has written it.
            Some(path) => {
                read_file("graphql.documents_file", path, |path| fs::read(path), Manifest::parse)?
            }
            None => Manifest::default(),
        };
        Ok(Self { automatic, trusted: Arc::new(trusted), only_trusted: config.documents_only })
    }

    /// Reads the manifest again, by other settings. Automatic persisted queries stay.
    pub(crate) fn reload(&self, config: &GraphqlConfig) -> Result<Self, FileError> {
        Ok(Self { automatic: self.automatic.clone(), ..Self::load(config)? })
    }

    /// Fills in the document of an operation, or its fault if there is none.
    pub(crate) fn resolve(&self, operation: &mut Operation) {
        if let Err(fault) = self.fill_in(operation) {
            operation.fault = Some(Box::new(fault));
        }
    }

    fn fill_in(&self, operation: &mut Operation) -> Result<(), ServerError> {
        let hash = operation.persisted;
        let id = operation.document_id.take().or_else(|| hash.map(|hash| hex::encode(hash.0)));
        let is_missing = operation.query.is_empty();
        if is_missing && let Some(text) = id.as_ref().and_then(|id| self.trusted.by_id.get(id)) {
            text.as_ref().clone_into(&mut operation.query);
            return Ok(());
        }
        if self.only_trusted && !self.trusted.texts.contains(operation.query.as_str()) {
            let message = "only trusted documents are executed here, and this is none of them";
            return Err(request_error(ErrorCode::NotInSafelist, message));
        }
        match hash {
            Some(hash) if is_missing => {
                // Clients send the document when they read exactly this message.
                let missing = "PersistedQueryNotFound";
                let missing = || request_error(ErrorCode::PersistedQueryNotFound, missing);
                let text = self.automatic.get(&hash).ok_or_else(missing)?;
                text.as_ref().clone_into(&mut operation.query);
                Ok(())
            }
            Some(hash) if !is_of(hash, &operation.query) => {
                let message = "the document's SHA-256 is not the sha256Hash that came with it";
                Err(request_error(ErrorCode::BadRequest, message))
            }
            None if is_missing && id.is_some() => {
                let message = "there is no trusted document of this id";
                Err(request_error(ErrorCode::PersistedQueryNotFound, message))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Keeps the document of a valid operation under the hash that came with it.
    pub(crate) fn keep(&self, hash: PersistedQuery, document: &str) {
        if !self.automatic.contains_key(&hash) {
            self.automatic.insert(hash, Arc::from(document));
        }
    }
}

impl Manifest {
    /// Reads a manifest; the error is a clause.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let file = serde_json::from_slice(text).map_err(|error| {
            format!(
                "it is no manifest, which is {{\"ID\": \"DOCUMENT\", …}} or {{\"operations\": \
                 [{{\"id\": \"ID\", \"body\": \"DOCUMENT\"}}, …]}}: {error}"
            )
        })?;
        let by_id: HashMap<String, Arc<str>> = match file {
            ManifestFile::Apollo { operations } => {
                operations.into_iter().map(|ApolloOperation { id, body }| (id, body)).collect()
            }
            ManifestFile::ById(by_id) => by_id,
        };
        let texts = by_id.values().map(Arc::clone).collect();
        Ok(Self { by_id, texts })
    }
}

/// A manifest as the build tools of clients write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum ManifestFile {
    Apollo {
        operations: Vec<ApolloOperation>,
    },
    /// By Relay and graphql-codegen.
    ById(HashMap<String, Arc<str>>),
}

#[derive(Deserialize)]
struct ApolloOperation {
    id: String,
    body: Arc<str>,
}

fn is_of(hash: PersistedQuery, document: &str) -> bool {
    <[u8; 32]>::from(Sha256::digest(document)) == hash.0
}
