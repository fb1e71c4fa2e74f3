//! The upstream's JSON, read in one pass and field by field.

mod flat;
mod record;
mod list;
mod operation;
mod download;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer as _, Visitor};

pub(crate) use download::{LinkRow, download_links};
pub(crate) use list::{Listed, list};
pub(crate) use operation::desktop_operation;
pub use record::screen_record;

/// Why the body of a success is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlike {
    /// It is an error: it has an error code and nothing of what was asked for.
    Error,
    /// It is something else; what, as a clause.
    Malformed(String),
}

/// Keys that hold an error's code, in any of the shapes that are in use, or an error object.
const ERROR_KEYS: [&str; 6] = ["error_code", "errorCode", "errCode", "code", "error", "result"];

/// A key of an object.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a body that has to be one JSON object.
fn read_object<'b, V: Visitor<'b>>(body: &'b [u8], visitor: V) -> Result<V::Value, Unlike> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if body.trim_ascii().is_empty() {
        return Err(Unlike::Malformed("is empty".to_owned()));
    }
    // Checked once as a whole, the text need not be checked string by string.
    let read = match str::from_utf8(body) {
        Ok(text) => read_with(serde_json::Deserializer::from_str(text), visitor),
        Err(_) => read_with(serde_json::Deserializer::from_slice(body), visitor),
    };
    read.map_err(|error| {
        let problem = if error.is_data() { "is not a JSON object" } else { "is not JSON" };
        Unlike::Malformed(problem.to_owned())
    })
}

fn read_with<'b, R: serde_json::de::Read<'b>, V: Visitor<'b>>(
    mut deserializer: serde_json::Deserializer<R>,
    visitor: V,
) -> serde_json::Result<V::Value> {
    let read = deserializer.deserialize_map(visitor)?;
    deserializer.end()?;
    Ok(read)
}

#[cfg(test)]
mod tests;
