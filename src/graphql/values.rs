//! The values of an operation's variables, as they were sent.

use std::borrow::Cow;
use std::fmt;

use async_graphql::{Value, Variables};
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// More values than this are not kept flat.
const MOST_FLAT: usize = 16;

/// The values of variables. Flat ones, which most are, stay as they are until the GraphQL library needs
/// them in its own form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Values {
    /// Each a text, a number, true, false or null; no name twice.
    Flat(Vec<(String, Flat)>),
    /// Anything.
    Nested(Variables),
}

/// A value without parts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Flat {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
}

impl Default for Values {
    fn default() -> Self {
        Self::Flat(Vec::new())
    }
}

impl Values {
    /// All of them, in the library's form.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn variables(&self) -> Variables {
        match self {
            Self::Nested(variables) => variables.clone(),
            Self::Flat(flat) => {
                let mut variables = Variables::default();
                for (name, value) in flat {
                    variables.insert(async_graphql::Name::new(name), value.clone().into());
                }
                variables
            }
        }
    }

    /// The value of a variable, in the library's form.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        match self {
            Self::Flat(flat) => find(flat, name).map(|value| Cow::Owned(value.clone().into())),
            Self::Nested(variables) => variables.get(name).map(Cow::Borrowed),
        }
    }
}

fn find<'v>(flat: &'v [(String, Flat)], name: &str) -> Option<&'v Flat> {
    flat.iter().find(|(own, _)| own == name).map(|(_, value)| value)
}

impl From<Flat> for Value {
    fn from(flat: Flat) -> Self {
        match flat {
            Flat::Null => Self::Null,
            Flat::Boolean(value) => Self::Boolean(value),
            Flat::Number(number) => Self::Number(number),
            Flat::Text(text) => Self::String(text),
        }
    }
}

/// Flat values, read from a JSON object. An object with anything nested, or a name twice, is none.
#[derive(Debug, Default)]
pub struct FlatVariables(pub Vec<(String, Flat)>);

impl<'de> Deserialize<'de> for FlatVariables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = FlatVariables;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of flat values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FlatVariables, A::Error> {
                let mut members: Vec<(String, Flat)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Flat>()? {
                    // More would take longer and longer to compare.
                    if members.len() >= MOST_FLAT || find(&members, &name).is_some() {
                        return Err(A::Error::custom("is no object of few flat values"));
                    }
                    members.push((name, value));
                }
                Ok(FlatVariables(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;

        impl Visitor<'_> for One {
            type Value = Flat;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a flat value")
            }

            fn visit_unit<E>(self) -> Result<Flat, E> {
                Ok(Flat::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Flat, E> {
                Ok(Flat::Boolean(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Flat, E> {
                Ok(Flat::Number(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Flat, E> {
                Ok(Flat::Number(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Flat, E> {
                let number = Number::from_f64(value);
                number.map(Flat::Number).ok_or_else(|| E::custom("is no number"))
            }

            fn visit_str<E>(self, text: &str) -> Result<Flat, E> {
                Ok(Flat::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Flat, E> {
                Ok(Flat::Text(text))
            }
        }

        deserializer.deserialize_any(One)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_values_mean_what_they_mean_in_the_librarys_form() {
        let json =
            r#"{"a": "x\n", "b": true, "c": null, "d": -1, "e": 18446744073709551615, "f": 1.5e3}"#;

        let flat: FlatVariables = serde_json::from_str(json).unwrap();

        let whole = Variables::from_json(serde_json::from_str(json).unwrap());
        assert_eq!(Values::Flat(flat.0).variables(), whole);
    }

    #[test]
    fn what_is_nested_or_named_twice_or_too_much_is_not_flat() {
        let many: Vec<String> = (0..=MOST_FLAT).map(|number| format!("\"v{number}\": 1")).collect();
        for json in [
            r#"{"a": []}"#,
            r#"{"a": {}}"#,
            r#"{"a": 1, "a": 1}"#,
            &format!("{{{}}}", many.join(",")),
        ] {
            assert!(serde_json::from_str::<FlatVariables>(json).is_err(), "{json}");
        }
    }
}
