//! Rules of validation that the validator lacks, all about values:
//!
//! - keys of an input object are unique (specification, section 5.6.3);
//! - a variable fits where it stands, inside lists and input objects too, and the default `null` is no
//!   value (section 5.8.5);
//! - variables inside literals of custom scalars are defined (section 5.8.3);
//! - literals of custom scalars are ones that the scalar accepts (section 5.6.1).

use std::collections::HashSet;

use apollo_compiler::ast::{Argument, InputValueDefinition, Type, Value};
use apollo_compiler::diagnostic::{Diagnostic, ToCliReport as _};
use apollo_compiler::executable::{Operation, Selection, SelectionSet};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::DiagnosticData;
use apollo_compiler::{ExecutableDocument, Name, Node, Schema};
use async_graphql::{ServerError, Variables};

use super::scan::TokenPositions;
use crate::domain::ErrorCode;
use crate::graphql::error::located_error;
use crate::graphql::literals::Literals;
use crate::graphql::schema::scalars;

/// How the validator's message ends. A test notices when it no longer does.
const SEVERAL_ROOT_FIELDS: &str = "can only have one root field";

/// Whether the validator refuses a subscription only because it selects its one field several times: equal
/// fields are one (specification, section 5.2.4.1), and the validator counts selections.
pub(super) fn is_wrongly_refused(
    document: &ExecutableDocument,
    diagnostic: &Diagnostic<'_, DiagnosticData>,
) -> bool {
    let place = diagnostic.error.location();
    let refused = document.operations.iter().find(|operation| operation.location() == place);
    diagnostic.error.to_string().ends_with(SEVERAL_ROOT_FIELDS)
        && refused.is_some_and(|operation| {
            let mut keys = operation.root_fields(document).map(|field| field.response_key());
            let first = keys.next();
            keys.all(|key| Some(key) == first)
        })
}

/// Checks a document that is valid but for these rules.
pub(super) fn check(
    document: &ExecutableDocument,
    schema: &Schema,
    positions: &TokenPositions,
) -> Vec<ServerError> {
    let mut broken = Vec::new();
    for operation in document.operations.iter() {
        let seen = HashSet::new();
        let mut rules = Rules { document, schema, positions, operation, seen, broken };
        for variable in &operation.variables {
            if let Some(default) = &variable.default_value {
                rules.value(default, Some(&variable.ty));
            }
        }
        rules.set(&operation.selection_set);
        broken = rules.broken;
    }
    broken
}

struct Rules<'d> {
    document: &'d ExecutableDocument,
    schema: &'d Schema,
    positions: &'d TokenPositions,
    operation: &'d Operation,
    /// Fragments that were looked at for this operation.
    seen: HashSet<&'d str>,
    broken: Vec<ServerError>,
}

impl<'d> Rules<'d> {
    fn set(&mut self, set: &'d SelectionSet) {
        for selection in &set.selections {
            for directive in selection.directives() {
                if let Some(definition) = self.schema.directive_definitions.get(&directive.name) {
                    self.arguments(&directive.arguments, &definition.arguments);
                }
            }
            match selection {
                Selection::Field(field) => {
                    self.arguments(&field.arguments, &field.definition.arguments);
                    self.set(&field.selection_set);
                }
                Selection::InlineFragment(inline) => self.set(&inline.selection_set),
                Selection::FragmentSpread(spread) => {
                    if self.seen.insert(&spread.fragment_name)
                        && let Some(fragment) = self.document.fragments.get(&spread.fragment_name)
                    {
                        self.set(&fragment.selection_set);
                    }
                }
            }
        }
    }

    fn arguments(
        &mut self,
        arguments: &[Node<Argument>],
        definitions: &[Node<InputValueDefinition>],
    ) {
        for argument in arguments {
            let definition = definitions.iter().find(|own| own.name == argument.name);
            self.value(&argument.value, definition.map(|own| expected(own)).as_ref());
        }
    }

    /// Checks a value for a place of a type, which is unknown inside custom scalars.
    fn value(&mut self, value: &Node<Value>, ty: Option<&Type>) {
        match &**value {
            Value::Variable(name) => self.variable(name, value, ty),
            Value::List(items) => {
                let ty = ty.filter(|ty| ty.is_list()).map(Type::item_type);
                for item in items {
                    self.value(item, ty);
                }
            }
            Value::Object(members) => self.members(members, ty),
            Value::Null => {}
            _ => self.literal(value, ty),
        }
    }

    fn members(&mut self, members: &[(Name, Node<Value>)], ty: Option<&Type>) {
        let ty = ty.and_then(|ty| self.schema.types.get(ty.inner_named_type()));
        let input = ty.and_then(ExtendedType::as_input_object);
        let mut names = HashSet::new();
        for (name, value) in members {
            if !names.insert(name) {
                let message = format!("input object has the key `{name}` more than once");
                self.report(message, name.location());
            }
            let ty = input.and_then(|input| Some(expected(input.fields.get(name)?)));
            self.value(value, ty.as_ref());
        }
    }

    /// A literal that is neither null, a list nor an object.
    fn literal(&mut self, value: &Node<Value>, ty: Option<&Type>) {
        let Some(scalar) = ty.map(Type::inner_named_type) else { return };
        let literals = Literals { schema: self.schema, variables: &Variables::default() };
        let constant = literals.value(value, ty).unwrap_or_default();
        if let Err(problem) = scalars::check(scalar, &constant) {
            self.report(problem, value.location());
        }
    }

    fn variable(&mut self, name: &str, value: &Node<Value>, expected: Option<&Type>) {
        let variable = self.operation.variables.iter().find(|variable| variable.name == name);
        let Some(variable) = variable else {
            let message = format!("variable `${name}` is not defined");
            return self.report(message, value.location());
        };
        let ty = &variable.ty;
        let has_value = variable.default_value.as_ref().is_some_and(|value| !value.is_null());
        let with_default = if has_value { Type::clone(ty).non_null() } else { Type::clone(ty) };
        if let Some(expected) = expected.filter(|expected| !with_default.is_assignable_to(expected))
        {
            let message =
                format!("variable `${name}` of type `{ty}` cannot be used for type `{expected}`");
            self.report(message, value.location());
        }
    }

    fn report(&mut self, message: String, span: Option<SourceSpan>) {
        let at = self.positions.of(span);
        let error = located_error(ErrorCode::ValidationFailed, message, at);
        // A fragment is looked at once for each operation that reaches it.
        if !self.broken.contains(&error) {
            self.broken.push(error);
        }
    }
}

/// The type of a place. One with a default takes a variable that may be null.
fn expected(definition: &InputValueDefinition) -> Type {
    let ty = Type::clone(&definition.ty);
    if definition.default_value.is_some() { ty.nullable() } else { ty }
}
