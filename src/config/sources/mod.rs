//! The sources of settings and their order: flag, environment, settings file. Also finds names that no
//! setting has.

mod environment;
mod settings_file;
mod file_states;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use super::settings::{Role, SettingSpec, one_line};
use settings_file::FileValue;

pub use environment::Environment;
pub(crate) use environment::{LARGEST_FILE, read_bounded};
pub use file_states::FileStates;

/// Names the settings file in the environment.
pub(crate) const FILE_VARIABLE: &str = "GATEWAY_CONFIG";
/// Names the settings file on the command line.
pub(crate) const FILE_FLAG: &str = "config";
/// The tables of projects in the settings file: `[projects.<id>]`.
pub(crate) const PROJECTS: &str = "projects";
/// What is shown as the origin of a default.
pub(crate) const DEFAULT: &str = "default";
/// What all variables of the gateway begin with.
const PREFIX: &str = "GATEWAY_";
/// What the names of variables contain that the gateway shares with other programs.
const SHARED: [&str; 4] = ["HUAWEICLOUD_SDK_", "OTEL_", "_PROXY", "_proxy"];

/// What all sources are read from. Kept, so that they can be read again.
#[derive(Clone)]
pub(crate) struct Inputs {
    pub(crate) role: Role,
    pub(crate) flags: Flags,
    pub(crate) environment: Environment,
}

/// What the command line gave.
#[derive(Clone, Default)]
pub(crate) struct Flags {
    pub(crate) file: Option<PathBuf>,
    pub(crate) values: BTreeMap<&'static str, String>,
}

/// All sources, read but not checked.
pub(crate) struct Sources<'a> {
    inputs: &'a Inputs,
    file: SettingsFile,
}

/// A value and where it came from.
#[derive(Clone)]
pub(crate) struct SourcedValue {
    pub(crate) text: String,
    pub(crate) origin: String,
}

/// What the sources gave, to be compared with what they give later. Its `Debug` has no values, because
/// some are secrets.
#[derive(Clone, Default)]
pub(crate) struct RawSettings {
    /// By the setting's key.
    pub(crate) values: BTreeMap<&'static str, SourcedValue>,
    /// What was read from the file that a setting names.
    pub(crate) contents: BTreeMap<&'static str, String>,
}

/// A table of the settings file that the user names.
pub(crate) struct FileTable {
    /// The section of such tables.
    section: &'static str,
    pub(crate) name: String,
    /// Where its first value stands.
    pub(crate) origin: String,
    pub(crate) values: Vec<TableValue>,
}

/// A value of such a table.
pub(crate) struct TableValue {
    pub(crate) key: String,
    pub(crate) text: String,
    pub(crate) origin: String,
}

#[derive(Default)]
struct SettingsFile {
    path: String,
    values: BTreeMap<String, FileValue>,
    is_broken: bool,
}

impl fmt::Debug for RawSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl RawSettings {
    /// The keys whose values differ, wherever these came from.
    pub(crate) fn differing(&self, other: &Self) -> BTreeSet<&'static str> {
        let all = [&self.values, &other.values].into_iter().flat_map(BTreeMap::keys);
        let contents = [&self.contents, &other.contents].into_iter().flat_map(BTreeMap::keys);
        let now = |settings: &Self, key| {
            let text = settings.values.get(key).map(|value| value.text.clone());
            (text, settings.contents.get(key).cloned())
        };
        all.chain(contents).copied().filter(|key| now(self, *key) != now(other, *key)).collect()
    }
}

impl<'a> Sources<'a> {
    /// Reads the sources. A settings file that cannot be read is a problem.
    pub(crate) fn read(
        inputs: &'a Inputs,
        files: &mut FileStates,
        problems: &mut Vec<String>,
    ) -> Self {
        Self { inputs, file: SettingsFile::read(inputs, files, problems) }
    }

    /// Whether the settings file or a variable could not be read, so that what is missing may be in there.
    pub(crate) fn are_incomplete(&self) -> bool {
        let mut variables = self.inputs.environment.variables();
        self.file.is_broken || variables.any(|(name, value)| value.is_none() && is_ours(name))
    }

    /// The value from the first source that has the setting.
    pub(crate) fn find(&self, setting: &SettingSpec) -> Option<SourcedValue> {
        if let Some(text) = self.inputs.flags.values.get(setting.key) {
            let origin = format!("--{}", setting.flag());
            return Some(SourcedValue { text: text.clone(), origin });
        }
        let variable = setting.variable();
        if let Some(text) = self.inputs.environment.variable(&variable) {
            return Some(SourcedValue { text: text.to_owned(), origin: variable });
        }
        let value = self.file.values.get(setting.key)?;
        Some(SourcedValue { text: value.text.clone(), origin: self.file.origin(value) })
    }

    /// The tables of a section in the settings file, in its order.
    pub(crate) fn tables(&self, section: &'static str) -> Vec<FileTable> {
        let all = self.file.values.iter();
        let in_section = all.filter_map(|(key, value)| Some((in_section(key, section)?, value)));
        let mut values: Vec<_> = in_section.collect();
        values.sort_by_key(|(_, value)| value.offset);
        let mut tables: Vec<FileTable> = Vec::new();
        for (path, value) in values {
            let origin = self.file.origin(value);
            // A table without values stands for itself.
            let (name, key) =
                path.rsplit_once('.').map_or((path, None), |(name, key)| (name, Some(key)));
            let key = key.or_else(|| (!value.is_table).then_some(""));
            let position = tables.iter().position(|table| table.name == name);
            let position = position.unwrap_or_else(|| {
                let (name, origin) = (name.to_owned(), origin.clone());
                tables.push(FileTable { section, name, origin, values: Vec::new() });
                tables.len() - 1
            });
            if let (Some(table), Some(key)) = (tables.get_mut(position), key) {
                let (key, text) = (key.to_owned(), value.text.clone());
                table.values.push(TableValue { key, text, origin });
            }
        }
        tables
    }

    /// Finds variables and keys that no known setting has.
    pub(crate) fn refuse_unknown(&self, known: &[SettingSpec], problems: &mut Vec<String>) {
        let variables: Vec<String> =
            known.iter().map(SettingSpec::variable).chain([FILE_VARIABLE.to_owned()]).collect();
        for (name, value) in self.inputs.environment.variables() {
            let is_known = variables.iter().any(|variable| variable == name);
            if name.starts_with(PREFIX) && !is_known && !is_service_link(name, value) {
                let known = variables.iter().map(String::as_str);
                problems.push(unknown(&one_line(name), name, known));
            } else if value.is_none() && is_ours(name) {
                problems.push(format!("{name} is not UTF-8"));
            }
        }
        for (key, value) in &self.file.values {
            let is_table =
                in_section(key, PROJECTS).is_some() || (key == PROJECTS && value.is_table);
            if key == PROJECTS && !is_table {
                let (origin, shown) = (self.file.origin(value), one_line(&value.text));
                problems
                    .push(format!("{key} is {shown} ({origin}): must hold tables [{key}.<id>]"));
            } else if !is_table && !known.iter().any(|setting| setting.key == key) {
                let shown = format!("{} ({})", one_line(key), self.file.origin(value));
                problems.push(unknown(&shown, key, known.iter().map(|setting| setting.key)));
            }
        }
    }
}

impl FileTable {
    /// The key of the whole table.
    pub(crate) fn key(&self) -> String {
        format!("{}.{}", self.section, one_line(&self.name))
    }

    /// Finds keys that are not those of known settings.
    pub(crate) fn refuse_unknown(&self, known: &[SettingSpec], problems: &mut Vec<String>) {
        for TableValue { key, text, origin } in &self.values {
            if key.is_empty() {
                let shown = one_line(text);
                problems.push(format!("{} is {shown} ({origin}): must be a table", self.key()));
            } else if !known.iter().any(|setting| setting.key == key) {
                let shown = format!("{}.{} ({origin})", self.key(), one_line(key));
                problems.push(unknown(&shown, key, known.iter().map(|setting| setting.key)));
            }
        }
    }
}

/// The rest of a key that begins with a section.
fn in_section<'k>(key: &'k str, section: &str) -> Option<&'k str> {
    key.strip_prefix(section)?.strip_prefix('.')
}

impl SettingsFile {
    fn origin(&self, value: &FileValue) -> String {
        format!("{}:{}", self.path, value.line)
    }

    fn read(inputs: &Inputs, files: &mut FileStates, problems: &mut Vec<String>) -> Self {
        let Inputs { flags, environment, .. } = inputs;
        let (path, origin) = match (&flags.file, environment.variable(FILE_VARIABLE)) {
            (Some(path), _) => (path.clone(), format!("--{FILE_FLAG}")),
            (None, Some(path)) => (PathBuf::from(path), FILE_VARIABLE.to_owned()),
            (None, None) => return Self::default(),
        };
        let shown = one_line(&path.to_string_lossy());
        let broken = Self { is_broken: true, ..Self::default() };
        let text = match environment.read_file(&path, files) {
            Ok(text) => text,
            Err(problem) => {
                problems.push(format!("the settings file {shown} ({origin}) {problem}"));
                return broken;
            }
        };
        match settings_file::parse(&text) {
            Ok(values) => Self { path: shown, values, is_broken: false },
            Err(errors) => {
                let line = |error: &settings_file::SyntaxError| {
                    format!("{shown}:{} is not TOML: {}", error.line, error.problem)
                };
                problems.extend(errors.iter().map(line));
                broken
            }
        }
    }
}

/// Whether the gateway reads variables with names like this.
fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) || SHARED.iter().any(|part| name.contains(part))
}

fn unknown<'n>(shown: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("{shown} is not a setting: did you mean {nearest}?"),
        None => format!("{shown} is not a setting: docs/SETTINGS.md and --help list them"),
    }
}

/// The known name that a misspelt one most likely stands for.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const LONGEST: usize = 100;
    if name.len() > LONGEST {
        return None;
    }
    let distances = known.map(|known| (strsim::osa_distance(name, known), known));
    let (distance, nearest) = distances.min()?;
    (distance <= 1 + name.len() / 6).then_some(nearest)
}

/// Whether Kubernetes or Docker set this variable for a service whose name begins with `gateway`. The
/// user did not write it, so it is not refused.
fn is_service_link(name: &str, value: Option<&str>) -> bool {
    let is_address = value.is_some_and(|value| {
        ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
    });
    let port = name.rsplit_once("_PORT_").map(|(_, rest)| rest);
    let is_port_detail = port.is_some_and(|rest| {
        rest.split_once('_').is_some_and(|(port, rest)| {
            port.parse::<u16>().is_ok()
                && ["TCP", "UDP", "SCTP"].iter().any(|protocol| rest.starts_with(protocol))
        })
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || is_port_detail
        || (name.ends_with("_PORT") && is_address)
}
