//! Converts an operation of a valid document into the types of async-graphql, which executes it.
//!
//! Fragments are inlined, equal fields merged, `@skip` and `@include` applied and variables replaced by
//! their values. So the executor sees fields and literals only, each once, with the client's positions.

use std::collections::HashMap;

use apollo_compiler::ast::{self, DirectiveList, Value};
use apollo_compiler::executable::{Field, Operation, OperationType, SelectionSet};
use apollo_compiler::{Name as ApolloName, Node, Schema};
use async_graphql::parser::types::{
    self as library, DocumentOperations, ExecutableDocument, OperationDefinition,
};
use async_graphql::{Name, Pos, Positioned, Request, ServerError, Value as ConstValue, Variables};

use super::document::Document;
use super::error::request_error;
use super::fields::collect_fields;
use super::literals::Literals;
use super::response_shape::{MemberShape, ObjectShape};
use crate::domain::ErrorCode;

/// The field that stands in for an empty selection set, which the executor does not know.
const PLACEHOLDER: &str = "__typename";

/// A request to async-graphql, and the shape of its response.
pub(crate) struct Converted {
    pub(crate) request: Request,
    pub(crate) shape: ObjectShape,
}

/// Converts an operation with the values of its variables.
///
/// # Errors
/// `BAD_USER_INPUT` where a variable is null that `@skip` or `@include` looks at, and
/// `GRAPHQL_VALIDATION_FAILED` where fields of one name have different arguments.
pub(crate) fn convert(
    schema: &Schema,
    document: &Document,
    operation: &Operation,
    variables: &Variables,
) -> Result<Converted, ServerError> {
    let converter = Converter { document, literals: Literals { schema, variables } };
    let ConvertedObject { selections, shape } = converter.object([&operation.selection_set])?;
    let definition = OperationDefinition {
        ty: match operation.operation_type {
            OperationType::Query => library::OperationType::Query,
            OperationType::Mutation => library::OperationType::Mutation,
            OperationType::Subscription => library::OperationType::Subscription,
        },
        variable_definitions: Vec::new(),
        directives: Vec::new(),
        selection_set: placed(selections, START),
    };
    let operations = DocumentOperations::Single(placed(definition, START));
    let mut request = Request::new("");
    request.set_parsed_query(ExecutableDocument { operations, fragments: HashMap::default() });
    Ok(Converted { request, shape })
}

const START: Pos = Pos { line: 1, column: 1 };

fn placed<T>(node: T, pos: Pos) -> Positioned<T> {
    Positioned::new(node, pos)
}

/// The selections of an object and the shape of their answer.
#[derive(Default)]
struct ConvertedObject {
    selections: library::SelectionSet,
    shape: ObjectShape,
}

struct Converter<'d> {
    document: &'d Document,
    literals: Literals<'d>,
}

impl<'d> Converter<'d> {
    /// Converts the merged selections of an object.
    fn object(
        &self,
        sets: impl IntoIterator<Item = &'d SelectionSet>,
    ) -> Result<ConvertedObject, ServerError> {
        let is_included = |directives: &DirectiveList| self.is_included(directives);
        let mut converted = ConvertedObject::default();
        for (key, fields) in collect_fields(&self.document.executable, sets, &is_included)? {
            let Some(first) = fields.first() else { continue };
            let (field, member) = self.field(first, &fields)?;
            converted
                .selections
                .items
                .push(selection(field, self.document.position(first.location())));
            converted.shape.add(key, member);
        }
        if converted.selections.items.is_empty() {
            converted.selections.items.push(selection(library_field(PLACEHOLDER, START), START));
        }
        Ok(converted)
    }

    fn is_included(&self, directives: &DirectiveList) -> Result<bool, ServerError> {
        for (name, wanted) in [("skip", false), ("include", true)] {
            let Some(directive) = directives.get(name) else { continue };
            let value = match directive.specified_argument_by_name("if").map(|value| &**value) {
                Some(Value::Boolean(value)) => *value,
                Some(Value::Variable(name)) => {
                    let value = self.literals.variables.get(name.as_str());
                    let Some(ConstValue::Boolean(value)) = value else {
                        let message = format!("variable ${name} got null: Boolean! is needed");
                        return Err(request_error(ErrorCode::BadUserInput, message));
                    };
                    *value
                }
                // Validation requires a value.
                _ => continue,
            };
            if value != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Converts the fields of one response key.
    fn field(
        &self,
        first: &Node<Field>,
        fields: &[&'d Node<Field>],
    ) -> Result<(library::Field, MemberShape), ServerError> {
        let at = self.document.position(first.location());
        if !fields.iter().all(|other| have_equal_arguments(first, other)) {
            return Err(conflicting_arguments(first, at));
        }
        let mut field = library_field(&first.name, at);
        field.alias = first.alias.as_ref().map(|alias| placed(Name::new(alias), at));
        let arguments = first.arguments.iter().filter_map(|argument| {
            let definition = first.definition.argument_by_name(&argument.name)?;
            // A variable without a value is left out.
            let value = self.literals.value(&argument.value, Some(&definition.ty))?;
            Some((placed(Name::new(&argument.name), at), placed(value.into_value(), at)))
        });
        field.arguments = arguments.collect();
        let mut object = None;
        if !first.selection_set.is_empty() {
            let converted = self.object(fields.iter().map(|field| &field.selection_set))?;
            field.selection_set = placed(converted.selections, at);
            object = Some(converted.shape);
        }
        Ok((field, MemberShape { ty: first.ty().clone(), object }))
    }
}

/// Whether two fields have the same arguments in any order. Their names are valid.
fn have_equal_arguments(one: &Field, other: &Field) -> bool {
    let has_equal = |argument: &Node<ast::Argument>| {
        other
            .specified_argument_by_name(&argument.name)
            .is_some_and(|value| are_equal(&argument.value, value))
    };
    one.arguments.len() == other.arguments.len() && one.arguments.iter().all(has_equal)
}

fn are_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| are_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has_equal = |(name, value): &(ApolloName, Node<Value>)| {
                other.iter().any(|(own, other)| own == name && are_equal(value, other))
            };
            one.len() == other.len() && one.iter().all(has_equal)
        }
        (one, other) => one == other,
    }
}

fn library_field(name: &str, at: Pos) -> library::Field {
    library::Field {
        alias: None,
        name: placed(Name::new(name), at),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: placed(library::SelectionSet::default(), at),
    }
}

fn selection(field: library::Field, at: Pos) -> Positioned<library::Selection> {
    placed(library::Selection::Field(placed(field, at)), at)
}

/// The validator takes lists of different lengths for equal if one begins with the other.
fn conflicting_arguments(field: &Field, at: Pos) -> ServerError {
    let key = field.response_key();
    let message =
        format!("operation must not provide conflicting field arguments for the same name `{key}`");
    let mut error = request_error(ErrorCode::ValidationFailed, message);
    error.locations.push(at);
    error
}
