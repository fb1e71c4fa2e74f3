//! Reads settings from their sources into types, and collects everything that is wrong, so that one error
//! names all of it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::formats::{Format, duration_text, one_line};
use super::spec::{Role, Setting, SettingSpec};
use crate::config::sources::{
    DEFAULT, FileStates, FileTable, Inputs, RawSettings, SourcedValue, Sources,
};
use crate::config::web_address::may_hold_secret;
use crate::proxies::Proxies;

/// Settings that passed all checks, and where each value came from.
#[derive(Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// Every setting as it can be shown, without secrets.
    pub shown: Vec<ShownSetting>,
    pub(crate) raw: RawSettings,
    pub(crate) files: FileStates,
    /// What they were read from, to be read again.
    pub(crate) inputs: Option<Inputs>,
}

/// A setting as it can be shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSetting {
    /// Name as in the settings file.
    pub name: String,
    /// Value as it was written, or `(redacted)`.
    pub value: String,
    /// Where the value came from.
    pub origin: String,
}

/// Why the settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct SettingsError {
    problems: Vec<String>,
}

/// Settings that cannot be used.
#[derive(Debug)]
pub struct FailedLoad {
    /// What is wrong with them.
    pub error: SettingsError,
    /// The files that were read, as they were before.
    pub files: FileStates,
}

/// Reads settings and collects problems.
pub(crate) struct SettingsLoader<'a> {
    inputs: &'a Inputs,
    sources: Sources<'a>,
    files: FileStates,
    /// Settings that need a restart have these values, whatever the sources say now.
    pinned: Option<&'a RawSettings>,
    raw: RawSettings,
    shown: Vec<ShownSetting>,
    refused: BTreeSet<&'static str>,
    problems: Vec<String>,
    proxies: Proxies,
}

/// A value was refused, which is among the problems.
pub(crate) struct Refused;

/// A duration, and the setting it is the value of.
#[derive(Clone, Copy)]
pub(crate) struct CappedDuration<'s> {
    pub(crate) setting: &'s SettingSpec,
    pub(crate) value: Duration,
}

impl<T> Loaded<T> {
    /// The files that these settings were read from or that they name, as they were before.
    pub fn files(&self) -> FileStates {
        self.files.clone()
    }
}

/// Settings that did not come from any source.
impl<T> From<T> for Loaded<T> {
    fn from(settings: T) -> Self {
        let (raw, files) = (RawSettings::default(), FileStates::default());
        Self { settings, shown: Vec::new(), raw, files, inputs: None }
    }
}

impl<T: fmt::Debug> fmt::Debug for Loaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("settings", &self.settings)
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ShownSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.name, self.value, self.origin)
    }
}

impl SettingsError {
    /// Every problem, each on one line.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The same error of a reload in which some settings keep their value until a restart.
    pub(crate) fn until_a_restart(mut self, waiting: &[&str]) -> Self {
        let waiting = waiting.join(", ");
        self.problems.push(format!("until a restart, these stay as they were: {waiting}"));
        self
    }
}

impl<'a> SettingsLoader<'a> {
    /// Reads all sources. Names that are not those of a known setting are a problem.
    pub(crate) fn new(
        inputs: &'a Inputs,
        known: &[SettingSpec],
        pinned: Option<&'a RawSettings>,
    ) -> Self {
        let (mut files, mut problems) = (FileStates::default(), Vec::new());
        let sources = Sources::read(inputs, &mut files, &mut problems);
        sources.refuse_unknown(known, &mut problems);
        let proxies = Proxies::read(|name| inputs.environment.variable(name));
        let proxies = proxies.unwrap_or_else(|error| {
            // The demo's upstream is on this machine, so that no proxy is needed.
            if inputs.role == Role::Serve {
                problems.push(error.to_string());
            }
            Proxies::default()
        });
        Self {
            inputs,
            sources,
            files,
            pinned,
            raw: RawSettings::default(),
            shown: Vec::new(),
            refused: BTreeSet::new(),
            problems,
            proxies,
        }
    }

    /// What the settings are for.
    pub(crate) fn role(&self) -> Role {
        self.inputs.role
    }

    /// Notes the state of a file that another area reads.
    pub(crate) fn watch(&mut self, file: &Path) {
        self.files.note(file);
    }

    /// The proxies that the environment names.
    pub(crate) fn proxies(&self) -> Proxies {
        self.proxies.clone()
    }

    /// The settings, unless anything was refused.
    pub(crate) fn finish<T>(self, settings: T) -> Result<Loaded<T>, FailedLoad> {
        let Self { inputs, files, raw, shown, problems, .. } = self;
        if problems.is_empty() {
            Ok(Loaded { settings, shown, raw, files, inputs: Some(inputs.clone()) })
        } else {
            Err(FailedLoad { error: SettingsError { problems }, files })
        }
    }

    /// Reads a setting. A refused value is replaced by the default, so that reading can go on.
    pub(crate) fn read<T>(&mut self, setting: &Setting<T>) -> T {
        let role = self.inputs.role;
        if !setting.is_for(role) {
            return setting.default_value(role);
        }
        let sourced = match self.pinned {
            Some(pinned) if !setting.is_reloadable => pinned.values.get(setting.key).cloned(),
            Some(_) | None => self.sources.find(setting),
        };
        let Some(SourcedValue { text, origin }) = sourced else {
            let default = setting.default_in(role).map(|default| setting.shown(default));
            let shown = default.unwrap_or_else(|| setting.unset.to_owned());
            self.show(setting.key, &shown, DEFAULT);
            return setting.default_value(role);
        };
        self.show(setting.key, &setting.shown(&text), &origin);
        let value = setting.read(&text);
        self.raw.values.insert(setting.key, SourcedValue { text, origin });
        value.unwrap_or_else(|problem| {
            self.refuse(setting, &problem);
            setting.default_value(role)
        })
    }

    /// The tables of a section in the settings file, in its order. None if it could not be read.
    pub(crate) fn tables(&self, section: &'static str) -> Vec<FileTable> {
        self.sources.tables(section)
    }

    /// Refuses keys of a table that no known setting has.
    pub(crate) fn refuse_unknown_keys(&mut self, table: &FileTable, known: &[SettingSpec]) {
        table.refuse_unknown(known, &mut self.problems);
    }

    /// Reads a setting of a table.
    pub(crate) fn read_in<T>(
        &mut self,
        table: &FileTable,
        setting: &Setting<Option<T>>,
    ) -> Result<Option<T>, Refused> {
        let Some(value) = table.values.iter().find(|value| value.key == setting.key) else {
            return Ok(None);
        };
        let key = format!("{}.{}", table.key(), setting.key);
        let (shown, origin) = (setting.shown(&value.text), &value.origin);
        let read = setting.read(&value.text);
        if let Err(problem) = &read {
            self.problems.push(format!("{key} is {shown} ({origin}): {problem}"));
        }
        self.show(&key, &shown, origin);
        read.map_err(|_| Refused)
    }

    /// A duration that must not exceed another. A default is lowered to the cap.
    pub(crate) fn at_most(
        &mut self,
        duration: CappedDuration<'_>,
        cap: CappedDuration<'_>,
    ) -> Duration {
        let CappedDuration { setting, value } = duration;
        if value <= cap.value || !self.are_valid(&[setting, cap.setting]) {
            return value;
        }
        let cap_key = cap.setting.key;
        if self.shown_as(setting.key).is_some_and(|shown| shown.origin == DEFAULT) {
            let lowered = format!("default, lowered to {cap_key}");
            self.show(setting.key, &duration_text(cap.value), &lowered);
            return cap.value;
        }
        let shown_cap = self.shown_as(cap_key).map_or("", |shown| &shown.value);
        let problem = format!("must not exceed {cap_key}, which is {shown_cap}");
        self.refuse(setting, &problem);
        value
    }

    /// Whether these settings can be judged together: all sources were readable, and none is refused.
    pub(crate) fn are_valid(&self, settings: &[&SettingSpec]) -> bool {
        let is_refused = |setting: &&SettingSpec| self.refused.contains(setting.key);
        !self.sources.are_incomplete() && !settings.iter().any(is_refused)
    }

    /// Refuses the value of a setting that was read before.
    pub(crate) fn refuse(&mut self, setting: &SettingSpec, problem: &str) {
        let key = setting.key;
        let has_value = |shown: &&ShownSetting| {
            shown.origin != DEFAULT || setting.default_in(self.inputs.role).is_some()
        };
        self.problems.push(match self.shown_as(key).filter(has_value) {
            Some(ShownSetting { value, origin, .. }) => {
                format!("{key} is {value} ({origin}): {problem}")
            }
            None => format!("{key} is not set: {problem}"),
        });
        self.refused.insert(key);
    }

    /// Adds a problem of something that is no setting of the gateway's own.
    pub(crate) fn add_problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Shows a value, in place of what was shown under the name before.
    pub(crate) fn show(&mut self, name: &str, value: &str, origin: &str) {
        let [name, value, origin] = [name, value, origin].map(str::to_owned);
        let new = ShownSetting { name, value, origin };
        match self.shown.iter_mut().find(|shown| shown.name == new.name) {
            Some(shown) => *shown = new,
            None => self.shown.push(new),
        }
    }

    /// A variable of the environment that is no setting of the gateway's own.
    pub(crate) fn variable(&self, name: &str) -> Option<&'a str> {
        self.inputs.environment.variable(name)
    }

    /// Reads a variable that other programs have too, such as `OTEL_SDK_DISABLED`: the first of these names that
    /// is set. It has no flag and no key. `None` if it is not set, or after a refusal.
    pub(crate) fn shared_variable<T>(&mut self, names: &[&str], format: &Format<T>) -> Option<T> {
        let (name, text) = names.iter().find_map(|name| Some((*name, self.variable(name)?)))?;
        let is_secret = may_hold_secret(text);
        let shown = if is_secret { "(redacted)".to_owned() } else { one_line(text) };
        match (format.read)(text) {
            Ok(value) => {
                self.show(name, &shown, name);
                Some(value)
            }
            Err(problem) => {
                self.add_problem(format!("{name} is {shown}: {problem}"));
                None
            }
        }
    }

    /// Reads a file that a setting names; the error is a clause.
    pub(crate) fn read_file(&mut self, path: &Path) -> Result<String, String> {
        self.inputs.environment.read_file(path, &mut self.files)
    }

    /// Notes what a setting's file contains, so that a reload sees when it changes.
    pub(crate) fn note_content(&mut self, key: &'static str, content: String) {
        self.raw.contents.insert(key, content);
    }

    fn shown_as(&self, key: &str) -> Option<&ShownSetting> {
        self.shown.iter().find(|shown| shown.name == key)
    }
}
