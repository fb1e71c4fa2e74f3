//! Executes operations: parse, validate, resolve, and a code on every error on the way.

use std::sync::Arc;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType,
};
use async_graphql::{
    EmptyMutation, Pos, Request, Response, SDLExportOptions, Schema, ServerError, Variables,
    to_value,
};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::context::OperationContext;
use super::entity::FederationQuery;
use super::error::{ErrorCode, request_error, set_code};
use super::guard::{Guard, MAX_NESTING, Measure, Refusal};
use super::known::{Known, KnownDocuments};
use super::order::{self, Keys};
use super::plain::{Bound, Written};
use super::query::{RecordQuery, Root, ShownRoot};
use super::recall::{KnownRequests, PlainRequest};
use super::subscription::Subscription;
use super::values::Values;
use super::variables;
use crate::config::{GraphqlConfig, LimitsConfig};
use crate::records::Reader;

/// The newest version of the federation specification that Apollo's composition accepts.
const FEDERATION: &str = "https://specs.apollo.dev/federation/v2.14";
/// The most errors of one operation that are answered.
const MOST_ERRORS: usize = 50;
/// Where an answer says what was read for it, in its `extensions`.
const EXPLAINED: &str = "cache";
/// The longest message of one, in characters. The parser repeats the line that it cannot read.
const LONGEST_MESSAGE: usize = 500;

/// The schema, ready to execute operations.
#[derive(Clone)]
pub struct Engine {
    schema: Schema<Root, EmptyMutation, Subscription>,
    guard: Guard,
    known: KnownDocuments,
    requests: KnownRequests,
    introspection: bool,
}

/// One GraphQL operation as it was sent.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// The document.
    pub query: String,
    /// Which of the document's operations to execute.
    pub operation_name: Option<Arc<str>>,
    /// Values of its variables.
    pub variables: Values,
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

/// An operation within the limits, or why it will not be executed.
#[derive(Debug)]
pub struct Admitted(Result<Ready, Box<ServerError>>);

/// An operation within the limits.
#[derive(Debug)]
enum Ready {
    /// To be executed by its plan.
    Plain(Arc<PlainRequest>),
    /// To be executed by the library.
    Other(Box<Operation>),
}

/// What became of an operation.
#[derive(Debug)]
pub enum Answer {
    /// It was executed; fields may have failed.
    Executed(Response),
    /// It was executed, by a plan, and is written already.
    Written(Written),
    /// It was executed without an error, and this is the whole answer: now, or before for the same
    /// operation of the same caller, and all that it was made of is still so.
    Whole(Bytes),
    /// It was refused before execution: it does not parse, validate or coerce.
    Refused(Response),
    /// It is not a query, and nothing else may be asked for this way.
    NotAQuery,
}

/// The schema in GraphQL's definition language, as `schema.graphql` holds it.
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .include_specified_by()
        .prefer_single_line_descriptions()
        .use_space_ident()
        .indent_width(2);
    // What routers ask for is theirs to know; it is no part of the schema that clients see.
    let schema = Schema::new(ShownRoot(RecordQuery), EmptyMutation, Subscription);
    tidy(&schema.sdl_with_options(options))
}

/// Without what every reader knows (the directives of the specification, and that `Query` is the
/// root of queries), without blanks at the ends of lines, and with one line feed at the end.
fn tidy(sdl: &str) -> String {
    const SPECIFIED: &str = "\n\"Directs the executor to include";
    let own = sdl.split_once(SPECIFIED).map_or(sdl, |(own, _)| own);
    let lines: Vec<&str> = own.trim().lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// The schema as a subgraph of a federation, as `_service` answers it: with the entities' keys.
pub fn federation_sdl() -> String {
    let keyed = sdl()
        .replace("\ntype ScreenRecord {", "\ntype ScreenRecord @key(fields: \"projectId id\") {")
        .replace("\ntype Desktop {", "\ntype Desktop @key(fields: \"id\", resolvable: false) {");
    format!("extend schema @link(url: \"{FEDERATION}\", import: [\"@key\"])\n\n{keyed}")
}

fn schema(config: &GraphqlConfig, root: Root) -> Schema<Root, EmptyMutation, Subscription> {
    // The guard bounds the nesting; the executor's own limit must not be the narrower one.
    let builder =
        Schema::build(root, EmptyMutation, Subscription).limit_recursive_depth(MAX_NESTING);
    // No extension is ever added: a single one that does nothing costs a quarter of each request.
    if config.introspection {
        builder.finish()
    } else {
        builder.disable_introspection().disable_suggestions().finish()
    }
}

impl Engine {
    /// The schema under the configured conditions.
    pub fn new(config: &GraphqlConfig, limits: &LimitsConfig) -> Self {
        let guard = Guard::new(limits);
        // Rendered once: routers ask for it over and over.
        let root = Root(RecordQuery, FederationQuery { sdl: federation_sdl().into() });
        Self {
            schema: schema(config, root),
            guard,
            known: KnownDocuments::new(),
            requests: KnownRequests::new(),
            introspection: config.introspection,
        }
    }

    /// The same under other conditions. What is known of documents stays known, unless it may mean
    /// something else now.
    #[must_use]
    pub fn changed(&self, config: &GraphqlConfig, limits: &LimitsConfig) -> Self {
        if config.introspection == self.introspection {
            return Self { guard: Guard::new(limits), ..self.clone() };
        }
        Self::new(config, limits)
    }

    /// Whether the schema is shown to those who ask, and where answers come from.
    pub fn shows_itself(&self) -> bool {
        self.introspection
    }

    /// How many documents are known, and their weight in bytes.
    pub fn documents(&self) -> (u64, u64) {
        self.known.size()
    }

    /// How many requests are known by their whole body, and their weight in bytes.
    pub fn requests(&self) -> (u64, u64) {
        self.requests.size()
    }

    /// The one operation of a body that was here before, admitted without being read again; nothing where
    /// the body is not known.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn recall(&self, body: &[u8]) -> Option<Result<Admitted, ServerError>> {
        let request = self.requests.get(body)?;
        let within = self.guard.admit(&[request.measure]);
        Some(within.map(|()| Admitted(Ok(Ready::Plain(request)))).map_err(|r| refusal_error(&r)))
    }

    /// Keeps in mind that a body holds just this operation, where it is a plain one.
    pub fn remember(&self, body: &[u8], admitted: &Admitted) {
        if let Ok(Ready::Plain(request)) = &admitted.0 {
            self.requests.keep(body, request);
        }
    }

    /// Checks the operations of one request before anything is done for any of them. What is over a
    /// limit refuses the whole request; other faults are each operation's own.
    ///
    /// # Errors
    /// The error to answer the whole request with.
    pub fn admit(&self, operations: Vec<Operation>) -> Result<Vec<Admitted>, ServerError> {
        let mut measures = Vec::with_capacity(operations.len());
        let mut admitted = Vec::with_capacity(operations.len());
        for mut operation in operations {
            if let Some(fault) = operation.fault.take() {
                admitted.push(Admitted(Err(fault)));
                continue;
            }
            let verdict = match self.measure(&operation) {
                Ok((measure, _)) if measure.introspection > 0 && !self.introspection => {
                    Err(Box::new(introspection_is_off()))
                }
                Ok((measure, bound)) => {
                    measures.push(measure);
                    // Plans know no paths.
                    let bound = bound.filter(|_| !operation.explain);
                    Ok(Ready::of(operation, measure, bound))
                }
                Err(refusal) => Err(Box::new(own_fault(&refusal)?)),
            };
            admitted.push(Admitted(verdict));
        }
        self.guard.admit(&measures).map_err(|refusal| refusal_error(&refusal))?;
        Ok(admitted)
    }

    /// What an operation asks for, and its plan where it is a plain one.
    fn measure(&self, operation: &Operation) -> Result<(Measure, Option<Bound>), Refusal> {
        let Operation { query, operation_name, variables, .. } = operation;
        let name = operation_name.as_deref();
        let planned = match self.known.get(query) {
            Some(Known::Planned(planned)) => Some(planned),
            Some(Known::Parsed(_)) => None,
            // Plain documents have no lists, so variables make no difference to what they ask for.
            None => {
                let measure = self.guard.measure(query, None, &Variables::default())?;
                self.known.plan(query, measure)
            }
        };
        if let Some(planned) = planned.filter(|planned| planned.plan.is_named(name)) {
            // Odd values of variables are for the library to refuse.
            return Ok((planned.measure, planned.plan.bind(variables)));
        }
        Ok((self.guard.measure(query, name, &variables.variables())?, None))
    }

    /// Executes an admitted operation that has one answer: a query.
    async fn execute(&self, admitted: Admitted, context: OperationContext) -> Answer {
        match self.prepare(admitted, context) {
            Ok(Prepared::Plain(request, context)) => {
                Answer::Written(request.bound.execute(&context).await)
            }
            Ok(Prepared::Parsed(request, keys)) => {
                coded(order::repaired(self.schema.execute(*request).await, &keys))
            }
            Err(answer) => *answer,
        }
    }

    /// The answer to an admitted operation, where everything is at hand; else nothing, and nothing is
    /// begun.
    pub fn answer_now(&self, admitted: &Admitted, reader: &Reader) -> Option<Answer> {
        match admitted.0.as_ref().ok()? {
            Ready::Plain(request) => request.answer_now(reader),
            Ready::Other(_) => reader.kept_answer(&admitted.question()?).map(Answer::Whole),
        }
    }

    /// The answer to an admitted operation that has one, a query, where [`Self::answer_now`] had none. What
    /// needs the library is kept, to be answered at once the next time.
    pub async fn answer(&self, admitted: Admitted, context: OperationContext) -> Answer {
        let reader = context.reader();
        if admitted.is_to_be_explained() {
            reader.explain();
            return explained(self.execute(admitted, context).await, &reader);
        }
        let Some(question) = admitted.question() else {
            return self.execute(admitted, context).await;
        };
        reader.note_sources();
        match self.execute(admitted, context).await {
            Answer::Executed(response) if response.errors.is_empty() && reader.may_keep() => {
                match whole(&response) {
                    Ok(body) => {
                        reader.keep_answer(question, &body);
                        Answer::Whole(body)
                    }
                    Err(_) => Answer::Executed(response),
                }
            }
            answer => answer,
        }
    }

    /// Executes an admitted operation that may have many answers: a subscription, or a query.
    pub fn execute_stream(
        &self,
        admitted: Admitted,
        context: OperationContext,
    ) -> BoxStream<'static, Answer> {
        match self.prepare(admitted, context) {
            Ok(Prepared::Plain(request, context)) => {
                let written = async move { request.bound.execute(&context).await };
                stream::once(written).map(Answer::Written).boxed()
            }
            Ok(Prepared::Parsed(request, keys)) => self
                .schema
                .execute_stream(*request)
                .map(move |response| coded(order::repaired(response, &keys)))
                .boxed(),
            Err(answer) => stream::iter([*answer]).boxed(),
        }
    }

    /// Executes a query as if it had no plan.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) async fn execute_by_library(
        &self,
        operation: Operation,
        context: OperationContext,
    ) -> Answer {
        self.execute(Admitted(Ok(Ready::Other(Box::new(operation)))), context).await
    }

    fn prepare(
        &self,
        admitted: Admitted,
        context: OperationContext,
    ) -> Result<Prepared, Box<Answer>> {
        let operation = match admitted.0.map_err(|error| Box::new(refused(*error)))? {
            Ready::Plain(request) => return Ok(Prepared::Plain(request, context)),
            Ready::Other(operation) => operation,
        };
        let document = self.known.parse(&operation.query).map_err(|mut error| {
            shorten(&mut error.message);
            Box::new(refused(error))
        })?;
        let selected = selected(&document, operation.operation_name.as_deref())
            .map_err(|error| Box::new(refused(error)))?;
        if operation.only_query && selected.ty != OperationType::Query {
            return Err(Box::new(Answer::NotAQuery));
        }
        context.reader().trace().tell_operation(type_name(selected.ty));
        let variables = operation.variables.variables();
        variables::check(selected, &variables).map_err(|error| Box::new(refused(error)))?;
        let keys = order::keys(selected, &document);
        let variables = variables.into_owned();
        let mut request = Request::new(operation.query).variables(variables).data(context);
        request.operation_name = operation.operation_name.map(|name| (*name).to_owned());
        request.set_parsed_query(ExecutableDocument::clone(&document));
        Ok(Prepared::Parsed(Box::new(request), keys))
    }
}

impl Ready {
    fn of(operation: Operation, measure: Measure, bound: Option<Bound>) -> Self {
        match bound {
            Some(bound) => {
                let operation_name = operation.operation_name;
                Self::Plain(Arc::new(PlainRequest::new(bound, measure, operation_name)))
            }
            None => Self::Other(Box::new(operation)),
        }
    }
}

impl Admitted {
    /// Which of the document's operations was asked for.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self.0.as_ref().ok()? {
            Ready::Plain(request) => request.operation_name.as_ref(),
            Ready::Other(operation) => operation.operation_name.as_ref(),
        }
    }

    fn is_to_be_explained(&self) -> bool {
        matches!(&self.0, Ok(Ready::Other(operation)) if operation.explain)
    }

    /// What is asked, written down in full, where the answer may be kept: not where a plan makes it anew
    /// for less, and not where it is about this very reading.
    fn question(&self) -> Option<Vec<u8>> {
        let Ready::Other(operation) = self.0.as_ref().ok()? else { return None };
        let Operation { query, operation_name, variables, only_query, explain, .. } = &**operation;
        if *explain {
            return None;
        }
        let mut question = vec![u8::from(*only_query)];
        for part in [operation_name.as_deref().unwrap_or_default(), query] {
            question.extend_from_slice(&part.len().to_ne_bytes());
            question.extend_from_slice(part.as_bytes());
        }
        question.push(u8::from(operation_name.is_some()));
        serde_json::to_writer(&mut question, variables).ok()?;
        Some(question)
    }
}

/// The type of an operation, as it is written.
fn type_name(operation: OperationType) -> &'static str {
    match operation {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}

/// An answer, with what was read for it.
fn explained(answer: Answer, reader: &Reader) -> Answer {
    match answer {
        Answer::Executed(mut response) => {
            let read = to_value(reader.explained()).unwrap_or_default();
            response.extensions.insert(EXPLAINED.to_owned(), read);
            Answer::Executed(response)
        }
        other => other,
    }
}

/// The JSON of an answer without errors.
fn whole(response: &Response) -> Result<Bytes, serde_json::Error> {
    let mut body = Vec::from(b"{\"data\":");
    serde_json::to_writer(&mut body, &response.data)?;
    body.push(b'}');
    Ok(body.into())
}

/// An operation that is ready to be executed.
enum Prepared {
    /// By its plan.
    Plain(Arc<PlainRequest>, OperationContext),
    /// By the library, its variables checked.
    Parsed(Box<Request>, Keys),
}

/// Sets codes where the executor has set none: those errors are of the validation.
fn coded(mut response: Response) -> Answer {
    let mut executed = true;
    // A short document can be wrong in thousands of ways; nobody reads them all.
    response.errors.truncate(MOST_ERRORS);
    for error in &mut response.errors {
        shorten(&mut error.message);
        if error.extensions.is_none() {
            let code = if error.path.is_empty() {
                executed = false;
                ErrorCode::ValidationFailed
            } else {
                ErrorCode::BadUserInput
            };
            set_code(error, code);
        }
    }
    if executed { Answer::Executed(response) } else { Answer::Refused(response) }
}

fn shorten(message: &mut String) {
    if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
        message.truncate(end);
        message.push('…');
    }
}

fn refused(error: ServerError) -> Answer {
    Answer::Refused(Response::from_errors(vec![error]))
}

/// The error for an operation that is wrong in itself; one for the whole request where it is over a
/// limit.
fn own_fault(refusal: &Refusal) -> Result<ServerError, ServerError> {
    match refusal {
        Refusal::TooComplex { .. } => Err(refusal_error(refusal)),
        Refusal::Syntax { .. } | Refusal::Invalid { .. } => Ok(refusal_error(refusal)),
    }
}

fn refusal_error(refusal: &Refusal) -> ServerError {
    let code = match refusal {
        Refusal::TooComplex { .. } => ErrorCode::QueryTooComplex,
        Refusal::Invalid { .. } => ErrorCode::ValidationFailed,
        Refusal::Syntax { .. } => ErrorCode::ParseFailed,
    };
    let mut error = request_error(code, refusal.to_string());
    error.locations.extend(refusal.location().map(|(line, column)| Pos { line, column }));
    error
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

/// The operation that will be executed.
fn selected<'d>(
    document: &'d ExecutableDocument,
    name: Option<&str>,
) -> Result<&'d OperationDefinition, ServerError> {
    let found = match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next()
        }
        (DocumentOperations::Single(_), Some(_)) | (DocumentOperations::Multiple(_), None) => None,
    };
    let problem = match name {
        Some(name) => format!("the document has no operation named {name:?}"),
        None => "the document has several operations: operationName has to name one".to_owned(),
    };
    found
        .map(|operation| &operation.node)
        .ok_or_else(|| request_error(ErrorCode::OperationResolutionFailure, problem))
}
