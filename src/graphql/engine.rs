//! Executes operations: validate, limit, coerce, then execute by a plan or by async-graphql.

use std::sync::Arc;

use apollo_compiler::validation::Valid;
use async_graphql::{
    EmptyMutation, Response, Schema, ServerError, ValidationMode, Variables, to_value,
};
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::context::OperationContext;
use super::conversion::{self, Converted};
use super::document::{self, Document, DocumentError};
use super::document_cache::{DocumentCache, PreparedOperation};
use super::error::{request_error, set_code};
use super::limits::{self, LimitExceeded, Limits, MAX_NESTING, QueryCost};
use super::operation::{Answer, Executed, Operation};
use super::plan::{self, BoundPlan};
use super::response_shape::ObjectShape;
use super::response_size::ResponseSize;
use super::schema::entity::FederationQuery;
use super::schema::query::{Root, ScreenRecordQueries};
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
    executor: Schema<Root, EmptyMutation, Subscription>,
    /// What documents are validated against.
    schema: Arc<Valid<apollo_compiler::Schema>>,
    limits: Limits,
    documents: DocumentCache,
    introspection: bool,
}

/// An operation that was checked before execution.
#[derive(Debug)]
pub struct Admitted {
    name: Option<Arc<str>>,
    /// The errors where it cannot be executed.
    ready: Result<Ready, Vec<ServerError>>,
}

/// An operation that is valid and within the limits, its variables coerced.
#[derive(Debug)]
enum Ready {
    /// To be executed by its plan.
    Planned(BoundPlan),
    /// To be executed by async-graphql.
    Other(Box<ValidOperation>),
}

/// An operation for async-graphql.
#[derive(Debug)]
struct ValidOperation {
    prepared: Arc<PreparedOperation>,
    variables: Variables,
    /// Whether the response lists the reads that it was made from.
    explain: bool,
}

/// An operation and what it costs.
struct Costed {
    ready: Ready,
    cost: QueryCost,
}

impl Admitted {
    /// The operation's name, where the request gives one.
    pub fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// Whether the operation changes nothing and has one answer.
    pub fn is_query(&self) -> bool {
        match &self.ready {
            Ok(Ready::Other(operation)) => operation.prepared.operation.is_query(),
            Ok(Ready::Planned(_)) | Err(_) => true,
        }
    }
}

fn executor(config: &GraphqlConfig, root: Root) -> Schema<Root, EmptyMutation, Subscription> {
    let builder = Schema::build(root, EmptyMutation, Subscription)
        // Documents are valid and their nesting is bounded before they come here.
        .limit_recursive_depth(2 * MAX_NESTING)
        .validation_mode(ValidationMode::Fast);
    // No extension is ever added: a single one that does nothing costs a quarter of each request.
    if config.introspection {
        builder.finish()
    } else {
        builder.disable_introspection().disable_suggestions().finish()
    }
}

impl Engine {
    /// The engine under the given settings.
    pub fn new(config: &GraphqlConfig, limits: &LimitsConfig) -> Self {
        // Rendered once: routers ask for it over and over.
        let root = Root(ScreenRecordQueries, FederationQuery { sdl: federation_sdl().into() });
        Self {
            executor: executor(config, root),
            schema: Arc::new(validation_schema()),
            limits: Limits::new(limits),
            documents: DocumentCache::new(),
            introspection: config.introspection,
        }
    }

    /// The engine under other settings. The document cache stays, unless introspection is turned on or off.
    #[must_use]
    pub fn changed(&self, config: &GraphqlConfig, limits: &LimitsConfig) -> Self {
        if config.introspection == self.introspection {
            return Self { limits: Limits::new(limits), ..self.clone() };
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
        let mut cost = QueryCost::default();
        let mut admitted = Vec::with_capacity(operations.len());
        for operation in operations {
            let name = operation.operation_name.clone();
            let ready = match self.validate(operation) {
                Ok(valid) => {
                    cost = cost.and(valid.cost);
                    Ok(valid.ready)
                }
                Err(DocumentError::Invalid(errors)) => Err(errors),
                Err(DocumentError::TooComplex(exceeded)) => return Err(limit_error(&exceeded)),
            };
            admitted.push(Admitted { name, ready });
        }
        self.limits.check(cost).map_err(|exceeded| limit_error(&exceeded))?;
        Ok(admitted)
    }

    /// Validates an operation, coerces its variables and computes its cost.
    fn validate(&self, mut operation: Operation) -> Result<Costed, DocumentError> {
        if let Some(fault) = operation.fault.take() {
            return Err((*fault).into());
        }
        let prepared = self.prepare(&operation.query, operation.operation_name.as_deref())?;
        let PreparedOperation { document, operation: parsed, plan } = &*prepared;
        let variables =
            variables::coerce(&self.schema, parsed, document.positions(), &operation.variables)?;
        let (tokens, projects) = (document.tokens(), self.limits.projects());
        let cost = limits::cost(document.executable(), parsed, &variables, tokens, projects);
        if cost.introspection > 0 && !self.introspection {
            return Err(introspection_is_off().into());
        }
        // Plans know no paths, which an explanation needs.
        let plan = plan.as_ref().filter(|_| !operation.explain);
        if let Some(bound) = plan.and_then(|plan| plan.bind(&variables)) {
            return Ok(Costed { ready: Ready::Planned(bound), cost });
        }
        let valid = ValidOperation { prepared, variables, explain: operation.explain };
        Ok(Costed { ready: Ready::Other(Box::new(valid)), cost })
    }

    /// The operation of a document, from the cache or parsed and validated.
    fn prepare(
        &self,
        text: &str,
        name: Option<&str>,
    ) -> Result<Arc<PreparedOperation>, DocumentError> {
        if let Some(prepared) = self.documents.get(text, name) {
            return Ok(prepared);
        }
        let document = Document::parse(text, &self.schema, self.limits.max_tokens())?;
        let operation = document.operation(name)?.clone();
        let plan = plan::compile(&document, &operation).map(Arc::new);
        let prepared = Arc::new(PreparedOperation { document, operation, plan });
        self.documents.insert(text, name, &prepared);
        Ok(prepared)
    }

    /// Executes an admitted operation that has one answer: a query.
    pub async fn execute(&self, admitted: Admitted, context: OperationContext) -> Answer {
        match admitted.ready {
            Ok(Ready::Planned(bound)) => {
                spans::name_operation(&opentelemetry::Context::current(), "query");
                let executed = bound.execute(&context).await;
                executed
                    .map_or_else(|too_large| Answer::failed(too_large.error()), Answer::Executed)
            }
            Ok(Ready::Other(operation)) if operation.prepared.operation.is_subscription() => {
                let message = "a subscription needs a WebSocket or an event stream";
                refused(vec![request_error(ErrorCode::ValidationFailed, message)])
            }
            Ok(Ready::Other(operation)) => self.execute_by_library(&operation, context).await,
            Err(errors) => refused(errors),
        }
    }

    async fn execute_by_library(
        &self,
        operation: &ValidOperation,
        context: OperationContext,
    ) -> Answer {
        let Converted { request, shape } = match self.convert(operation, context.clone()) {
            Ok(converted) => converted,
            Err(error) => return refused(vec![error]),
        };
        let reader = context.reader();
        if operation.explain {
            reader.explain();
        }
        let mut response = self.executor.execute(request).await;
        if operation.explain {
            let read = to_value(reader.explained()).unwrap_or_default();
            response.extensions.insert(EXPLAINED.to_owned(), read);
        }
        executed(response, &shape, context.size())
    }

    fn convert(
        &self,
        operation: &ValidOperation,
        context: OperationContext,
    ) -> Result<Converted, ServerError> {
        let ValidOperation { prepared, variables, .. } = operation;
        let PreparedOperation { document, operation, .. } = &**prepared;
        let operation_type = document::type_name(operation.operation_type);
        spans::name_operation(&opentelemetry::Context::current(), operation_type);
        let Converted { request, shape } =
            conversion::convert(&self.schema, document, operation, variables)?;
        Ok(Converted { request: request.data(context), shape })
    }

    /// Executes an admitted operation that may have many answers: a subscription, or a query.
    pub fn execute_stream(
        &self,
        admitted: Admitted,
        context: OperationContext,
    ) -> BoxStream<'static, Answer> {
        match admitted.ready {
            Ok(Ready::Other(operation)) if operation.prepared.operation.is_subscription() => {
                match self.convert(&operation, context.clone()) {
                    Ok(Converted { request, shape }) => self
                        .executor
                        .execute_stream(request)
                        .map(move |response| executed(response, &shape, context.size()))
                        .boxed(),
                    Err(error) => stream::iter([refused(vec![error])]).boxed(),
                }
            }
            ready => {
                let (engine, admitted) = (self.clone(), Admitted { ready, ..admitted });
                stream::once(async move { engine.execute(admitted, context).await }).boxed()
            }
        }
    }

    /// Executes a query as if it had no plan; `None` if it is refused.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) async fn execute_without_plan(
        &self,
        operation: Operation,
        context: OperationContext,
    ) -> Option<Answer> {
        // An explained operation has no plan.
        match self.validate(Operation { explain: true, ..operation }).ok()?.ready {
            Ready::Other(operation) => {
                let operation = ValidOperation { explain: false, ..*operation };
                Some(self.execute_by_library(&operation, context).await)
            }
            Ready::Planned(_) => None,
        }
    }
}

/// What the executor has made, with every error: each says why a field is `null`. Sets codes where the
/// executor has set none: those are values that an argument refuses.
fn executed(response: Response, shape: &ObjectShape, size: &ResponseSize) -> Answer {
    let Response { data, mut errors, extensions, .. } = response;
    for error in &mut errors {
        shorten(&mut error.message);
        if error.extensions.is_none() {
            set_code(error, ErrorCode::BadUserInput);
        }
    }
    let written = size.check().and_then(|()| {
        let mut json = size.json(b"{\"data\":".to_vec());
        json.value(&shape.apply(data))?;
        json.finish()
    });
    match written {
        Ok(body) => Answer::Executed(Executed { body, errors, extensions }),
        Err(_) => Answer::failed(size.exceed().error()),
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
    Answer::Refused(errors)
}

fn limit_error(exceeded: &LimitExceeded) -> ServerError {
    request_error(ErrorCode::QueryTooComplex, exceeded.to_string())
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
