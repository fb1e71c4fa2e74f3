//! An operation as it was sent, and what became of it.

use std::sync::Arc;

use async_graphql::{Response, ServerError, Variables};

use super::plan::PlanOutput;
use super::response_size::TooLarge;

/// One GraphQL operation as it was sent.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// The document.
    pub query: String,
    /// Which of the document's operations to execute.
    pub operation_name: Option<Arc<str>>,
    /// Values of its variables.
    pub variables: Variables,
    /// Whether only a query will do, as by GET.
    pub only_query: bool,
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
    Executed(Response),
    /// It was executed, by a plan, and is written already.
    Planned(PlanOutput),
    /// It was refused before execution: it does not parse, validate or coerce.
    Refused(Response),
    /// It is not a query, and nothing else may be asked for this way.
    NotAQuery,
}

/// An error in place of the answer.
impl From<TooLarge> for Answer {
    fn from(too_large: TooLarge) -> Self {
        Self::Executed(Response::from_errors(vec![too_large.error()]))
    }
}

impl From<Result<PlanOutput, TooLarge>> for Answer {
    fn from(written: Result<PlanOutput, TooLarge>) -> Self {
        written.map_or_else(Self::from, Self::Planned)
    }
}
