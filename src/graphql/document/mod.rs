//! Reads GraphQL documents: parses them and validates them against the schema.
//!
//! [`apollo_compiler`] does both. What it lacks is added here: limits that have to hold before it
//! recurses, descriptions of executable definitions, and a few rules of validation ([`rules`]).

mod positions;
mod scan;
mod expansion;
mod rules;
mod subscription;
#[cfg(test)]
mod tests;

use apollo_compiler::diagnostic::{Diagnostic, ToCliReport as _};
use apollo_compiler::executable::Operation;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::validation::{DiagnosticData, Valid, WithErrors};
use apollo_compiler::{ExecutableDocument, Node, Schema, ast};
use async_graphql::{Pos, ServerError};

use super::error::request_error;
use super::limits::{Limit, LimitExceeded, MAX_NESTING};
use crate::domain::ErrorCode;
use positions::TokenPositions;
use rules::Fault;

/// How many operations one document may define. Each is validated with the fragments it reaches.
const MAX_OPERATIONS: usize = 50;

/// A document that is valid under the schema.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its operations and fragments.
    pub(crate) executable: Valid<ExecutableDocument>,
    /// Lexical tokens of the text.
    pub(crate) tokens: usize,
    positions: TokenPositions,
}

/// Why a document or its operation is refused.
#[derive(Debug)]
pub(crate) enum DocumentError {
    /// It does not parse or does not validate. The other operations of the request stand.
    Invalid(Vec<ServerError>),
    /// It exceeds a limit, which refuses the whole request.
    TooComplex(LimitExceeded),
}

impl From<LimitExceeded> for DocumentError {
    fn from(exceeded: LimitExceeded) -> Self {
        Self::TooComplex(exceeded)
    }
}

impl From<ServerError> for DocumentError {
    fn from(error: ServerError) -> Self {
        Self::Invalid(vec![error])
    }
}

impl Document {
    /// Parses and validates a document.
    ///
    /// # Errors
    /// `GRAPHQL_PARSE_FAILED`, `GRAPHQL_VALIDATION_FAILED`, or the limit that the text exceeds.
    pub(crate) fn parse(
        text: &str,
        schema: &Valid<Schema>,
        max_tokens: usize,
    ) -> Result<Self, DocumentError> {
        let scan::Scanned { text, tokens, positions } = scan::scan(text)?;
        Limit::TOKENS.check(tokens, max_tokens)?;
        // The parser's own token limit also counts blanks, commas and comments, so it is not used.
        let mut parser = ast::Document::parser().recursion_limit(2 * MAX_NESTING);
        let parsed = parser.parse_ast(text, "document").map_err(|invalid| {
            // What follows the first error mostly follows from it.
            let first = invalid.errors.iter().take(1).map(|first| fault(&first)).collect();
            located(&positions, ErrorCode::ParseFailed, first)
        })?;
        let operations =
            parsed.definitions.iter().filter_map(ast::Definition::as_operation_definition);
        Limit::OPERATIONS.check(operations.count(), MAX_OPERATIONS)?;
        expansion::check(&parsed, max_tokens)?;
        let (executable, mut faults) = match parsed.to_executable_validate(schema) {
            Ok(executable) => (executable, Vec::new()),
            Err(WithErrors { partial, errors }) => {
                let found = errors.iter();
                let found = found.filter(|one| !subscription::is_wrongly_refused(&partial, one));
                let faults = found.map(|found| fault(&found)).collect();
                (Valid::assume_valid(partial), faults)
            }
        };
        if faults.is_empty() {
            faults = rules::check(&executable, schema);
        }
        if !faults.is_empty() {
            return Err(located(&positions, ErrorCode::ValidationFailed, faults));
        }
        Ok(Self { executable, tokens, positions })
    }

    /// Where a node stands in the text.
    pub(crate) fn position(&self, node: Option<SourceSpan>) -> Pos {
        self.positions.at(node.map_or(0, |span| span.offset()))
    }

    /// The operation to execute.
    ///
    /// # Errors
    /// `OPERATION_RESOLUTION_FAILURE` where the name names none, or one of several is not named.
    pub(crate) fn operation(&self, name: Option<&str>) -> Result<&Node<Operation>, ServerError> {
        self.executable.operations.get(name).map_err(|_| {
            let problem = match name {
                Some(name) => format!("the document has no operation named {name:?}"),
                None => "the document has several operations: operationName has to name one".into(),
            };
            request_error(ErrorCode::OperationResolutionFailure, problem)
        })
    }
}

fn fault(diagnostic: &Diagnostic<'_, DiagnosticData>) -> Fault {
    let offset = diagnostic.error.location().map(|span| span.offset());
    Fault { message: diagnostic.error.to_string(), offset }
}

/// Faults as errors with lines and columns, in the order of the text.
fn located(positions: &TokenPositions, code: ErrorCode, mut faults: Vec<Fault>) -> DocumentError {
    faults.sort_by_key(|fault| fault.offset);
    let error = |Fault { message, offset }| {
        let mut error = request_error(code, message);
        error.locations.extend(offset.map(|offset| positions.at(offset)));
        error
    };
    DocumentError::Invalid(faults.into_iter().map(error).collect())
}
