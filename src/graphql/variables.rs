//! Checks the values of variables before anything is executed, as the specification wants it
//! (section 6.1.2): a value that does not fit refuses the operation as a whole.

use async_graphql::parser::types::{BaseType, OperationDefinition, Type};
use async_graphql::{ServerError, Value, Variables};

use super::error::{ErrorCode, request_error};

/// Checks the values that an operation was sent with.
///
/// # Errors
/// `BAD_USER_INPUT`, naming the variable, what it needs and what it got.
pub(crate) fn check(
    operation: &OperationDefinition,
    variables: &Variables,
) -> Result<(), ServerError> {
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        let (name, needed) = (&definition.name.node, &definition.var_type.node);
        let problem = match variables.get(name) {
            None if definition.default_value.is_some() || needed.nullable => continue,
            None => "no value".to_owned(),
            Some(value) if fits(value, needed) => continue,
            Some(value) => shown(value),
        };
        let message = format!("variable ${name} got {problem}: {needed} is needed");
        let mut error = request_error(ErrorCode::BadUserInput, message);
        error.locations.push(definition.name.pos);
        return Err(error);
    }
    Ok(())
}

/// Whether a value can be coerced. What is inside input objects and enumerations is checked with the
/// arguments they are used for.
fn fits(value: &Value, needed: &Type) -> bool {
    match (value, &needed.base) {
        (Value::Null, _) => needed.nullable,
        (Value::List(items), BaseType::List(item)) => items.iter().all(|value| fits(value, item)),
        // A single value stands for a list of one.
        (value, BaseType::List(item)) => fits(value, item),
        (value, BaseType::Named(name)) => match name.as_str() {
            "ID" => matches!(value, Value::String(_)) || is_integer(value),
            "String" => matches!(value, Value::String(_)),
            "Int" => as_integer(value).is_some_and(|number| i32::try_from(number).is_ok()),
            "Float" => matches!(value, Value::Number(_)),
            "Boolean" => matches!(value, Value::Boolean(_)),
            _ => true,
        },
    }
}

fn is_integer(value: &Value) -> bool {
    as_integer(value).is_some()
}

fn as_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

/// The kind of a value, not the value: it may be long, or a secret in the wrong place.
fn shown(value: &Value) -> String {
    let kind = match value {
        Value::Null => "null",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Boolean(_) => "true or false",
        Value::Binary(_) => "bytes",
        Value::Enum(_) => "an enumeration value",
        Value::List(_) => "a list",
        Value::Object(_) => "an object",
    };
    kind.to_owned()
}
