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

/// What became of an operation.
#[derive(Debug)]
pub enum Answer {
    /// It was executed; fields may have failed.
    Executed(Executed),
    /// It was refused before execution: it does not parse, validate or coerce.
    Refused(Vec<ServerError>),
}

/// The answer of an operation that was executed.
#[derive(Debug, Default)]
pub struct Executed {
    /// `{"data":…`, without the end.
    pub body: Vec<u8>,
    /// Fields that failed.
    pub errors: Vec<ServerError>,
    /// Further members of `extensions`.
    pub extensions: BTreeMap<String, Value>,
}

impl Answer {
    /// An error in place of an answer.
    pub fn failed(error: ServerError) -> Self {
        let body = b"{\"data\":null".to_vec();
        Self::Executed(Executed { body, errors: vec![error], ..Executed::default() })
    }

    /// Every error of the answer.
    pub fn errors(&self) -> &[ServerError] {
        match self {
            Self::Executed(Executed { errors, .. }) | Self::Refused(errors) => errors,
        }
    }
}
