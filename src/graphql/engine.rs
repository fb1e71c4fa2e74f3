//! Executes operations: validate, limit, coerce, then execute by a plan or by async-graphql.

use std::sync::Arc;

use apollo_compiler::validation::Valid;
use async_graphql::{
    EmptyMutation, Response, Schema, ServerError, ValidationMode, Variables, to_value,
};
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::context::OperationContext;
use super::conversion::{self, Converted, ObjectShape};
use super::document::{Document, DocumentError};
use super::document_cache::{DocumentCache, DocumentKey, PreparedOperation};
use super::error::{request_error, set_code};
use super::limits::{self, MAX_NESTING, QueryCost};
use super::operation::{Answer, Operation};
use super::plan::Plan;
use super::response_size::ResponseSize;
use super::schema::query::Query;
use super::schema::subscription::Subscription;
use super::sdl::{federation_sdl, validation_schema};
use super::variables;
use crate::config::{GraphqlConfig, LimitsConfig};
use crate::domain::ErrorCode;
use crate::spans;

/// Validation errors listed for one document. One more error counts those left out.
const MAX_FAULTS: usize = 50;
/// Where an answer says what was read for it, in its `extensions`.
const EXPLAINED: &str = "cache";
/// The longest message of one, in characters. The parser repeats the line that it cannot read.
const LONGEST_MESSAGE: usize = 500;

/// The schema, ready to execute operations.
#[derive(Clone)]
pub struct Engine {
    /// Executes what has no plan.
    executor: Schema<Query, EmptyMutation, Subscription>,
    /// What documents are validated against.
    schema: Arc<Valid<apollo_compiler::Schema>>,
    limits: LimitsConfig,
    documents: DocumentCache,
    introspection: bool,
}

/// An operation that was checked before execution.
#[derive(Debug)]
pub struct Admitted {
    /// The operation's name, where the request gives one.
    pub(crate) name: Option<Arc<str>>,
    /// The errors where it cannot be executed.
    valid: Result<ValidOperation, Vec<ServerError>>,
}

/// An operation that is valid, with the values of its variables.
#[derive(Debug)]
struct ValidOperation {
    prepared: Arc<PreparedOperation>,
    variables: Variables,
    /// Whether the response lists the reads that it was made from.
    explain: bool,
}

impl Admitted {
    /// Whether the operation changes nothing and has one answer.
    pub fn is_query(&self) -> bool {
        self.valid.as_ref().map_or(true, |valid| valid.prepared.document.operation.is_query())
    }
}

impl Engine {
    /// The engine under the given settings.
    pub fn new(config: &GraphqlConfig, limits: &LimitsConfig) -> Self {
        // Rendered once: routers ask for it over and over.
        let root = Query { federation_sdl: federation_sdl().into() };
        // No extension is ever added: a single one that does nothing costs a quarter of each request.
        let mut executor = Schema::build(root, EmptyMutation, Subscription)
            // Documents are valid and their nesting is bounded before they come here.
            .limit_recursive_depth(2 * MAX_NESTING)
            .validation_mode(ValidationMode::Fast);
        if !config.introspection {
            executor = executor.disable_introspection().disable_suggestions();
        }
        Self {
            executor: executor.finish(),
            schema: Arc::new(validation_schema()),
            limits: limits.clone(),
            documents: DocumentCache::new(),
            introspection: config.introspection,
        }
    }

    /// The engine under other settings. The document cache stays, unless introspection is turned on or off.
    #[must_use]
    pub fn changed(&self, config: &GraphqlConfig, limits: &LimitsConfig) -> Self {
        if config.introspection == self.introspection {
            return Self { limits: limits.clone(), ..self.clone() };
        }
        Self::new(config, limits)
    }

    /// Whether introspection and explanations are allowed.
    pub fn shows_itself(&self) -> bool {
        self.introspection
    }

    /// Number of cached documents and their weight in bytes.
    pub fn documents(&self) -> (u64, u64) {
        self.documents.size()
    }

    /// Checks the operations of one request before any of them is executed. An exceeded limit refuses the
    /// whole request; any other fault refuses its operation.
    ///
    /// # Errors
    /// The error to answer the whole request with.
    pub fn admit(&self, operations: Vec<Operation>) -> Result<Vec<Admitted>, ServerError> {
        let mut sum = QueryCost::default();
        let mut admitted = Vec::with_capacity(operations.len());
        for operation in operations {
            let name = operation.operation_name.clone();
            let valid = self.validate(operation).and_then(|operation| {
                sum = sum.and(self.cost(&operation)?);
                Ok(operation)
            });
            let valid = match valid {
                Ok(valid) => Ok(valid),
                Err(DocumentError::Invalid(errors)) => Err(errors),
                Err(DocumentError::TooComplex(exceeded)) => return Err(exceeded.into()),
            };
            admitted.push(Admitted { name, valid });
        }
        limits::check(sum, &self.limits)?;
        Ok(admitted)
    }

    /// Validates an operation and coerces its variables.
    fn validate(&self, operation: Operation) -> Result<ValidOperation, DocumentError> {
        let Operation { query, operation_name, variables, explain, fault, .. } = operation;
        if let Some(fault) = fault {
            return Err((*fault).into());
        }
        let prepared = self.prepare(DocumentKey { text: query, operation_name })?;
        let variables = variables::coerce(&self.schema, &prepared.document, variables)?;
        Ok(ValidOperation { prepared, variables, explain })
    }

    /// The operation of a document, from the cache or parsed and validated.
    fn prepare(&self, key: DocumentKey) -> Result<Arc<PreparedOperation>, DocumentError> {
        if let Some(prepared) = self.documents.get(&key) {
            return Ok(prepared);
        }
        let DocumentKey { text, operation_name } = &key;
        let max_tokens = self.limits.max_tokens;
        let document = Document::parse(text, operation_name.as_deref(), &self.schema, max_tokens)?;
        let plan = Plan::compile(&document);
        let prepared = Arc::new(PreparedOperation { document, plan });
        self.documents.insert(key, &prepared);
        Ok(prepared)
    }

    fn cost(&self, operation: &ValidOperation) -> Result<QueryCost, ServerError> {
        let Document { executable, operation: parsed, tokens, .. } = &operation.prepared.document;
        let cost = limits::cost(executable, parsed, &operation.variables, self.limits.projects);
        if cost.introspection > 0 && !self.introspection {
            return Err(introspection_is_off());
        }
        Ok(QueryCost { tokens: *tokens, ..cost })
    }

    /// Executes an admitted operation that has one answer: a query.
    pub async fn execute(&self, admitted: Admitted, context: OperationContext) -> Answer {
        let operation = match admitted.valid {
            Ok(operation) => operation,
            Err(errors) => return refused(errors),
        };
        if operation.prepared.document.operation.is_subscription() {
            let message = "a subscription needs a WebSocket or an event stream";
            return refused(vec![request_error(ErrorCode::ValidationFailed, message)]);
        }
        operation.name_span();
        match &operation.prepared.plan {
            // Plans know no paths, which an explanation needs.
            Some(plan) if !operation.explain => {
                checked(plan.execute(&operation.variables, &context).await, context.size())
            }
            // Boxed, so that the usual case stays small.
            _ => Box::pin(self.execute_by_library(&operation, context)).await,
        }
    }

    async fn execute_by_library(
        &self,
        operation: &ValidOperation,
        context: OperationContext,
    ) -> Answer {
        let Converted { request, shape } = match self.convert(operation) {
            Ok(converted) => converted,
            Err(error) => return refused(vec![error]),
        };
        let reader = context.reader();
        if operation.explain {
            reader.explain();
        }
        let mut response = self.executor.execute(request.data(context.clone())).await;
        if operation.explain {
            let read = to_value(reader.explained()).unwrap_or_default();
            response.extensions.insert(EXPLAINED.to_owned(), read);
        }
        executed(response, &shape, context.size())
    }

    fn convert(&self, operation: &ValidOperation) -> Result<Converted, ServerError> {
        conversion::convert(&self.schema, &operation.prepared.document, &operation.variables)
    }

    /// Executes an admitted operation that may have many answers: a subscription, or a query.
    pub fn execute_stream(
        &self,
        admitted: Admitted,
        context: OperationContext,
    ) -> BoxStream<'static, Answer> {
        let operation = match &admitted.valid {
            Ok(operation) if operation.prepared.document.operation.is_subscription() => operation,
            _ => {
                let engine = self.clone();
                return stream::once(async move { engine.execute(admitted, context).await })
                    .boxed();
            }
        };
        operation.name_span();
        match self.convert(operation) {
            Ok(Converted { request, shape }) => self
                .executor
                .execute_stream(request.data(context.clone()))
                .map(move |response| executed(response, &shape, context.size()))
                .boxed(),
            Err(error) => stream::iter([refused(vec![error])]).boxed(),
        }
    }

    /// Executes a query as if it had no plan; `None` if it is refused.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) async fn execute_without_plan(
        &self,
        operation: Operation,
        context: OperationContext,
    ) -> Option<Answer> {
        let operation = self.validate(operation).ok()?;
        Some(self.execute_by_library(&operation, context).await)
    }
}

impl ValidOperation {
    /// Names the current span after the type of the operation.
    fn name_span(&self) {
        let operation_type = self.prepared.document.operation.operation_type.name();
        spans::name_operation(&opentelemetry::Context::current(), operation_type);
    }
}

/// What the executor has made, with every error: each says why a field is `null`. Sets codes where the
/// executor has set none: those are values that an argument refuses.
fn executed(mut response: Response, shape: &ObjectShape, size: &ResponseSize) -> Answer {
    for error in &mut response.errors {
        shorten(&mut error.message);
        if error.extensions.is_none() {
            set_code(error, ErrorCode::BadUserInput);
        }
    }
    if !size.is_exceeded() {
        response.data = conversion::shaped(response.data, shape);
    }
    answer(response, size)
}

/// Writes the data of a response.
fn answer(response: Response, size: &ResponseSize) -> Answer {
    let Response { data, errors, extensions, .. } = response;
    let mut body = b"{\"data\":".to_vec();
    if !size.is_exceeded() {
        // Values can always be written, and a vector takes everything.
        let _ = serde_json::to_writer(&mut body, &data);
    }
    checked(Answer { body: Some(body), errors, extensions }, size)
}

/// An error replaces an answer that is too large.
fn checked(answer: Answer, size: &ResponseSize) -> Answer {
    match size.check(answer.body.as_ref().map_or(0, Vec::len)) {
        Ok(()) => answer,
        Err(error) => Answer::failed(error),
    }
}

fn shorten(message: &mut String) {
    if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
        message.truncate(end);
        message.push('…');
    }
}

fn refused(mut errors: Vec<ServerError>) -> Answer {
    // A short document can be wrong in thousands of ways; a client needs a few of them.
    let left_out = errors.len().saturating_sub(MAX_FAULTS);
    errors.truncate(MAX_FAULTS);
    for error in &mut errors {
        shorten(&mut error.message);
    }
    if left_out > 0 {
        let message = format!("{left_out} more errors are not listed");
        errors.push(request_error(ErrorCode::ValidationFailed, message));
    }
    Answer::refused(errors)
}

/// As Apollo's servers put it.
fn introspection_is_off() -> ServerError {
    let message = "introspection is off: __schema and __type cannot be asked for";
    let mut error = request_error(ErrorCode::ValidationFailed, message);
    if let Some(extensions) = &mut error.extensions {
        extensions.set("validationErrorCode", "INTROSPECTION_DISABLED");
    }
    error
}
