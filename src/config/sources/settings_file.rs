//! The settings file: TOML, flattened to `section.name`, each value with its line.
//!
//! No layering library: those merge the sources first and stop at the first value they cannot convert.
//! Here one error lists every wrong value, each with the flag, variable or line it came from.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// A value of the settings file, as text, and where it stands.
pub(super) struct FileValue {
    pub(super) text: String,
    pub(super) line: usize,
    /// Bytes before its name.
    pub(super) offset: usize,
    /// Whether it is a table without values.
    pub(super) is_table: bool,
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
                let is_table = other.is_table();
                values.insert(key, FileValue { text: text_of(other), line, offset, is_table });
            }
        }
    }
}

/// A value as it would be written in a flag or a variable: items of a list have commas between them.
fn text_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.to_string(), |number| number.to_string()),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| text_of(item.get_ref()));
            items.collect::<Vec<_>>().join(",")
        }
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
