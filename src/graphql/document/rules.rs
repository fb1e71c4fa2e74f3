//! Rules of validation that the validator lacks, all about values:
//!
//! - keys of an input object are unique (specification, section 5.6.3);
//! - a variable fits where it stands, inside lists and input objects too, and the default `null` is no
//!   value (section 5.8.5);
//! - variables inside literals of custom scalars are defined (section 5.8.3);
//! - literals of custom scalars are ones that the scalar accepts (section 5.6.1).

use std::collections::HashSet;

use apollo_compiler::ast::{
    Argument, DirectiveList, InputValueDefinition, Type, Value, VariableDefinition,
};
use apollo_compiler::executable::{Fragment, Operation, Selection, SelectionSet};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{ExecutableDocument, Node, Schema};
use async_graphql::Variables;

use crate::graphql::literals::Literals;
use crate::graphql::schema::scalars;

/// A fault of a document, and its byte offset.
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) offset: Option<usize>,
}

/// Checks a document that is valid but for these rules.
pub(super) fn check(document: &ExecutableDocument, schema: &Schema) -> Vec<Fault> {
    let mut broken = Vec::new();
    for operation in document.operations.iter() {
        let mut rules =
            Rules { document, schema, operation, seen: HashSet::new(), broken: &mut broken };
        rules.operation();
    }
    broken
}

/// Where a value is expected.
#[derive(Clone, Copy)]
struct Position<'d> {
    /// The type; `None` inside a custom scalar, where anything goes.
    ty: Option<&'d Type>,
    has_default: bool,
}

impl<'d> Position<'d> {
    const ANY: Self = Self { ty: None, has_default: false };

    fn of(definition: &'d InputValueDefinition) -> Self {
        Self { ty: Some(&definition.ty), has_default: definition.default_value.is_some() }
    }
}

struct Rules<'d, 'b> {
    document: &'d ExecutableDocument,
    schema: &'d Schema,
    operation: &'d Operation,
    /// Fragments that were looked at for this operation.
    seen: HashSet<&'d str>,
    broken: &'b mut Vec<Fault>,
}

impl<'d> Rules<'d, '_> {
    fn operation(&mut self) {
        let operation = self.operation;
        for variable in &operation.variables {
            if let Some(default) = &variable.default_value {
                self.value(default, Position { ty: Some(&variable.ty), has_default: false });
            }
            self.directives(&variable.directives);
        }
        self.directives(&operation.directives);
        self.set(&operation.selection_set);
    }

    fn set(&mut self, set: &'d SelectionSet) {
        for selection in &set.selections {
            self.directives(selection.directives());
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
                        self.fragment(fragment);
                    }
                }
            }
        }
    }

    fn fragment(&mut self, fragment: &'d Fragment) {
        self.directives(&fragment.directives);
        self.set(&fragment.selection_set);
    }

    fn directives(&mut self, directives: &'d DirectiveList) {
        for directive in directives {
            if let Some(definition) = self.schema.directive_definitions.get(&directive.name) {
                self.arguments(&directive.arguments, &definition.arguments);
            }
        }
    }

    fn arguments(
        &mut self,
        arguments: &'d [Node<Argument>],
        definitions: &'d [Node<InputValueDefinition>],
    ) {
        for argument in arguments {
            let definition = definitions.iter().find(|own| own.name == argument.name);
            if let Some(definition) = definition {
                self.value(&argument.value, Position::of(definition));
            }
        }
    }

    fn value(&mut self, value: &'d Node<Value>, position: Position<'d>) {
        match &**value {
            Value::Variable(name) => self.variable(name, value, position),
            Value::List(items) => {
                let ty = position.ty.filter(|ty| ty.is_list()).map(Type::item_type);
                for item in items {
                    self.value(item, Position { ty, has_default: false });
                }
            }
            Value::Object(members) => self.members(members, position),
            Value::Null => {}
            _ => self.literal(value, position),
        }
    }

    fn members(
        &mut self,
        members: &'d [(apollo_compiler::Name, Node<Value>)],
        position: Position<'d>,
    ) {
        let ty = position.ty.map(Type::inner_named_type);
        let input = match ty.and_then(|ty| self.schema.types.get(ty)) {
            Some(ExtendedType::InputObject(input)) => Some(input),
            _ => None,
        };
        let mut names = HashSet::new();
        for (name, value) in members {
            if !names.insert(name) {
                let message = format!("input object has the key `{name}` more than once");
                self.report(message, name.location());
            }
            let member = input.and_then(|input| input.fields.get(name));
            self.value(value, member.map_or(Position::ANY, |member| Position::of(member)));
        }
    }

    /// A literal that is neither null, a list nor an object.
    fn literal(&mut self, value: &'d Node<Value>, position: Position<'d>) {
        let Some(scalar) = position.ty.map(Type::inner_named_type) else { return };
        let literals = Literals { schema: self.schema, variables: &Variables::default() };
        let constant = literals.value(value, None).unwrap_or_default();
        if let Err(problem) = scalars::check(scalar, &constant) {
            self.report(problem, value.location());
        }
    }

    fn variable(&mut self, name: &str, value: &'d Node<Value>, position: Position<'d>) {
        let variable = self.operation.variables.iter().find(|variable| variable.name == name);
        let Some(variable) = variable else {
            let message = format!("variable `${name}` is not defined");
            return self.report(message, value.location());
        };
        let Some(ty) = position.ty else { return };
        if !is_allowed(variable, ty, position.has_default) {
            let message = format!(
                "variable `${name}` of type `{}` cannot be used for type `{ty}`",
                variable.ty
            );
            self.report(message, value.location());
        }
    }

    fn report(&mut self, message: String, span: Option<apollo_compiler::parser::SourceSpan>) {
        let offset = span.map(|span| span.offset());
        // A fragment is looked at once for each operation that reaches it.
        if !self.broken.iter().any(|rule| rule.offset == offset && rule.message == message) {
            self.broken.push(Fault { message, offset });
        }
    }
}

/// Whether a variable may stand where a type is expected: `IsVariableUsageAllowed` of the
/// specification.
fn is_allowed(variable: &VariableDefinition, expected: &Type, has_default: bool) -> bool {
    if expected.is_non_null() && !variable.ty.is_non_null() {
        let has_value = variable.default_value.as_ref().is_some_and(|value| !value.is_null());
        return (has_value || has_default)
            && variable.ty.is_assignable_to(&expected.clone().nullable());
    }
    variable.ty.is_assignable_to(expected)
}
