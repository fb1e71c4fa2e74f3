//! Coerces the values of an operation's variables before anything is executed, as the specification has
//! it (section 6.1.2): a value that does not fit refuses the operation as a whole.

use apollo_compiler::Schema;
use apollo_compiler::ast::{Type, VariableDefinition};
use apollo_compiler::executable::Operation;
use apollo_compiler::schema::{ExtendedType, InputObjectType};
use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, ServerError, Value, Variables};

use super::document::Document;
use super::error::request_error;
use super::literals::Literals;
use super::schema::scalars;
use crate::domain::ErrorCode;

/// The values of an operation's variables, defaults filled in. A variable without a value is absent.
///
/// # Errors
/// `BAD_USER_INPUT`, naming the variable, what it needs and what it got.
pub(crate) fn coerce(
    schema: &Schema,
    document: &Document,
    operation: &Operation,
    values: &Variables,
) -> Result<Variables, ServerError> {
    let mut coerced = Variables::default();
    for variable in &operation.variables {
        let value = coerced_variable(schema, variable, values).map_err(|problem| {
            let mut error = request_error(ErrorCode::BadUserInput, problem);
            error.locations.push(document.position(variable.name.location()));
            error
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
    values: &Variables,
) -> Result<Option<Value>, String> {
    let VariableDefinition { name, ty, default_value, .. } = variable;
    match (values.get(name.as_str()), default_value) {
        (Some(value), _) => {
            Coercion { schema, ty, path: &format!("${name}") }.coerced(value.clone()).map(Some)
        }
        (None, Some(default)) => {
            Ok(Literals { schema, variables: &Variables::default() }.value(default, Some(ty)))
        }
        (None, None) if ty.is_non_null() => {
            Err(format!("variable ${name} got no value: {ty} is needed"))
        }
        (None, None) => Ok(None),
    }
}

/// Where a value is expected.
struct Coercion<'s> {
    schema: &'s Schema,
    ty: &'s Type,
    /// The place in the variable, as `$filter.desktopNames[0]`.
    path: &'s str,
}

impl Coercion<'_> {
    fn coerced(&self, value: Value) -> Result<Value, String> {
        match (value, self.ty) {
            (Value::Null, ty) if ty.is_non_null() => Err(self.misfit(&Value::Null)),
            (Value::Null, _) => Ok(Value::Null),
            (Value::List(items), Type::List(ty) | Type::NonNullList(ty)) => {
                let items = items.into_iter().enumerate();
                let items = items.map(|(row, value)| self.part(&format!("[{row}]"), ty, value));
                items.collect::<Result<_, _>>().map(Value::List)
            }
            // A single value stands for a list of one.
            (value, Type::List(ty) | Type::NonNullList(ty)) => {
                Ok(Value::List(vec![self.part("", ty, value)?]))
            }
            (value, Type::Named(name) | Type::NonNullNamed(name)) => {
                match self.schema.types.get(name) {
                    Some(ExtendedType::InputObject(input)) => self.input_object(value, input),
                    Some(ExtendedType::Enum(known)) => match &value {
                        Value::String(text) if known.values.contains_key(text.as_str()) => {
                            Ok(value)
                        }
                        _ => {
                            let names: Vec<&str> =
                                known.values.keys().map(apollo_compiler::Name::as_str).collect();
                            Err(self.problem(&value, &format!("one of {}", names.join(", "))))
                        }
                    },
                    _ => self.scalar(value, name),
                }
            }
        }
    }

    /// Coerces a part of the value.
    fn part(&self, place: &str, ty: &Type, value: Value) -> Result<Value, String> {
        let path = &format!("{}{place}", self.path);
        Coercion { schema: self.schema, ty, path }.coerced(value)
    }

    fn input_object(&self, value: Value, input: &InputObjectType) -> Result<Value, String> {
        let Value::Object(mut given) = value else { return Err(self.misfit(&value)) };
        let Self { path, ty, .. } = self;
        if let Some(unknown) = given.keys().find(|name| !input.fields.contains_key(name.as_str())) {
            return Err(format!("variable {path} has the key {unknown:?}: {ty} has no such field"));
        }
        let mut coerced = IndexMap::new();
        for (name, field) in &input.fields {
            match given.swap_remove(name.as_str()) {
                Some(value) => {
                    let value = self.part(&format!(".{name}"), &field.ty, value)?;
                    coerced.insert(Name::new(name), value);
                }
                None if field.is_required() => {
                    let ty = &field.ty;
                    return Err(format!("variable {path}.{name} got no value: {ty} is needed"));
                }
                // The resolver's arguments fill in their defaults.
                None => {}
            }
        }
        Ok(Value::Object(coerced))
    }

    fn scalar(&self, value: Value, name: &str) -> Result<Value, String> {
        let fits = match (name, &value) {
            ("ID", Value::Number(number)) if number.is_i64() || number.is_u64() => {
                return Ok(Value::String(number.to_string()));
            }
            ("ID" | "String", value) => matches!(value, Value::String(_)),
            ("Int", Value::Number(number)) => {
                number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
            }
            ("Int", _) => false,
            ("Float", value) => matches!(value, Value::Number(_)),
            ("Boolean", value) => matches!(value, Value::Boolean(_)),
            (custom, value) => match scalars::check(custom, value) {
                // A text in place of a text is wrong in itself, and the scalar says how.
                Err(problem) if matches!(value, Value::String(_)) => {
                    return Err(format!("variable {} got no {custom}: {problem}", self.path));
                }
                checked => checked.is_ok(),
            },
        };
        if fits { Ok(value) } else { Err(self.misfit(&value)) }
    }

    fn misfit(&self, value: &Value) -> String {
        self.problem(value, &self.ty.to_string())
    }

    /// Names the kind of a value, not the value: it may be long, or a secret in the wrong place.
    fn problem(&self, value: &Value, needed: &str) -> String {
        let kind = match value {
            Value::Null => "null",
            Value::Number(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
            _ => "a text",
        };
        format!("variable {} got {kind}: {needed} is needed", self.path)
    }
}
