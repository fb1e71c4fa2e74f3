//! Converts an operation of a valid document into the types of async-graphql, which executes it, and gives
//! the response the shape that it has to have.
//!
//! Fragments are inlined, equal fields merged, `@skip` and `@include` applied and variables replaced by
//! their values. So the executor sees fields and literals only, each once, with the client's positions.
//!
//! The executor departs from the specification in three places: it writes fields as they finish, and not
//! in the document's order (section 7.2.2); it answers null where an object is to be empty (section
//! 6.3); and it leaves out a field that must not be null and failed, where its parent is to be null
//! (section 6.4.4).

use std::collections::HashMap;

use apollo_compiler::ast::{DirectiveList, Type};
use apollo_compiler::executable::{Field, OperationType, SelectionSet};
use apollo_compiler::{Node, Schema};
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    self as library, DocumentOperations, ExecutableDocument, OperationDefinition,
};
use async_graphql::{Name, Pos, Positioned, Request, ServerError, Value as ConstValue, Variables};

use super::document::Document;
use super::error::{located_error, request_error};
use super::fields::collect_fields;
use super::literals::Literals;
use crate::domain::ErrorCode;

/// The field that stands in for an empty selection set, which the executor does not know.
const PLACEHOLDER: &str = "__typename";

/// A request to async-graphql, and the shape of its response.
pub(crate) struct Converted {
    pub(crate) request: Request,
    pub(crate) shape: ObjectShape,
}

/// The members of an object, in the order of the response.
pub(crate) type ObjectShape = IndexMap<Name, MemberShape>;

/// A member of an object.
#[derive(Debug)]
pub(crate) struct MemberShape {
    /// The type of the field.
    ty: Type,
    /// The object that it is or lists; `None` for scalars and enumerations.
    object: Option<ObjectShape>,
}

/// Converts the operation of a document with the values of its variables.
///
/// # Errors
/// `BAD_USER_INPUT` where a variable is null that `@skip` or `@include` looks at, and
/// `GRAPHQL_VALIDATION_FAILED` where fields of one name have different arguments.
pub(crate) fn convert(
    schema: &Schema,
    document: &Document,
    variables: &Variables,
) -> Result<Converted, ServerError> {
    let operation = &document.operation;
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

impl ConvertedObject {
    fn select(&mut self, field: library::Field) {
        let at = field.name.pos;
        self.selections.items.push(placed(library::Selection::Field(placed(field, at)), at));
    }
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
            let (field, object) = self.field(first, &fields)?;
            converted.select(field);
            converted.shape.insert(Name::new(key), MemberShape { ty: first.ty().clone(), object });
        }
        if converted.shape.is_empty() {
            converted.select(library_field(PLACEHOLDER, START));
        }
        Ok(converted)
    }

    fn is_included(&self, directives: &DirectiveList) -> Result<bool, ServerError> {
        for (name, wanted) in [("skip", false), ("include", true)] {
            let Some(directive) = directives.get(name) else { continue };
            // Validation requires a value.
            let Some(value) = directive.specified_argument_by_name("if") else { continue };
            let Some(ConstValue::Boolean(is_set)) = self.literals.value(value, None) else {
                let message = format!("variable {value} got null: Boolean! is needed");
                return Err(request_error(ErrorCode::BadUserInput, message));
            };
            if is_set != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Converts the fields of one response key. With the shape of the object that it is or lists.
    fn field(
        &self,
        first: &Node<Field>,
        fields: &[&'d Node<Field>],
    ) -> Result<(library::Field, Option<ObjectShape>), ServerError> {
        let at = self.document.position(first.location());
        let arguments = self.arguments(first);
        // The validator takes lists of different lengths for equal if one begins with the other.
        if fields.iter().skip(1).any(|other| self.arguments(other) != arguments) {
            let key = first.response_key();
            let message = format!(
                "operation must not provide conflicting field arguments for the same name `{key}`"
            );
            return Err(located_error(ErrorCode::ValidationFailed, message, at));
        }
        let mut field = library_field(&first.name, at);
        field.alias = first.alias.as_ref().map(|alias| placed(Name::new(alias), at));
        for (name, value) in arguments {
            field.arguments.push((placed(name, at), placed(value.into_value(), at)));
        }
        if first.selection_set.is_empty() {
            return Ok((field, None));
        }
        let converted = self.object(fields.iter().map(|field| &field.selection_set))?;
        field.selection_set = placed(converted.selections, at);
        Ok((field, Some(converted.shape)))
    }

    /// The arguments of a field. A variable without a value is left out.
    fn arguments(&self, field: &Field) -> IndexMap<Name, ConstValue> {
        let arguments = field.arguments.iter().filter_map(|argument| {
            let definition = field.definition.argument_by_name(&argument.name)?;
            let value = self.literals.value(&argument.value, Some(&definition.ty))?;
            Some((Name::new(&argument.name), value))
        });
        arguments.collect()
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

/// A member that must not be null failed, so that its parent is null.
struct NullParent;

/// Gives the data of a response its shape.
pub(crate) fn shaped(data: ConstValue, shape: &ObjectShape) -> ConstValue {
    let members = match data {
        ConstValue::Object(members) => members,
        // Every field of the root failed, or there is none.
        _ => IndexMap::default(),
    };
    shaped_object(shape, members).unwrap_or(ConstValue::Null)
}

fn shaped_object(
    shape: &ObjectShape,
    mut given: IndexMap<Name, ConstValue>,
) -> Result<ConstValue, NullParent> {
    let mut members = IndexMap::with_capacity(shape.len());
    for (name, shape) in shape {
        let value = match given.swap_remove(name) {
            Some(value) => shape.value(value, &shape.ty)?,
            None if shape.ty.is_non_null() => return Err(NullParent),
            None => ConstValue::Null,
        };
        members.insert(name.clone(), value);
    }
    Ok(ConstValue::Object(members))
}

impl MemberShape {
    fn value(&self, value: ConstValue, ty: &Type) -> Result<ConstValue, NullParent> {
        let shaped = match (&self.object, value) {
            (Some(_), ConstValue::List(items)) => {
                let items = items.into_iter().map(|item| self.value(item, ty.item_type()));
                items.collect::<Result<_, _>>().map(ConstValue::List)
            }
            (Some(shape), ConstValue::Object(members)) => shaped_object(shape, members),
            // All its members failed: an object that must not be null is never null itself.
            (Some(shape), ConstValue::Null) if ty.is_non_null() => {
                shaped_object(shape, IndexMap::default())
            }
            (_, value) => Ok(value),
        };
        match shaped {
            Err(NullParent) if !ty.is_non_null() => Ok(ConstValue::Null),
            shaped => shaped,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::value;

    use super::*;

    fn member(ty: &str, object: Option<ObjectShape>) -> MemberShape {
        MemberShape { ty: Type::parse(ty, "type").unwrap(), object }
    }

    fn object<const N: usize>(members: [(&str, MemberShape); N]) -> ObjectShape {
        members.into_iter().map(|(key, member)| (Name::new(key), member)).collect()
    }

    #[test]
    fn a_failed_member_that_must_not_be_null_makes_the_nearest_parent_null_that_may_be() {
        let inner = || object([("c", member("Int!", None)), ("d", member("Int", None))]);
        let shape =
            |outer| object([("a", member(outer, Some(inner()))), ("b", member("Int", None))]);
        let data = || value!({ "a": { "d": 2 }, "b": 1 });

        assert_eq!(shaped(data(), &shape("A")), value!({ "a": null, "b": 1 }));
        assert_eq!(shaped(data(), &shape("A!")), ConstValue::Null);
    }
}
