//! The sources of settings and their order: flag, environment, settings file. Also finds names that no
//! setting has.

mod environment;
mod settings_file;
mod file_states;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::settings::{Role, SettingSpec, one_line};
use settings_file::{FileValue, SettingsFile};

pub use environment::Environment;
pub(crate) use environment::{LARGEST_FILE, read_bounded};
pub use file_states::FileStates;
pub(crate) use settings_file::Table;

/// Names the settings file in the environment.
pub(crate) const FILE_VARIABLE: &str = "GATEWAY_CONFIG";
/// Names the settings file on the command line.
pub(crate) const FILE_FLAG: &str = "config";
/// What all variables of the gateway begin with.
const PREFIX: &str = "GATEWAY_";

/// What all sources are read from. Kept, so that they can be read again.
#[derive(Clone)]
pub(crate) struct Inputs {
    pub(crate) role: Role,
    /// The settings file that the command line names.
    pub(crate) file: Option<PathBuf>,
    pub(crate) flags: Values,
    pub(crate) environment: Environment,
}

/// Values by the keys of their settings.
pub(crate) type Values = BTreeMap<String, SourcedValue>;

/// A value and where it came from.
#[derive(Clone)]
pub(crate) struct SourcedValue {
    /// The key of its setting.
    pub(crate) setting: &'static str,
    pub(crate) text: String,
    pub(crate) origin: String,
}

/// What the sources gave, to be compared with what they give later. Its `Debug` has no values, because
/// some are secrets.
#[derive(Clone, Default)]
pub(crate) struct RawSettings {
    /// The value of each setting from the first source that has it.
    pub(crate) values: Values,
    /// What was read from the file that a setting names, by the setting's key.
    pub(crate) contents: BTreeMap<&'static str, String>,
}

/// All sources, read but not checked.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) raw: RawSettings,
    pub(crate) tables: Vec<Table>,
    /// The state of the settings file.
    pub(crate) files: FileStates,
    pub(crate) problems: Vec<String>,
    /// Whether a source could not be read, so that what is missing may be in there.
    pub(crate) are_incomplete: bool,
}

impl fmt::Debug for RawSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl RawSettings {
    /// The keys of settings whose values differ, wherever these came from.
    pub(crate) fn differing(&self, other: &Self) -> BTreeSet<&'static str> {
        fn texts(settings: &RawSettings) -> BTreeSet<(&str, &'static str, &str)> {
            let values = settings.values.iter();
            let values = values.map(|(key, value)| (&**key, value.setting, &*value.text));
            let contents = settings.contents.iter();
            values.chain(contents.map(|(key, content)| (*key, *key, &**content))).collect()
        }
        texts(self).symmetric_difference(&texts(other)).map(|(_, setting, _)| *setting).collect()
    }
}

impl Sources {
    /// Reads the sources. What cannot be read, and names that no known setting has, are problems.
    pub(crate) fn read(inputs: &Inputs, known: &[SettingSpec]) -> Self {
        let mut sources = Self::default();
        // The later one wins.
        sources.read_file(inputs, known);
        sources.read_variables(inputs, known);
        sources.raw.values.extend(inputs.flags.clone());
        sources
    }

    fn read_file(&mut self, inputs: &Inputs, known: &[SettingSpec]) {
        let variable = inputs.environment.variable(FILE_VARIABLE);
        let (path, origin) = match (&inputs.file, variable) {
            (Some(path), _) => (path.as_path(), format!("--{FILE_FLAG}")),
            (None, Some(path)) => (Path::new(path), FILE_VARIABLE.to_owned()),
            (None, None) => return,
        };
        let shown = one_line(&path.to_string_lossy());
        let text = inputs.environment.read_file(path, &mut self.files).unwrap_or_else(|problem| {
            self.problems.push(format!("the settings file {shown} ({origin}) {problem}"));
            self.are_incomplete = true;
            String::new()
        });
        let file = SettingsFile::parse(&shown, &text).unwrap_or_else(|problems| {
            self.problems.extend(problems);
            self.are_incomplete = true;
            SettingsFile::default()
        });
        for FileValue { key, setting, text, origin } in file.values {
            match known.iter().find(|known| known.key == setting) {
                Some(known) if known.is_for(inputs.role) => {
                    self.raw.values.insert(key, SourcedValue { setting: known.key, text, origin });
                }
                Some(_) => {}
                None => self.refuse_unknown(&format!("{} ({origin})", one_line(&key))),
            }
        }
        self.tables = file.tables;
    }

    fn read_variables(&mut self, inputs: &Inputs, known: &[SettingSpec]) {
        let ours = inputs.environment.variables().filter(|(name, _)| name.starts_with(PREFIX));
        for (name, text) in ours.filter(|(name, _)| *name != FILE_VARIABLE) {
            match known.iter().find(|setting| setting.variable() == name) {
                Some(_) if text.contains(char::REPLACEMENT_CHARACTER) => {
                    self.problems.push(format!("{name} is not UTF-8"));
                    self.are_incomplete = true;
                }
                Some(setting) if setting.is_for(inputs.role) => {
                    let (key, text, origin) = (setting.key, text.to_owned(), name.to_owned());
                    self.raw
                        .values
                        .insert(key.to_owned(), SourcedValue { setting: key, text, origin });
                }
                Some(_) => {}
                None if is_service_link(name, text) => {}
                None => self.refuse_unknown(&one_line(name)),
            }
        }
    }

    fn refuse_unknown(&mut self, name: &str) {
        let problem = format!("{name} is not a setting: docs/SETTINGS.md and --help list them");
        self.problems.push(problem);
    }
}

/// Whether Kubernetes or Docker set this variable for a service whose name begins with `gateway`. The
/// user did not write it, so it is not refused.
fn is_service_link(name: &str, text: &str) -> bool {
    let is_part =
        ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"].iter().any(|part| name.contains(part));
    is_part || (name.ends_with("_PORT") && text.contains("://"))
}
