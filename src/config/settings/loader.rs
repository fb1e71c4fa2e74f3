//! Reads settings from their sources into types, and collects everything that is wrong, so that one error
//! names all of it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::formats::duration_text;
use super::setting::{Setting, SettingSpec, TABLE};
use crate::config::sources::{FileStates, Inputs, RawSettings, SourcedValue, Sources};

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
    pub(crate) raw: RawSettings,
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
    pub(crate) sources: Sources,
    known: &'static [SettingSpec],
    /// The settings in use, during a reload.
    active: Option<&'a RawSettings>,
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
    /// Reads all sources. During a reload, settings that need a restart keep the values in use.
    pub(crate) fn new(
        inputs: &'a Inputs,
        known: &'static [SettingSpec],
        active: Option<&'a RawSettings>,
    ) -> Self {
        let mut loader = Self {
            inputs,
            known,
            active,
            waiting: Vec::new(),
            shown: Vec::new(),
            refused: BTreeSet::new(),
            table: String::new(),
            sources: Sources::read(inputs, known),
        };
        if let Some(active) = active {
            loader.keep_until_a_restart(active);
        }
        loader
    }

    fn keep_until_a_restart(&mut self, active: &RawSettings) {
        for key in self.known.iter().filter(|setting| !setting.is_reloadable).map(|it| it.key) {
            let old = active.values.get(key).cloned();
            let new = match &old {
                Some(old) => self.sources.raw.values.insert(key.to_owned(), old.clone()),
                None => self.sources.raw.values.remove(key),
            };
            if old.map(|old| old.text) != new.map(|new| new.text) {
                self.waiting.push(key);
            }
        }
    }

    /// The settings, unless anything was refused.
    pub(crate) fn finish<T>(self, settings: T) -> Result<Loaded<T>, SettingsError> {
        let Self { inputs, active, waiting, shown, .. } = self;
        let Sources { raw, files, mut problems, .. } = self.sources;
        if !problems.is_empty() {
            if !waiting.is_empty() {
                let waiting = waiting.join(", ");
                problems.push(format!("until a restart, these stay as they were: {waiting}"));
            }
            return Err(SettingsError { problems, files });
        }
        let differing = active.map(|active| active.differing(&raw)).unwrap_or_default();
        let (changed, inputs) = (differing.into_iter().collect(), Some(inputs.clone()));
        Ok(Loaded { settings, shown, changed, waiting, files, raw, inputs })
    }

    /// Reads a setting. A refused value is replaced by the default, so that reading can go on.
    pub(crate) fn read<T>(&mut self, setting: &Setting<T>) -> T {
        let role = self.inputs.role;
        let value =
            self.sources.raw.values.get(&self.key_of(setting)).filter(|_| setting.is_for(role));
        let Some(SourcedValue { text, origin, .. }) = value.cloned() else {
            if setting.is_for(role) && !setting.is_in_tables() {
                let default = setting.default_in(role).map(|default| setting.shown(default));
                self.show(setting, &default.unwrap_or_else(|| setting.unset.to_owned()), DEFAULT);
            }
            return setting.default_value(role);
        };
        self.read_text(setting, &text, &origin).unwrap_or_else(|| setting.default_value(role))
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
        self.inputs.environment.variable(name)
    }

    /// A secret: the value of its setting, or the first line of the file that another setting names.
    pub(crate) fn secret<T>(
        &mut self,
        setting: &Setting<Option<T>>,
        value: Option<T>,
        file: &SettingSpec,
        path: Option<PathBuf>,
    ) -> Option<T> {
        let Some(path) = path else { return value };
        if value.is_some() {
            let problem = format!("must not be set beside {}: give one of them", setting.key);
            self.refuse(&[file, setting], problem);
            return None;
        }
        // The refusal never repeats the line.
        let problem = format!("it must hold {} on its first line", setting.allowed);
        let first_line = |text: &str| setting.read(text.lines().next().unwrap_or_default());
        self.read_named(file, &path, |text| first_line(text).map_err(|_| problem))?
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
        self.inputs.environment.read_file(path, &mut self.sources.files)
    }

    /// What a setting's file contains, or contained when the process started.
    fn content_in_use(&mut self, setting: &SettingSpec, mut content: String) -> String {
        let old = self.active.and_then(|active| active.contents.get(setting.key));
        if let Some(old) = old.filter(|old| !setting.is_reloadable && **old != content) {
            self.waiting.push(setting.key);
            content.clone_from(old);
        }
        self.sources.raw.contents.insert(setting.key, content.clone());
        content
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
        self.sources.raw.values.contains_key(&self.key_of(setting))
    }

    /// The value of a setting that must be set together with another.
    pub(crate) fn required<T>(
        &mut self,
        setting: &Setting<Option<T>>,
        value: Option<T>,
        other: &str,
    ) -> Option<T> {
        if value.is_none() {
            self.refuse(&[setting], format!("must be set with {other}"));
        }
        value
    }

    /// Refuses the first of these settings because of its value and those of the others. Does nothing if one of
    /// them is refused already, or not set where a source could not be read.
    pub(crate) fn refuse(&mut self, settings: &[&SettingSpec], problem: impl fmt::Display) {
        let is_known = |setting: &&SettingSpec| {
            let is_found = self.is_set(setting) || !self.sources.are_incomplete;
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
        self.sources.problems.push(problem);
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
