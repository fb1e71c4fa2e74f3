//! Reads GraphQL documents: parses them and validates them against the schema.
//!
//! [`apollo_compiler`] does both. What it lacks is added here: limits that have to hold before it
//! recurses, descriptions of executable definitions, and a few rules of validation ([`rules`]).

mod scan;
mod expansion;
mod rules;
#[cfg(test)]
mod tests;

use apollo_compiler::diagnostic::{Diagnostic, ToCliReport as _};
use apollo_compiler::executable::Operation;
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::validation::{DiagnosticData, Valid, WithErrors};
use apollo_compiler::{ExecutableDocument, Node, Schema, ast};
use async_graphql::{Pos, ServerError};

use super::error::{located_error, request_error};
use super::limits::{Limit, LimitExceeded, MAX_NESTING};
use crate::domain::ErrorCode;
use scan::TokenPositions;

/// How many operations one document may define. Each is validated with the fragments it reaches.
const MAX_OPERATIONS: usize = 50;

/// A document that is valid under the schema.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its operations and fragments.
    pub(crate) executable: Valid<ExecutableDocument>,
    /// The operation to execute.
    pub(crate) operation: Node<Operation>,
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
    /// Parses and validates a document, and finds the operation of a name.
    ///
    /// # Errors
    /// `GRAPHQL_PARSE_FAILED`, `GRAPHQL_VALIDATION_FAILED`, `OPERATION_RESOLUTION_FAILURE`, or the limit
    /// that the text exceeds.
    pub(crate) fn parse(
        text: &str,
        operation: Option<&str>,
        schema: &Valid<Schema>,
        max_tokens: usize,
    ) -> Result<Self, DocumentError> {
        let scan::Scanned { text, tokens, positions } = scan::scan(text)?;
        Limit::TOKENS.check(tokens, max_tokens)?;
        // The parser's own token limit also counts blanks, commas and comments, so it is not used.
        let mut parser = ast::Document::parser().recursion_limit(2 * MAX_NESTING);
        let parsed = parser.parse_ast(text, "document").map_err(|invalid| {
            // What follows the first error mostly follows from it.
            let first = invalid.errors.iter().take(1);
            let first = first.map(|first| error(ErrorCode::ParseFailed, &first, &positions));
            DocumentError::Invalid(first.collect())
        })?;
        let operations =
            parsed.definitions.iter().filter_map(ast::Definition::as_operation_definition);
        Limit::OPERATIONS.check(operations.count(), MAX_OPERATIONS)?;
        expansion::check(&parsed, max_tokens)?;
        let executable = validate(&parsed, schema, &positions).map_err(DocumentError::Invalid)?;
        let operation = find(&executable, operation)?.clone();
        Ok(Self { executable, operation, tokens, positions })
    }

    /// Where a node stands in the text.
    pub(crate) fn position(&self, node: Option<SourceSpan>) -> Pos {
        self.positions.of(node)
    }
}

/// Validates a document. Its errors are in the order of the text.
fn validate(
    parsed: &ast::Document,
    schema: &Valid<Schema>,
    positions: &TokenPositions,
) -> Result<Valid<ExecutableDocument>, Vec<ServerError>> {
    let (executable, mut errors) = match parsed.to_executable_validate(schema) {
        Ok(executable) => (executable, Vec::new()),
        Err(WithErrors { partial, errors }) => {
            let found = errors.iter();
            let found = found.filter(|found| !rules::is_wrongly_refused(&partial, found));
            let found = found.map(|found| error(ErrorCode::ValidationFailed, &found, positions));
            let errors = found.collect();
            (Valid::assume_valid(partial), errors)
        }
    };
    if errors.is_empty() {
        errors = rules::check(&executable, schema, positions);
    }
    errors.sort_by_key(|error| error.locations.first().copied());
    if errors.is_empty() { Ok(executable) } else { Err(errors) }
}

/// The operation of a name, or the only one.
fn find<'d>(
    executable: &'d ExecutableDocument,
    name: Option<&str>,
) -> Result<&'d Node<Operation>, ServerError> {
    executable.operations.get(name).map_err(|_| {
        let problem = match name {
            Some(name) => format!("the document has no operation named {name:?}"),
            None => "the document has several operations: operationName has to name one".into(),
        };
        request_error(ErrorCode::OperationResolutionFailure, problem)
    })
}

fn error(
    code: ErrorCode,
    found: &Diagnostic<'_, DiagnosticData>,
    positions: &TokenPositions,
) -> ServerError {
    let message = found.error.to_string();
    match found.error.location() {
        Some(span) => located_error(code, message, positions.of(Some(span))),
        None => request_error(code, message),
    }
}
