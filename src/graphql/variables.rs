//! Coerces the values of an operation's variables before anything is executed, as the specification has
//! it (section 6.1.2): a value that does not fit refuses the operation as a whole.

use std::fmt::{self, Display};

use apollo_compiler::Schema;
use apollo_compiler::ast::{Type, VariableDefinition};
use apollo_compiler::schema::{ExtendedType, InputObjectType};
use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, ServerError, Value, Variables};

use super::document::Document;
use super::error::located_error;
use super::literals::Literals;
use super::schema::scalars;
use crate::domain::ErrorCode;

/// The values of the operation's variables, defaults filled in. A variable without a value is absent.
///
/// # Errors
/// `BAD_USER_INPUT`, naming the variable, what it needs and what it got.
pub(crate) fn coerce(
    schema: &Schema,
    document: &Document,
    mut values: Variables,
) -> Result<Variables, ServerError> {
    let mut coerced = Variables::default();
    for variable in &document.operation.variables {
        let value = values.remove(variable.name.as_str());
        let value = coerced_variable(schema, variable, value).map_err(|problem| {
            let at = document.position(variable.name.location());
            located_error(ErrorCode::BadUserInput, format!("variable {problem}"), at)
        })?;
        if let Some(value) = value {
            coerced.insert(Name::new(&variable.name), value);
        }
    }
    Ok(coerced)
}

fn coerced_variable(
    schema: &Schema,
    variable: &VariableDefinition,
    value: Option<Value>,
) -> Result<Option<Value>, String> {
    let VariableDefinition { name, ty, default_value, .. } = variable;
    match (value, default_value) {
        (Some(value), _) => {
            let path = &Path::Variable(name);
            Coercion { schema, ty, path }.coerced(value).map(Some)
        }
        (None, Some(default)) => {
            Ok(Literals { schema, variables: &Variables::default() }.value(default, Some(ty)))
        }
        (None, None) if ty.is_non_null() => Err(format!("${name} got no value: {ty} is needed")),
        (None, None) => Ok(None),
    }
}

/// Where a value is expected.
struct Coercion<'s> {
    schema: &'s Schema,
    ty: &'s Type,
    path: &'s Path<'s>,
}

/// A variable or a part of it, shown as `$filter.desktopNames[0]`.
enum Path<'p> {
    Variable(&'p str),
    Member(&'p Self, &'p str),
    Item(&'p Self, usize),
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "${name}"),
            Self::Member(of, name) => write!(f, "{of}.{name}"),
            Self::Item(of, row) => write!(f, "{of}[{row}]"),
        }
    }
}

impl Coercion<'_> {
    fn coerced(&self, value: Value) -> Result<Value, String> {
        match (value, self.ty) {
            (Value::Null, ty) if !ty.is_non_null() => Ok(Value::Null),
            (Value::Null, ty) => Err(self.misfit(&Value::Null, ty)),
            (Value::List(items), Type::List(ty) | Type::NonNullList(ty)) => {
                let items = items.into_iter().enumerate();
                let items =
                    items.map(|(row, value)| self.part(&Path::Item(self.path, row), ty, value));
                items.collect::<Result<_, _>>().map(Value::List)
            }
            // A single value stands for a list of one.
            (value, Type::List(ty) | Type::NonNullList(ty)) => {
                Ok(Value::List(vec![self.part(self.path, ty, value)?]))
            }
            (value, Type::Named(name) | Type::NonNullNamed(name)) => self.named(value, name),
        }
    }

    /// Coerces a part of the value.
    fn part(&self, path: &Path<'_>, ty: &Type, value: Value) -> Result<Value, String> {
        Coercion { schema: self.schema, ty, path }.coerced(value)
    }

    fn named(&self, value: Value, name: &str) -> Result<Value, String> {
        match (self.schema.types.get(name), value) {
            (Some(ExtendedType::InputObject(input)), Value::Object(members)) => {
                self.input_object(members, input)
            }
            (Some(ExtendedType::InputObject(_)), value) => Err(self.misfit(&value, self.ty)),
            (Some(ExtendedType::Enum(known)), value) => match &value {
                Value::String(text) if known.values.contains_key(text.as_str()) => Ok(value),
                _ => {
                    let names: Vec<&str> =
                        known.values.keys().map(apollo_compiler::Name::as_str).collect();
                    Err(self.misfit(&value, format_args!("one of {}", names.join(", "))))
                }
            },
            (_, value) => match (scalars::check(name, &value), value) {
                (Ok(()), Value::Number(id)) if name == "ID" => Ok(Value::String(id.to_string())),
                (Ok(()), value) => Ok(value),
                // A text in place of a text is wrong in itself, and the scalar says how.
                (Err(problem), Value::String(_)) if name == "DateTime" => {
                    Err(format!("{} got no {name}: {problem}", self.path))
                }
                (Err(_), value) => Err(self.misfit(&value, self.ty)),
            },
        }
    }

    fn input_object(
        &self,
        mut given: IndexMap<Name, Value>,
        input: &InputObjectType,
    ) -> Result<Value, String> {
        let Self { path, ty, .. } = self;
        if let Some(unknown) = given.keys().find(|name| !input.fields.contains_key(name.as_str())) {
            return Err(format!("{path} has the key {unknown:?}: {ty} has no such field"));
        }
        let mut coerced = IndexMap::new();
        for (name, field) in &input.fields {
            match given.swap_remove(name.as_str()) {
                Some(value) => {
                    let value = self.part(&Path::Member(path, name), &field.ty, value)?;
                    coerced.insert(Name::new(name), value);
                }
                None if field.is_required() => {
                    return Err(format!("{path}.{name} got no value: {} is needed", field.ty));
                }
                // The resolver's arguments fill in their defaults.
                None => {}
            }
        }
        Ok(Value::Object(coerced))
    }

    /// Names the kind of a value, not the value: it may be long, or a secret in the wrong place.
    fn misfit(&self, value: &Value, needed: impl Display) -> String {
        let kind = match value {
            Value::Null => "null",
            Value::Number(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
            _ => "a text",
        };
        format!("{} got {kind}: {needed} is needed", self.path)
    }
}
