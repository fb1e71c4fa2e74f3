//! The sources of settings and their order: flag, environment, settings file. Also finds names that no
//! setting has.

mod environment;
mod settings_file;
mod file_states;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use super::settings::{RawValue, Role, SettingSpec, one_line};
use settings_file::FileValue;

pub use environment::Environment;
pub(crate) use environment::{LARGEST_FILE, NotUnicode, read_bounded};
pub use file_states::FileStates;

/// Names the settings file in the environment.
pub(crate) const FILE_VARIABLE: &str = "GATEWAY_CONFIG";
/// Names the settings file on the command line.
pub(crate) const FILE_FLAG: &str = "config";
/// The tables of projects in the settings file: `[projects.<id>]`.
pub(crate) const PROJECTS: &str = "projects";
/// What all variables of the gateway begin with.
const PREFIX: &str = "GATEWAY_";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line, by this flag.
    Flag(String),
    /// The environment, by this variable.
    Environment(String),
    /// The settings file.
    File {
        /// Path as it was given.
        path: String,
        /// Line, from 1.
        line: usize,
    },
    /// Nothing was set.
    Default,
    /// Something else, which this names.
    Derived(String),
}

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
    pub(crate) values: BTreeMap<&'static str, RawValue>,
}

/// All sources, read but not checked.
pub(crate) struct Sources<'a> {
    inputs: &'a Inputs,
    file: SettingsFile,
}

/// A value and where it came from.
#[derive(Clone)]
pub(crate) struct SourcedValue {
    pub(crate) raw: RawValue,
    pub(crate) origin: Origin,
}

/// What the sources gave, to be compared with what they give later. Its `Debug` has no values, because
/// some are secrets.
#[derive(Clone, Default)]
pub(crate) struct RawSettings {
    /// By the setting's key.
    pub(crate) values: BTreeMap<&'static str, SourcedValue>,
    /// What was read from the file that a setting names.
    pub(crate) contents: BTreeMap<&'static str, RawValue>,
}

/// A table of the settings file that the user names.
pub(crate) struct FileTable {
    /// The section of such tables.
    section: &'static str,
    pub(crate) name: String,
    /// Where its first value stands.
    pub(crate) origin: Origin,
    pub(crate) values: Vec<TableValue>,
}

/// A value of such a table.
pub(crate) struct TableValue {
    pub(crate) key: String,
    pub(crate) raw: RawValue,
    pub(crate) origin: Origin,
}

#[derive(Default)]
struct SettingsFile {
    path: String,
    values: BTreeMap<String, FileValue>,
    is_broken: bool,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Environment(name) | Self::Derived(name) => f.write_str(name),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl fmt::Debug for RawSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl RawSettings {
    /// The keys whose values differ, wherever these came from.
    pub(crate) fn differing(&self, other: &Self) -> BTreeSet<&'static str> {
        let raw = |settings: &Self, key| settings.values.get(key).map(|value| value.raw.clone());
        let keys = self.values.keys().chain(other.values.keys());
        let values = keys.filter(|key| raw(self, **key) != raw(other, **key));
        let keys = self.contents.keys().chain(other.contents.keys());
        let contents = keys.filter(|key| self.contents.get(*key) != other.contents.get(*key));
        values.chain(contents).copied().collect()
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

    /// Whether the settings file could not be read, so that what is missing may be in there.
    pub(crate) fn are_incomplete(&self) -> bool {
        self.file.is_broken
    }

    /// The value from the first source that has the setting.
    pub(crate) fn find(&self, setting: &SettingSpec) -> Option<SourcedValue> {
        if let Some(raw) = self.inputs.flags.values.get(setting.key) {
            let origin = Origin::Flag(setting.flag());
            return Some(SourcedValue { raw: raw.clone(), origin });
        }
        let variable = setting.variable();
        if let Some(text) = self.inputs.environment.text(&variable) {
            let raw = text
                .map_or(RawValue::Unusable("not UTF-8"), |text| RawValue::Text(text.to_owned()));
            return Some(SourcedValue { raw, origin: Origin::Environment(variable) });
        }
        let value = self.file.values.get(setting.key)?;
        Some(SourcedValue { raw: value.raw.clone(), origin: self.file.origin(value) })
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
            let key = key.or_else(|| (!value.is_table()).then_some(""));
            let position = tables.iter().position(|table| table.name == name);
            let position = position.unwrap_or_else(|| {
                let (name, origin) = (name.to_owned(), origin.clone());
                tables.push(FileTable { section, name, origin, values: Vec::new() });
                tables.len() - 1
            });
            if let (Some(table), Some(key)) = (tables.get_mut(position), key) {
                let (key, raw) = (key.to_owned(), value.raw.clone());
                table.values.push(TableValue { key, raw, origin });
            }
        }
        tables
    }

    /// Finds variables and keys that no known setting has.
    pub(crate) fn refuse_unknown(
        &self,
        known: &[&'static SettingSpec],
        problems: &mut Vec<String>,
    ) {
        let variables: Vec<String> = known
            .iter()
            .map(|setting| setting.variable())
            .chain([FILE_VARIABLE.to_owned()])
            .collect();
        for (name, value) in self.inputs.environment.variables() {
            let name = name.to_string_lossy();
            let is_known = variables.iter().any(|variable| *variable == name);
            if name.starts_with(PREFIX) && !is_known && !is_service_link(&name, value) {
                let known = variables.iter().map(String::as_str);
                problems.push(unknown(&one_line(&name), &name, known));
            }
        }
        for (key, value) in &self.file.values {
            let is_table =
                in_section(key, PROJECTS).is_some() || (key == PROJECTS && value.is_table());
            if key == PROJECTS && !is_table {
                let (origin, raw) = (self.file.origin(value), &value.raw);
                problems.push(format!("{key} is {raw} ({origin}): must hold tables [{key}.<id>]"));
            } else if !is_table && !known.iter().any(|setting| setting.key == key) {
                let shown = format!("{} ({}:{})", one_line(key), self.file.path, value.line);
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
    pub(crate) fn refuse_unknown(&self, known: &[&SettingSpec], problems: &mut Vec<String>) {
        for TableValue { key, raw, origin } in &self.values {
            if key.is_empty() {
                problems.push(format!("{} is {raw} ({origin}): must be a table", self.key()));
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
    fn origin(&self, value: &FileValue) -> Origin {
        Origin::File { path: self.path.clone(), line: value.line }
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
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_address = value.to_str().is_some_and(|value| {
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
