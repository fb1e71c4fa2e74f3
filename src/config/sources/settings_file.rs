//! The settings file: TOML, flattened to `section.name`, each value with its line.
//!
//! No layering library: those merge the sources first and stop at the first value they cannot convert.
//! Here one error lists every wrong value, each with the flag, variable or line it came from.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::config::settings::RawValue;

const TABLE: RawValue = RawValue::Unusable("a table");

/// A value of the settings file and where it stands.
pub(super) struct FileValue {
    pub(super) raw: RawValue,
    pub(super) line: usize,
    /// Bytes before its name.
    pub(super) offset: usize,
}

impl FileValue {
    /// Whether it is a table without values.
    pub(super) fn is_table(&self) -> bool {
        self.raw == TABLE
    }
}

/// A line of the file that is not TOML.
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) problem: String,
}

/// Reads the whole file. With a syntax error none of its values are used.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, FileValue>, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| syntax_error(text, error)).collect());
    }
    let mut values = BTreeMap::new();
    collect(text, "", table.get_ref(), &mut values);
    Ok(values)
}

fn syntax_error(text: &str, error: &toml::de::Error) -> SyntaxError {
    let line = line_at(text, error.span().map_or(0, |span| span.start));
    SyntaxError { line, problem: error.message().lines().collect::<Vec<_>>().join("; ") }
}

fn collect(
    text: &str,
    section: &str,
    table: &DeTable<'_>,
    values: &mut BTreeMap<String, FileValue>,
) {
    for (name, value) in table {
        let offset = name.span().start;
        let line = line_at(text, offset);
        let name = name.get_ref();
        let key = if section.is_empty() { name.to_string() } else { format!("{section}.{name}") };
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => collect(text, &key, inner, values),
            other => {
                values.insert(key, FileValue { raw: raw(other), line, offset });
            }
        }
    }
}

fn raw(value: &DeValue<'_>) -> RawValue {
    match value {
        DeValue::String(text) => RawValue::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => RawValue::Number(number.to_string()),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .map_or(RawValue::Unusable("a number too large"), |number| {
                RawValue::Number(number.to_string())
            }),
        DeValue::Float(number) => RawValue::Number(number.to_string()),
        DeValue::Boolean(value) => RawValue::Bool(*value),
        DeValue::Array(items) => list(items),
        DeValue::Datetime(_) => RawValue::Unusable("a date"),
        DeValue::Table(_) => TABLE,
    }
}

fn list(items: &DeArray<'_>) -> RawValue {
    let text = |item: &Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
    let items: Option<Vec<String>> = items.iter().map(text).collect();
    items.map_or(RawValue::Unusable("a list of other things than text"), RawValue::List)
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
