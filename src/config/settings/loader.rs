//! Reads settings from their sources into types, and collects everything that is wrong, so that one error
//! names all of it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::formats::duration_text;
use super::{Setting, SettingSpec, TABLE};
use crate::config::inputs::{FileStates, Inputs, SourcedValue, Table, Values};

/// What is shown as the origin of a default.
const DEFAULT: &str = "default";

/// Settings that passed all checks, and where each value came from.
#[derive(Clone, Default)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// Every setting as it can be shown, without secrets.
    pub shown: Vec<ShownSetting>,
    /// Keys of settings that have changed by a reload.
    pub changed: Vec<&'static str>,
    /// Keys of settings that have changed and need a restart: their old values are in use.
    pub waiting: Vec<&'static str>,
    /// The files that the settings were read from or that they name, as they were before.
    pub files: FileStates,
    /// The values that the settings were made from.
    pub(crate) values: Values,
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
    /// Every problem, each on one line.
    pub problems: Vec<String>,
    /// The files that were read, as they were before.
    pub files: FileStates,
}

/// Reads settings and collects problems.
pub(crate) struct SettingsLoader<'a> {
    pub(crate) inputs: &'a Inputs,
    /// Every setting there is.
    pub(crate) known: &'static [SettingSpec],
    /// The values in use, during a reload.
    active: Option<&'a Values>,
    /// What the sources gave.
    pub(crate) values: Values,
    /// The tables of the settings file that the user names, in its order.
    pub(crate) tables: Vec<Table>,
    /// The files that were read.
    pub(crate) files: FileStates,
    pub(crate) problems: Vec<String>,
    /// Whether a source could not be read, so that what is missing may be in there.
    pub(crate) is_incomplete: bool,
    waiting: Vec<&'static str>,
    shown: Vec<ShownSetting>,
    refused: BTreeSet<String>,
    /// The table that settings in tables are read from.
    pub(crate) table: String,
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

impl<'a> SettingsLoader<'a> {
    /// Reads all sources, and from them settings. During a reload, settings that need a restart keep the values
    /// in use.
    pub(crate) fn load<T>(
        inputs: &'a Inputs,
        known: &'static [SettingSpec],
        active: Option<&'a Values>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Result<Loaded<T>, SettingsError> {
        // Until a source turns out to have them.
        let shown = known.iter().filter(|setting| setting.is_flag_of(inputs.role));
        let shown = shown.map(|setting| ShownSetting {
            name: setting.key.to_owned(),
            value: setting.shown_default(inputs.role),
            origin: DEFAULT.to_owned(),
        });
        let mut loader = Self {
            inputs,
            known,
            active,
            values: Values::new(),
            tables: Vec::new(),
            files: FileStates::default(),
            problems: Vec::new(),
            is_incomplete: false,
            waiting: Vec::new(),
            shown: shown.collect(),
            refused: BTreeSet::new(),
            table: String::new(),
        };
        loader.read_sources();
        for setting in known.iter().filter(|setting| !setting.is_reloadable) {
            loader.keep_until_a_restart(setting, setting.key);
        }
        let settings = read(&mut loader);
        let Self { waiting, shown, values, files, mut problems, .. } = loader;
        if !problems.is_empty() {
            if !waiting.is_empty() {
                let waiting = waiting.join(", ");
                problems.push(format!("until a restart, these stay as they were: {waiting}"));
            }
            return Err(SettingsError { problems, files });
        }
        let changed = active.map(|active| differing(active, &values)).unwrap_or_default();
        let inputs = Some(inputs.clone());
        Ok(Loaded { settings, shown, changed, waiting, files, values, inputs })
    }

    /// During a reload, puts the value in use in place of a new one.
    fn keep_until_a_restart(&mut self, setting: &SettingSpec, key: &str) {
        let Some(active) = self.active else { return };
        let old = active.get(key).cloned();
        let new = match &old {
            Some(old) => self.values.insert(key.to_owned(), old.clone()),
            None => self.values.remove(key),
        };
        if old.map(|old| old.text) != new.map(|new| new.text) {
            self.waiting.push(setting.key);
        }
    }

    /// Reads a setting. A refused value is replaced by the default, so that reading can go on.
    pub(crate) fn read<T>(&mut self, setting: &Setting<T>) -> T {
        let role = self.inputs.role;
        let value = match self.values.get(&self.key_of(setting)).cloned() {
            Some(SourcedValue { text, origin, .. }) => self.read_text(setting, &text, &origin),
            None => None,
        };
        value.unwrap_or_else(|| setting.default_value(role))
    }

    /// Reads a text as the value of a setting. `None` after a refusal.
    pub(crate) fn read_text<T>(
        &mut self,
        setting: &Setting<T>,
        text: &str,
        origin: &str,
    ) -> Option<T> {
        self.show(setting, &setting.shown(text), origin);
        setting.read(text).map_err(|problem| self.refuse(&[setting], problem)).ok()
    }

    /// Reads a variable that other programs have too, such as `OTEL_SDK_DISABLED`. It has no flag and no key.
    /// `None` if it is not set, or after a refusal.
    pub(crate) fn variable_as<T>(&mut self, name: &'static str, format: Setting<T>) -> Option<T> {
        let text = self.variable(name)?;
        self.read_text(&format.with_key(name), text, "the environment")
    }

    /// A variable of the environment that is no setting of the gateway's own.
    pub(crate) fn variable(&self, name: &str) -> Option<&'a str> {
        self.inputs.environment.variables.get(name).map(String::as_str)
    }

    /// Reads a secret: the value of its setting, or the first line of the file that another setting names.
    pub(crate) fn secret<T>(&mut self, setting: &Setting<T>, file: &Setting<Option<PathBuf>>) -> T {
        let value = self.read(setting);
        let Some(path) = self.read(file) else { return value };
        if self.is_set(setting) {
            let problem = format!("must not be set beside {}: give one of them", setting.key);
            self.refuse(&[file, setting], problem);
            return value;
        }
        // The refusal never repeats the line.
        let problem = format!("it must hold {} on its first line", setting.allowed);
        let first_line = |text: &str| setting.read(text.lines().next().unwrap_or_default());
        self.read_named(file, &path, |text| first_line(text).map_err(|_| problem)).unwrap_or(value)
    }

    /// Reads the file that a setting names. `None` after a refusal.
    pub(crate) fn read_named<T>(
        &mut self,
        setting: &SettingSpec,
        path: &Path,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.read_file(path).map_err(|problem| format!("the file {problem}"));
        let parsed = text.and_then(|text| parse(&self.content_in_use(setting, text)));
        parsed.map_err(|problem| self.refuse(&[setting], format!("cannot be used: {problem}"))).ok()
    }

    /// Reads a file; the error is a clause.
    pub(crate) fn read_file(&mut self, path: &Path) -> Result<String, String> {
        self.inputs.environment.read_file(path, &mut self.files)
    }

    /// What the file of a setting contains, which counts as a value of the setting.
    fn content_in_use(&mut self, setting: &SettingSpec, text: String) -> String {
        let key = format!("content of {}", setting.key);
        let content =
            SourcedValue { setting: setting.key, text: text.clone(), origin: String::new() };
        self.values.insert(key.clone(), content);
        if !setting.is_reloadable {
            self.keep_until_a_restart(setting, &key);
        }
        self.values.get(&key).map_or(text, |content| content.text.clone())
    }

    /// A duration that must not exceed `most`, the value of another setting. A default is lowered to it.
    pub(crate) fn at_most(
        &mut self,
        setting: &Setting<Duration>,
        cap: &SettingSpec,
        most: Duration,
    ) -> Duration {
        let value = self.read(setting);
        if value <= most {
            return value;
        }
        let shown = duration_text(most);
        if self.is_set(setting) {
            self.refuse(&[setting, cap], format!("must not exceed {}, which is {shown}", cap.key));
        } else {
            self.show(setting, &shown, &format!("default, lowered to {}", cap.key));
        }
        most
    }

    /// Whether a source has the setting.
    pub(crate) fn is_set(&self, setting: &SettingSpec) -> bool {
        self.values.contains_key(&self.key_of(setting))
    }

    /// Refuses the settings that are not set, although another needs them.
    pub(crate) fn require(&mut self, settings: &[&SettingSpec], other: &str) {
        for setting in settings {
            if !self.is_set(setting) {
                self.refuse(&[setting], format!("must be set with {other}"));
            }
        }
    }

    /// Refuses the first of these settings because of its value and those of the others. Does nothing if one of
    /// them is refused already, or not set where a source could not be read.
    pub(crate) fn refuse(&mut self, settings: &[&SettingSpec], problem: impl fmt::Display) {
        let is_known = |setting: &&SettingSpec| {
            let is_found = self.is_set(setting) || !self.is_incomplete;
            is_found && !self.refused.contains(&self.key_of(setting))
        };
        let Some(first) = settings.first().filter(|_| settings.iter().all(is_known)) else {
            return;
        };
        let key = self.key_of(first);
        let has_default = first.default_in(self.inputs.role).is_some();
        let shown = self.shown.iter().find(|shown| shown.name == key);
        let problem = match shown.filter(|shown| has_default || shown.origin != DEFAULT) {
            Some(ShownSetting { value, origin, .. }) => {
                format!("{key} is {value} ({origin}): {problem}")
            }
            None => format!("{key} is not set: {problem}"),
        };
        self.problems.push(problem);
        self.refused.insert(key);
    }

    /// Shows the value of a setting, in place of what was shown before.
    pub(crate) fn show(&mut self, setting: &SettingSpec, value: &str, origin: &str) {
        let name = self.key_of(setting);
        let new = ShownSetting { name, value: value.to_owned(), origin: origin.to_owned() };
        match self.shown.iter_mut().find(|shown| shown.name == new.name) {
            Some(shown) => *shown = new,
            None => self.shown.push(new),
        }
    }

    fn key_of(&self, setting: &SettingSpec) -> String {
        setting.key.replace(TABLE, &self.table)
    }
}

/// The keys of settings whose values differ, wherever these came from.
fn differing(old: &Values, new: &Values) -> Vec<&'static str> {
    let text = |values: &Values, key: &str| values.get(key).map(|value| value.text.clone());
    let all = old.iter().chain(new);
    let differing = all.filter(|(key, _)| text(old, key) != text(new, key));
    let settings: BTreeSet<_> = differing.map(|(_, value)| value.setting).collect();
    settings.into_iter().collect()
}
