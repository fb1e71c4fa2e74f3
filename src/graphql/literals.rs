//! Values of documents in the GraphQL library's form.

use apollo_compiler::ast::{Type, Value};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Name as ApolloName, Node, Schema};
use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, Value as ConstValue, Variables};
use serde_json::Number;

/// What turns a document's values into the library's.
#[derive(Clone, Copy)]
pub(crate) struct Literals<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) variables: &'a Variables,
}

impl Literals<'_> {
    /// A value for a place of a type, which is unknown inside custom scalars. `None` where the value
    /// is a variable that has none.
    pub(crate) fn value(self, value: &Value, ty: Option<&Type>) -> Option<ConstValue> {
        Some(match value {
            Value::Variable(name) => return self.variables.get(&Name::new(name)).cloned(),
            // An id may have more digits than any number.
            Value::Int(digits) if ty.is_some_and(|ty| ty.inner_named_type() == "ID") => {
                ConstValue::String(digits.as_str().to_owned())
            }
            Value::List(items) => {
                let ty = ty.filter(|ty| ty.is_list()).map(Type::item_type);
                let item = |item: &Node<Value>| self.value(item, ty).unwrap_or_default();
                ConstValue::List(items.iter().map(item).collect())
            }
            Value::Object(members) => self.object(members, ty),
            Value::Null => ConstValue::Null,
            Value::Boolean(value) => ConstValue::Boolean(*value),
            Value::String(text) => ConstValue::String(text.clone()),
            Value::Enum(name) => ConstValue::Enum(Name::new(name)),
            Value::Int(digits) => number(digits.as_str()),
            Value::Float(digits) => number(digits.as_str()),
        })
    }

    fn object(self, members: &[(ApolloName, Node<Value>)], ty: Option<&Type>) -> ConstValue {
        let ty = ty.and_then(|ty| self.schema.types.get(ty.inner_named_type()));
        let input = ty.and_then(ExtendedType::as_input_object);
        let member = |(name, value): &(ApolloName, Node<Value>)| {
            let ty = input.and_then(|input| input.fields.get(name)).map(|member| &*member.ty);
            Some((Name::new(name), self.value(value, ty)?))
        };
        ConstValue::Object(members.iter().filter_map(member).collect::<IndexMap<_, _>>())
    }
}

fn number(digits: &str) -> ConstValue {
    // -0 is an integer here, and not in JSON.
    let integer = digits.parse::<i64>().map(Number::from).ok();
    let number = integer.or_else(|| serde_json::from_str(digits).ok());
    number.map_or(ConstValue::Null, ConstValue::Number)
}
