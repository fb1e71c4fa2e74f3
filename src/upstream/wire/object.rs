//! The members of a JSON object, each value on its own.
//!
//! serde reads the object. Where one value is not JSON (bytes that are not UTF-8, a raw control
//! character, `NaN`), serde reads nothing; then [`structure`] finds where each value begins and ends,
//! so that the bad value costs its own field only.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Unlike, structure};
use crate::upstream::normalize::WireValue;

/// Reads a text that has to be one JSON object. `note` takes each member, in order, into a value that
/// starts as its default.
///
/// # Errors
/// [`Unlike::Malformed`] for anything but an object.
pub(crate) fn read_object<'b, T: Default>(
    body: &'b [u8],
    note: impl Fn(&mut T, &str, WireValue<'b>),
) -> Result<T, Unlike> {
    let malformed = |problem: &str| Err(Unlike::Malformed(problem.to_owned()));
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if body.trim_ascii().is_empty() {
        return malformed("is empty");
    }
    match str::from_utf8(body).map(|text| strict(text, &note)) {
        Ok(Ok(read)) => return Ok(read),
        Ok(Err(error)) if error.is_data() => return malformed("is not a JSON object"),
        Ok(Err(_)) | Err(_) => {}
    }
    let Some(members) = structure::members(body) else { return malformed("is not JSON") };
    let mut read = T::default();
    for member in members {
        let key: Option<Key<'_>> = serde_json::from_slice(member.key).ok();
        note(&mut read, key.as_ref().map_or("", |key| &key.0), WireValue::of(member.value));
    }
    Ok(read)
}

/// The items of a JSON array; nothing where the value is no array. `null` is an empty one: some
/// servers write it where there is nothing.
pub(super) fn items(array: WireValue<'_>) -> Option<Vec<WireValue<'_>>> {
    match array {
        WireValue::Json(json) => {
            let items: Option<Vec<&RawValue>> = serde_json::from_str(json).ok()?;
            let items = items.unwrap_or_default();
            Some(items.into_iter().map(|item| WireValue::Json(item.get())).collect())
        }
        WireValue::NotJson(bytes) => {
            let items = structure::items(bytes)?;
            Some(items.into_iter().map(WireValue::of).collect())
        }
    }
}

fn strict<'b, T: Default>(
    text: &'b str,
    note: impl Fn(&mut T, &str, WireValue<'b>),
) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_map(Members { note, read: PhantomData })?;
    deserializer.end()?;
    Ok(read)
}

/// A key of an object.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<T, N> {
    note: N,
    read: PhantomData<T>,
}

impl<'de, T: Default, N: Fn(&mut T, &str, WireValue<'de>)> Visitor<'de> for Members<T, N> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut read = T::default();
        while let Some(Key(key)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            (self.note)(&mut read, &key, WireValue::Json(value.get()));
        }
        Ok(read)
    }
}
