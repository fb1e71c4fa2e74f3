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

use apollo_compiler::ast;
use apollo_compiler::diagnostic::ToCliReport as _;
use apollo_compiler::executable::{Operation, OperationType};
use apollo_compiler::validation::{Valid, WithErrors};
use apollo_compiler::{ExecutableDocument, Node, Schema};
use async_graphql::{Pos, ServerError};

use super::error::request_error;
use super::limits::{Limit, LimitExceeded, MAX_NESTING};
use crate::domain::ErrorCode;
pub(crate) use positions::FieldPositions;
use positions::LineCounter;
use rules::Fault;
use subscription::Diagnostic;

/// How many operations one document may define. Each is validated with the fragments it reaches.
const MAX_OPERATIONS: usize = 50;

/// A document that is valid under the schema.
#[derive(Debug)]
pub(crate) struct Document {
    executable: Valid<ExecutableDocument>,
    positions: FieldPositions,
    /// Lexical tokens of the text.
    tokens: usize,
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
        let scan::Scanned { text, tokens } = scan::scan(text)?;
        Limit::TOKENS.check(tokens, max_tokens)?;
        // The parser's own token limit also counts blanks, commas and comments, so it is not used.
        let parsed =
            ast::Document::parser().recursion_limit(2 * MAX_NESTING).parse_ast(&*text, "document");
        // What follows the first error mostly follows from it.
        let parsed = parsed.map_err(|invalid| {
            let first = invalid.errors.iter().take(1).map(|first| fault(&first)).collect();
            located(&text, ErrorCode::ParseFailed, first)
        });
        let parsed = parsed.map_err(DocumentError::Invalid)?;
        let operations =
            parsed.definitions.iter().filter_map(ast::Definition::as_operation_definition);
        Limit::OPERATIONS.check(operations.count(), MAX_OPERATIONS)?;
        expansion::check(&parsed, max_tokens)?;
        let executable = match parsed.to_executable_validate(schema) {
            Ok(executable) => executable,
            Err(WithErrors { partial, errors: found }) => {
                let wrong = |diagnostic: &Diagnostic<'_>| {
                    !subscription::is_wrongly_refused(&partial, diagnostic)
                };
                let faults: Vec<Fault> =
                    found.iter().filter(wrong).map(|found| fault(&found)).collect();
                if !faults.is_empty() {
                    let errors = located(&text, ErrorCode::ValidationFailed, faults);
                    return Err(DocumentError::Invalid(errors));
                }
                Valid::assume_valid(partial)
            }
        };
        let broken = rules::check(&executable, schema);
        if !broken.is_empty() {
            let errors = located(&text, ErrorCode::ValidationFailed, broken);
            return Err(DocumentError::Invalid(errors));
        }
        let positions = FieldPositions::of(&executable, &text);
        Ok(Self { executable, positions, tokens })
    }

    /// Its operations and fragments.
    pub(crate) fn executable(&self) -> &ExecutableDocument {
        &self.executable
    }

    /// Lexical tokens of its text.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Where fields stand in its text.
    pub(crate) fn positions(&self) -> &FieldPositions {
        &self.positions
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

/// The name of an operation's type.
pub(crate) fn type_name(operation: OperationType) -> &'static str {
    match operation {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}

fn fault(diagnostic: &Diagnostic<'_>) -> Fault {
    let offset = diagnostic.error.location().map(|span| span.offset());
    Fault { message: diagnostic.error.to_string(), offset }
}

/// Faults as errors with lines and columns, in the order of the text.
fn located(text: &str, code: ErrorCode, mut faults: Vec<Fault>) -> Vec<ServerError> {
    faults.sort_by_key(|fault| fault.offset);
    let mut lines = LineCounter::new(text);
    let error = |Fault { message, offset }| {
        let mut error = request_error(code, message);
        error.locations.extend(offset.map(|offset: usize| lines.at(offset)));
        error
    };
    faults.into_iter().map(error).collect()
}

/// Where a node of a document begins, for error messages.
pub(crate) fn position_or_start(positions: &FieldPositions, offset: Option<usize>) -> Pos {
    offset.and_then(|offset| positions.at(offset)).unwrap_or(Pos { line: 1, column: 1 })
}
