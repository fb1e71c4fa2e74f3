//! The sources of settings and their order: flag, environment, settings file. Also finds names that no
//! setting has.
//!
//! No layering library: those merge the sources first and stop at the first value they cannot convert.
//! Here one error lists every wrong value, each with the flag, variable or line it came from.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::inputs::{SourcedValue, Table};
use super::settings::{SettingSpec, SettingsLoader, TABLE, one_line};

/// Names the settings file in the environment.
pub(crate) const FILE_VARIABLE: &str = "GATEWAY_CONFIG";
/// Names the settings file on the command line.
pub(crate) const FILE_FLAG: &str = "config";
/// What all variables of the gateway begin with.
const PREFIX: &str = "GATEWAY_";
/// The section whose tables the user names: `[projects.<id>]`.
const TABLES: &str = "projects";

impl SettingsLoader<'_> {
    /// Reads the sources. What cannot be read, and names that no known setting has, are problems.
    pub(crate) fn read_sources(&mut self) {
        // The later one wins.
        self.read_settings_file();
        self.read_variables();
        self.values.extend(self.inputs.flags.clone());
    }

    fn read_settings_file(&mut self) {
        let (path, origin) = match (&self.inputs.file, self.variable(FILE_VARIABLE)) {
            (Some(path), _) => (path.as_path(), format!("--{FILE_FLAG}")),
            (None, Some(path)) => (Path::new(path), FILE_VARIABLE.to_owned()),
            (None, None) => return,
        };
        let shown = one_line(&path.to_string_lossy());
        let text = self.read_file(path).unwrap_or_else(|problem| {
            self.problems.push(format!("the settings file {shown} ({origin}) {problem}"));
            self.is_incomplete = true;
            String::new()
        });
        let origin = |offset: usize| {
            let line = text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
            format!("{shown}:{line}")
        };
        let (root, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let origin = origin(error.span().map_or(0, |span| span.start));
            let problem = error.message().lines().collect::<Vec<_>>().join("; ");
            self.problems.push(format!("{origin} is not TOML: {problem}"));
            self.is_incomplete = true;
        }
        if errors.is_empty() {
            self.collect(&origin, "", "", root.get_ref());
        }
    }

    /// Collects the values of a table, in the order of the file. `origin_of` names file and line of an offset. In
    /// the keys of settings, [`TABLE`] stands for the name of a table that the user names.
    fn collect(
        &mut self,
        origin_of: &dyn Fn(usize) -> String,
        section: &str,
        setting_section: &str,
        table: &DeTable<'_>,
    ) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let (value, origin) = (value.get_ref(), origin_of(name.span().start));
            let is_table_of_user = section == TABLES && matches!(value, DeValue::Table(_));
            let name = name.get_ref();
            let key = below(section, name);
            let setting = below(setting_section, if is_table_of_user { TABLE } else { name });
            if is_table_of_user {
                self.tables.push(Table { name: name.to_string(), origin: origin.clone() });
            }
            match value {
                DeValue::Table(inner) if is_table_of_user || !inner.is_empty() => {
                    self.collect(origin_of, &key, &setting, inner);
                }
                other => match self.known.iter().find(|known| known.key == setting) {
                    Some(known) => self.insert(known, key, text_of(other), origin),
                    None => self.refuse_unknown(&format!("{} ({origin})", one_line(&key))),
                },
            }
        }
    }

    fn read_variables(&mut self) {
        let variables = self.inputs.environment.variables.iter();
        let ours = variables.filter(|(name, _)| name.starts_with(PREFIX));
        for (name, text) in ours.filter(|(name, _)| *name != FILE_VARIABLE) {
            match self.known.iter().find(|setting| setting.variable() == *name) {
                Some(_) if text.contains(char::REPLACEMENT_CHARACTER) => {
                    self.problems.push(format!("{name} is not UTF-8"));
                    self.is_incomplete = true;
                }
                Some(known) => {
                    self.insert(known, known.key.to_owned(), text.clone(), name.clone());
                }
                None if is_service_link(name, text) => {}
                None => self.refuse_unknown(&one_line(name)),
            }
        }
    }

    /// Notes a value, unless its setting is for other commands.
    fn insert(&mut self, known: &SettingSpec, key: String, text: String, origin: String) {
        if known.is_for(self.inputs.role) {
            self.values.insert(key, SourcedValue { setting: known.key, text, origin });
        }
    }

    fn refuse_unknown(&mut self, name: &str) {
        let problem = format!("{name} is not a setting: docs/SETTINGS.md and --help list them");
        self.problems.push(problem);
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

/// Whether Kubernetes or Docker set this variable for a service whose name begins with `gateway`. The
/// user did not write it, so it is not refused.
fn is_service_link(name: &str, text: &str) -> bool {
    let is_part =
        ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"].iter().any(|part| name.contains(part));
    is_part || (name.ends_with("_PORT") && text.contains("://"))
}
