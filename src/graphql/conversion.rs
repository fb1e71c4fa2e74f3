//! Converts an operation of a valid document into the types of async-graphql, which executes it.
//!
//! Fragments are inlined, equal fields merged, `@skip` and `@include` applied and variables replaced by
//! their values. So the executor sees fields and literals only, each once, with the client's positions.

use std::collections::{HashMap, HashSet};

use apollo_compiler::Name as ApolloName;
use apollo_compiler::Schema;
use apollo_compiler::ast::{DirectiveList, Value};
use apollo_compiler::executable::{Field, Operation, OperationType, Selection, SelectionSet};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Node, ast};
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    self as library, DocumentOperations, ExecutableDocument, OperationDefinition,
};
use async_graphql::{Name, Pos, Positioned, Request, ServerError, Value as ConstValue, Variables};

use super::document::{Document, position_or_start};
use super::error::request_error;
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
    let literals = Literals { schema, variables };
    let converter = Converter { document, literals };
    let root = converter.object(&operation.selection_set.ty, &[&operation.selection_set])?;
    let definition = OperationDefinition {
        ty: operation_type(operation.operation_type),
        variable_definitions: Vec::new(),
        directives: Vec::new(),
        selection_set: placed(library::SelectionSet { items: root.items }, START),
    };
    let operations = DocumentOperations::Single(placed(definition, START));
    let mut request = Request::new("");
    request.set_parsed_query(ExecutableDocument { operations, fragments: HashMap::default() });
    Ok(Converted { request, shape: root.shape })
}

const START: Pos = Pos { line: 1, column: 1 };

fn placed<T>(node: T, pos: Pos) -> Positioned<T> {
    Positioned::new(node, pos)
}

fn operation_type(operation: OperationType) -> library::OperationType {
    match operation {
        OperationType::Query => library::OperationType::Query,
        OperationType::Mutation => library::OperationType::Mutation,
        OperationType::Subscription => library::OperationType::Subscription,
    }
}

/// The selections of an object and the shape of their answer.
#[derive(Default)]
struct ConvertedObject {
    items: Vec<Positioned<library::Selection>>,
    shape: ObjectShape,
}

/// The fields of an object by response key, in the order of the response.
type FieldGroups<'d> = IndexMap<&'d str, Vec<&'d Node<Field>>>;

struct Converter<'d> {
    document: &'d Document,
    literals: Literals<'d>,
}

impl<'d> Converter<'d> {
    /// Converts the merged selections of a type. The one union there is, `_Entity`, has one member.
    fn object(
        &self,
        ty: &ApolloName,
        sets: &[&'d SelectionSet],
    ) -> Result<ConvertedObject, ServerError> {
        let Some(ExtendedType::Union(union)) = self.literals.schema.types.get(ty) else {
            return self.fields_of(ty, sets);
        };
        let Some(member) = union.members.first() else { return Ok(ConvertedObject::default()) };
        let ConvertedObject { items, shape } = self.fields_of(&member.name, sets)?;
        let condition = library::TypeCondition { on: placed(Name::new(&member.name), START) };
        let inline = library::InlineFragment {
            type_condition: Some(placed(condition, START)),
            directives: Vec::new(),
            selection_set: placed(library::SelectionSet { items }, START),
        };
        let inline = library::Selection::InlineFragment(placed(inline, START));
        Ok(ConvertedObject { items: vec![placed(inline, START)], shape })
    }

    fn fields_of(
        &self,
        ty: &ApolloName,
        sets: &[&'d SelectionSet],
    ) -> Result<ConvertedObject, ServerError> {
        let (mut groups, mut spread) = (FieldGroups::default(), HashSet::new());
        for set in sets {
            self.collect(ty, set, &mut groups, &mut spread)?;
        }
        let mut converted = ConvertedObject::default();
        for (key, fields) in groups {
            let Some((first, others)) = fields.split_first() else { continue };
            let (field, member) = self.field(first, others)?;
            let at = field.pos;
            converted.items.push(placed(library::Selection::Field(field), at));
            converted.shape.add(key, member);
        }
        if converted.items.is_empty() {
            let field = placed(library_field(PLACEHOLDER, START), START);
            converted.items.push(placed(library::Selection::Field(field), START));
        }
        Ok(converted)
    }

    /// Collects the fields of an object: `CollectFields` of the specification.
    fn collect(
        &self,
        ty: &ApolloName,
        set: &'d SelectionSet,
        groups: &mut FieldGroups<'d>,
        spread: &mut HashSet<&'d str>,
    ) -> Result<(), ServerError> {
        for selection in &set.selections {
            if !self.is_included(selection.directives())? {
                continue;
            }
            match selection {
                Selection::Field(field) => {
                    groups.entry(field.response_key()).or_default().push(field);
                }
                Selection::InlineFragment(inline) => {
                    if self.applies(inline.type_condition.as_ref(), ty) {
                        self.collect(ty, &inline.selection_set, groups, spread)?;
                    }
                }
                Selection::FragmentSpread(named) => {
                    let fragments = &self.document.executable().fragments;
                    if spread.insert(&named.fragment_name)
                        && let Some(fragment) = fragments.get(&named.fragment_name)
                        && self.applies(Some(fragment.type_condition()), ty)
                    {
                        self.collect(ty, &fragment.selection_set, groups, spread)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a fragment on a type applies to an object of another.
    fn applies(&self, condition: Option<&ApolloName>, ty: &ApolloName) -> bool {
        condition.is_none_or(|condition| {
            condition == ty || self.literals.schema.is_subtype(condition, ty)
        })
    }

    fn is_included(&self, directives: &DirectiveList) -> Result<bool, ServerError> {
        for (name, wanted) in [("skip", false), ("include", true)] {
            let Some(directive) = directives.get(name) else { continue };
            let value = directive.specified_argument_by_name("if").map(|value| &**value);
            let value = match value {
                Some(Value::Boolean(value)) => *value,
                Some(Value::Variable(variable)) => self.condition(variable)?,
                // Validation requires a value.
                _ => continue,
            };
            if value != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn condition(&self, variable: &ApolloName) -> Result<bool, ServerError> {
        if let Some(ConstValue::Boolean(value)) = self.literals.variables.get(variable.as_str()) {
            return Ok(*value);
        }
        let message = format!("variable ${variable} got null: Boolean! is needed");
        Err(request_error(ErrorCode::BadUserInput, message))
    }

    /// Converts fields of one response key.
    fn field(
        &self,
        first: &'d Node<Field>,
        others: &[&'d Node<Field>],
    ) -> Result<(Positioned<library::Field>, MemberShape), ServerError> {
        let offset = first.location().map(|span| span.offset());
        let at = position_or_start(self.document.positions(), offset);
        if !others.iter().all(|other| have_equal_arguments(first, other)) {
            return Err(conflicting_arguments(first, at));
        }
        let mut field = library_field(&first.name, at);
        field.alias = first.alias.as_ref().map(|alias| placed(Name::new(alias), at));
        field.arguments = first
            .arguments
            .iter()
            .filter_map(|argument| Some((&argument.name, self.argument(first, argument)?)))
            .map(|(name, value)| (placed(Name::new(name), at), placed(value.into_value(), at)))
            .collect();
        let mut object = None;
        if !first.selection_set.is_empty() {
            let sets: Vec<&SelectionSet> = [first]
                .into_iter()
                .chain(others.iter().copied())
                .map(|f| &f.selection_set)
                .collect();
            let ConvertedObject { items, shape } =
                self.object(first.ty().inner_named_type(), &sets)?;
            field.selection_set = placed(library::SelectionSet { items }, at);
            object = Some(shape);
        }
        let member = MemberShape { ty: first.ty().clone(), object };
        Ok((placed(field, at), member))
    }

    /// The value of an argument; `None` where it is a variable without a value.
    fn argument(&self, field: &Field, argument: &ast::Argument) -> Option<ConstValue> {
        let definition = field.definition.argument_by_name(&argument.name)?;
        self.literals.value(&argument.value, Some(&definition.ty))
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

/// The validator takes lists of different lengths for equal if one begins with the other.
fn conflicting_arguments(field: &Field, at: Pos) -> ServerError {
    let key = field.response_key();
    let message =
        format!("operation must not provide conflicting field arguments for the same name `{key}`");
    let mut error = request_error(ErrorCode::ValidationFailed, message);
    error.locations.push(at);
    error
}
