//! The shape that a response has to have.
//!
//! The executor departs from the specification in three places: it writes fields as they finish, and not
//! in the document's order (section 7.2.2); it answers null where an object is to be empty (section
//! 6.3); and it leaves out a field that must not be null and failed, where its parent is to be null
//! (section 6.4.4).

use apollo_compiler::ast::Type;
use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, Value};

/// The members of an object, in the order of the response.
pub(crate) type ObjectShape = IndexMap<Name, MemberShape>;

/// A member of an object.
#[derive(Debug)]
pub(crate) struct MemberShape {
    /// The type of the field.
    pub(crate) ty: Type,
    /// The object that it is or lists; `None` for scalars and enumerations.
    pub(crate) object: Option<ObjectShape>,
}

/// A member that must not be null failed, so that its parent is null.
struct NullParent;

/// Gives the data of a response its shape.
pub(crate) fn apply(shape: &ObjectShape, data: Value) -> Value {
    let members = match data {
        Value::Object(members) => members,
        // Every field of the root failed, or there is none.
        _ => IndexMap::default(),
    };
    object(shape, members).unwrap_or(Value::Null)
}

fn object(shape: &ObjectShape, mut given: IndexMap<Name, Value>) -> Result<Value, NullParent> {
    let member = |(name, shape): (&Name, &MemberShape)| {
        let value = match given.swap_remove(name) {
            Some(value) => shape.value(value, &shape.ty)?,
            None if shape.ty.is_non_null() => return Err(NullParent),
            None => Value::Null,
        };
        Ok((name.clone(), value))
    };
    shape.iter().map(member).collect::<Result<_, _>>().map(Value::Object)
}

impl MemberShape {
    fn value(&self, value: Value, ty: &Type) -> Result<Value, NullParent> {
        let shaped = match (&self.object, value) {
            (Some(_), Value::List(items)) => {
                let items = items.into_iter().map(|item| self.value(item, ty.item_type()));
                items.collect::<Result<_, _>>().map(Value::List)
            }
            (Some(shape), Value::Object(members)) => object(shape, members),
            // All its members failed: an object that must not be null is never null itself.
            (Some(shape), Value::Null) if ty.is_non_null() => object(shape, IndexMap::default()),
            (_, value) => Ok(value),
        };
        match shaped {
            Err(NullParent) if !ty.is_non_null() => Ok(Value::Null),
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

        assert_eq!(apply(&shape("A"), data()), value!({ "a": null, "b": 1 }));
        assert_eq!(apply(&shape("A!"), data()), Value::Null);
    }
}
