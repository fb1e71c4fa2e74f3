//! An operation as it was sent, and what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::{ServerError, Value, Variables};

/// One GraphQL operation as it was sent.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// The document.
    pub query: String,
    /// Which of the document's operations to execute.
    pub operation_name: Option<Arc<str>>,
    /// Values of its variables.
    pub variables: Variables,
    /// The hash that the document was sent with, or in place of it.
    pub persisted: Option<PersistedQuery>,
    /// The id of a trusted document, sent in place of it.
    pub document_id: Option<String>,
    /// Whether the answer has to say where all that was read came from.
    pub explain: bool,
    /// Why it cannot be executed, where that is known before anything of it is looked at.
    pub fault: Option<Box<ServerError>>,
}

/// The SHA-256 of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PersistedQuery(pub [u8; 32]);

/// The answer of an operation.
#[derive(Debug, Default)]
pub struct Answer {
    /// `{"data":…`, without the end. `None` if the operation was refused before execution: it does not parse,
    /// validate or coerce.
    pub body: Option<Vec<u8>>,
    /// Why it was refused, or why fields failed.
    pub errors: Vec<ServerError>,
    /// Further members of `extensions`.
    pub extensions: BTreeMap<String, Value>,
}

impl Answer {
    /// The answer of an operation that is not executed.
    pub fn refused(errors: Vec<ServerError>) -> Self {
        Self { errors, ..Self::default() }
    }

    /// An error in place of an answer.
    pub fn failed(error: ServerError) -> Self {
        let body = Some(b"{\"data\":null".to_vec());
        Self { body, errors: vec![error], ..Self::default() }
    }
}
