//! The settings file: TOML, flattened to `section.name`, each value with its line.
//!
//! No layering library: those merge the sources first and stop at the first value they cannot convert.
//! Here one error lists every wrong value, each with the flag, variable or line it came from.

use toml::de::{DeTable, DeValue};

use crate::config::settings::{TABLE, one_line};

/// The section whose tables the user names: `[projects.<id>]`.
const TABLES: &str = "projects";

/// What a settings file holds.
#[derive(Default)]
pub(super) struct SettingsFile<'t> {
    path: &'t str,
    text: &'t str,
    pub(super) values: Vec<FileValue>,
    /// The tables of [`TABLES`], in the order of the file.
    pub(super) tables: Vec<Table>,
}

pub(super) struct FileValue {
    pub(super) key: String,
    /// The key, with [`TABLE`] for the name of a table.
    pub(super) setting: String,
    pub(super) text: String,
    pub(super) origin: String,
}

/// A table of the settings file that the user names.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) origin: String,
}

impl<'t> SettingsFile<'t> {
    /// Reads the whole file. The errors are its lines that are not TOML; with one, no value is used.
    pub(super) fn parse(path: &'t str, text: &'t str) -> Result<Self, Vec<String>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut file = Self { path, text, ..Self::default() };
        if !errors.is_empty() {
            return Err(errors.iter().map(|error| file.syntax_error(error)).collect());
        }
        file.collect("", "", root.get_ref());
        Ok(file)
    }

    /// Collects the values of a table, in the order of the file.
    fn collect(&mut self, section: &str, setting_section: &str, table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let (value, origin) = (value.get_ref(), self.origin(name.span().start));
            let is_table_of_user = section == TABLES && value.is_table();
            let key = below(section, name.get_ref());
            let setting =
                below(setting_section, if is_table_of_user { TABLE } else { name.get_ref() });
            if is_table_of_user {
                self.tables
                    .push(Table { name: name.get_ref().to_string(), origin: origin.clone() });
            }
            match value {
                DeValue::Table(inner) if is_table_of_user || !inner.is_empty() => {
                    self.collect(&key, &setting, inner);
                }
                other => {
                    self.values.push(FileValue { key, setting, text: text_of(other), origin });
                }
            }
        }
    }

    fn syntax_error(&self, error: &toml::de::Error) -> String {
        let origin = self.origin(error.span().map_or(0, |span| span.start));
        let problem = error.message().lines().collect::<Vec<_>>().join("; ");
        format!("{origin} is not TOML: {problem}")
    }

    /// File and line of a place in the text.
    fn origin(&self, offset: usize) -> String {
        let line = self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        format!("{}:{line}", one_line(self.path))
    }
}

/// The key of a name in a section.
fn below(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
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
