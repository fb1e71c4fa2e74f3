//! Coerces the values of an operation's variables before anything is executed, as the specification has
//! it (section 6.1.2): a value that does not fit refuses the operation as a whole.

use apollo_compiler::Schema;
use apollo_compiler::ast::{Type, VariableDefinition};
use apollo_compiler::executable::Operation;
use apollo_compiler::schema::{EnumType, ExtendedType, InputObjectType};
use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, ServerError, Value, Variables};

use super::document::FieldPositions;
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
    operation: &Operation,
    positions: &FieldPositions,
    values: &Variables,
) -> Result<Variables, ServerError> {
    let mut coerced = Variables::default();
    for variable in &operation.variables {
        let value = coerced_variable(schema, variable, values).map_err(|problem| {
            let mut error = request_error(ErrorCode::BadUserInput, problem);
            let offset = variable.name.location().map(|span| span.offset());
            error.locations.extend(offset.and_then(|offset| positions.at(offset)));
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
            Coercion { schema, path: format!("${name}") }.value(value.clone(), ty).map(Some)
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

/// The coercion of one variable's value.
struct Coercion<'s> {
    schema: &'s Schema,
    /// The place in the value, as `$filter.desktopNames[0]`.
    path: String,
}

impl Coercion<'_> {
    fn value(&mut self, value: Value, ty: &Type) -> Result<Value, String> {
        match (value, ty) {
            (Value::Null, ty) if ty.is_non_null() => Err(self.misfit(&Value::Null, ty)),
            (Value::Null, _) => Ok(Value::Null),
            (Value::List(items), Type::List(item) | Type::NonNullList(item)) => {
                let items = items.into_iter().enumerate();
                let items = items.map(|(row, value)| self.item(row, value, item));
                items.collect::<Result<_, _>>().map(Value::List)
            }
            // A single value stands for a list of one.
            (value, Type::List(item) | Type::NonNullList(item)) => {
                Ok(Value::List(vec![self.value(value, item)?]))
            }
            (value, Type::Named(name) | Type::NonNullNamed(name)) => {
                match self.schema.types.get(name) {
                    Some(ExtendedType::Enum(known)) => self.enumeration(value, ty, known),
                    Some(ExtendedType::InputObject(input)) => self.input_object(value, ty, input),
                    _ => self.scalar(value, ty),
                }
            }
        }
    }

    fn item(&mut self, row: usize, value: Value, ty: &Type) -> Result<Value, String> {
        self.within(&format!("[{row}]"), |coercion| coercion.value(value, ty))
    }

    /// Coerces a part of the value.
    fn within<T>(&mut self, place: &str, coerce: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.path.len();
        self.path.push_str(place);
        let coerced = coerce(self);
        self.path.truncate(outer);
        coerced
    }

    fn enumeration(&self, value: Value, ty: &Type, known: &EnumType) -> Result<Value, String> {
        match &value {
            Value::String(text) if known.values.keys().any(|name| name == text.as_str()) => {
                Ok(value)
            }
            Value::String(_) => {
                let names: Vec<&str> =
                    known.values.keys().map(apollo_compiler::Name::as_str).collect();
                let path = &self.path;
                Err(format!(
                    "variable {path} got another text: one of {} is needed",
                    names.join(", ")
                ))
            }
            _ => Err(self.misfit(&value, ty)),
        }
    }

    fn input_object(
        &mut self,
        value: Value,
        ty: &Type,
        input: &InputObjectType,
    ) -> Result<Value, String> {
        let Value::Object(mut given) = value else { return Err(self.misfit(&value, ty)) };
        if let Some(unknown) = given.keys().find(|name| !input.fields.contains_key(name.as_str())) {
            let path = &self.path;
            return Err(format!("variable {path} has the key {unknown:?}: {ty} has no such field"));
        }
        let mut coerced = IndexMap::new();
        for (name, field) in &input.fields {
            match given.swap_remove(name.as_str()) {
                Some(value) => {
                    let value =
                        self.within(&format!(".{name}"), |inner| inner.value(value, &field.ty))?;
                    coerced.insert(Name::new(name), value);
                }
                None if field.is_required() => {
                    let path = &self.path;
                    return Err(format!(
                        "variable {path}.{name} got no value: {} is needed",
                        field.ty
                    ));
                }
                // The resolver's arguments fill in their defaults.
                None => {}
            }
        }
        Ok(Value::Object(coerced))
    }

    fn scalar(&self, value: Value, ty: &Type) -> Result<Value, String> {
        let fits = match ty.inner_named_type().as_str() {
            "ID" => match value {
                Value::Number(number) if number.is_i64() || number.is_u64() => {
                    return Ok(Value::String(number.to_string()));
                }
                _ => matches!(value, Value::String(_)),
            },
            "String" => matches!(value, Value::String(_)),
            "Int" => as_integer(&value).is_some_and(|number| i32::try_from(number).is_ok()),
            "Float" => matches!(value, Value::Number(_)),
            "Boolean" => matches!(value, Value::Boolean(_)),
            // A text in place of a text is wrong in itself, and the scalar says how.
            custom => match scalars::check(custom, &value) {
                Err(problem) if matches!(value, Value::String(_)) => {
                    return Err(format!("variable {} got no {custom}: {problem}", self.path));
                }
                checked => checked.is_ok(),
            },
        };
        if fits { Ok(value) } else { Err(self.misfit(&value, ty)) }
    }

    fn misfit(&self, value: &Value, ty: &Type) -> String {
        format!("variable {} got {}: {ty} is needed", self.path, kind(value))
    }
}

fn as_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

/// The kind of a value, not the value: it may be long, or a secret in the wrong place.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Boolean(_) => "true or false",
        Value::Binary(_) => "bytes",
        Value::Enum(_) => "an enumeration value",
        Value::List(_) => "a list",
        Value::Object(_) => "an object",
    }
}
