//! The scalars of the schema.

use async_graphql::{InputType, InputValueError, InputValueResult, Pos, Scalar, ScalarType, Value};

use crate::domain::Timestamp;

/// A 64-bit integer as clients see it.
pub(crate) struct Long(pub(crate) i64);

/// An instant in UTC, always written `YYYY-MM-DDTHH:MM:SS.sssZ`. It has three fraction digits; further
/// digits are cut off.
///
/// The upstream uses many formats; the gateway converts all of them to this one. A value without a
/// zone is read in the gateway's configured time zone. A number is an epoch. The digits before its
/// decimal point give the unit: 9 or 10 seconds, 12 or 13 milliseconds, 15 or 16 microseconds, 18 or
/// 19 nanoseconds.
///
/// As an input, write an instant of RFC 3339, with `Z` or an offset.
#[Scalar(
    name = "DateTime",
    specified_by_url = "https://scalars.graphql.org/andimarek/date-time.html"
)]
impl ScalarType for Timestamp {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        let instant = text.parse::<jiff::Timestamp>().ok();
        let utc = instant.map(|instant| jiff::tz::TimeZone::UTC.to_datetime(instant));
        utc.and_then(Self::from_utc).ok_or_else(|| {
            InputValueError::custom(format!(
                "{text:?} is not an instant: write YYYY-MM-DDTHH:MM:SS.sssZ, or with an offset such \
                 as +08:00 in place of Z"
            ))
        })
    }

    fn to_value(&self) -> Value {
        Value::String(self.text())
    }
}

/// A signed 64-bit integer, written as a JSON number.
#[Scalar]
impl ScalarType for Long {
    fn parse(value: Value) -> InputValueResult<Self> {
        let long = if let Value::Number(number) = &value { number.as_i64() } else { None };
        long.map(Self).ok_or_else(|| InputValueError::expected_type(value))
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

/// Checks that a value is one that a scalar accepts. Other types accept any value here.
///
/// # Errors
/// What is wrong with the value.
pub(crate) fn check(scalar: &str, value: &Value) -> Result<(), String> {
    match (scalar, value) {
        ("ID" | "String", Value::String(_)) | ("_Any", Value::Object(_)) => Ok(()),
        ("ID", Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(()),
        ("ID" | "String", value) => accepts::<String>(value),
        ("Int", value) => accepts::<i32>(value),
        ("Boolean", value) => accepts::<bool>(value),
        ("DateTime", value) => accepts::<Timestamp>(value),
        ("_Any", _) => Err("_Any has to be an object".to_owned()),
        _ => Ok(()),
    }
}

fn accepts<T: InputType>(value: &Value) -> Result<(), String> {
    let parsed = T::parse(Some(value.clone()));
    parsed.map(drop).map_err(|refused| refused.into_server_error(Pos::default()).message)
}
