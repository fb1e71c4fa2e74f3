//! Settings on their way from text to type: each is read once, and whatever is wrong is gathered,
//! so that a refusal can name all of it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::files::Files;
use super::form::{Form, Raw, duration_text};
use super::reread::Given;
use super::setting::{Role, Row, Setting};
use super::source::{Flags, Origin, Sources};
use super::surroundings::Surroundings;

/// Settings that passed all checks, and how each came to its value.
#[derive(Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// Every setting that was looked at, as it can be shown: secrets are not in here.
    pub shown: Vec<ShownSetting>,
    pub(super) given: Given,
    pub(super) files: Files,
    pub(super) again: Option<Again>,
}

/// What settings can be read again from.
#[derive(Clone)]
pub(super) struct Again {
    pub(super) role: Role,
    pub(super) flags: Flags,
    pub(super) surroundings: Arc<Surroundings>,
}

/// A setting as it can be shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSetting {
    /// Name as in the settings file.
    pub name: String,
    /// Value as it was written, or `(redacted)`.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// Why the settings cannot be used: every reason, one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .lines.join("\n"))]
pub struct Refusal {
    lines: Vec<String>,
}

/// Reads settings and gathers refusals.
pub(super) struct Values<'a> {
    role: Role,
    sources: Sources<'a>,
    shown: Vec<ShownSetting>,
    refusals: Vec<String>,
    refused: BTreeSet<&'static str>,
    given: Given,
    /// What settings that need a restart are read from, in place of the sources.
    kept: Option<&'a Given>,
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

impl Refusal {
    /// The reasons, each on one line.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The same of settings that are fine by themselves, while some wait for a restart.
    pub(super) fn before_a_restart(mut self, waiting: &[&str]) -> Self {
        let waiting = waiting.join(", ");
        self.lines.push(format!("until a restart, these stay as they were: {waiting}"));
        self
    }
}

impl<'a> Values<'a> {
    pub(super) fn new(role: Role, flags: Flags, surroundings: &'a Surroundings) -> Self {
        let mut refusals = Vec::new();
        let sources = Sources::gather(flags, surroundings, &mut refusals);
        let (shown, refused, given) = (Vec::new(), BTreeSet::new(), Given::default());
        Self { role, sources, shown, refusals, refused, given, kept: None }
    }

    /// Takes settings that need a restart from what was given before.
    pub(super) fn keeping(mut self, kept: Option<&'a Given>) -> Self {
        self.kept = kept;
        self
    }

    /// The settings, unless anything was refused.
    pub(super) fn accept<T>(self, settings: T) -> Result<Loaded<T>, Refusal> {
        if self.refusals.is_empty() {
            let (shown, given, files) = (self.shown, self.given, Files::default());
            Ok(Loaded { settings, shown, given, files, again: None })
        } else {
            Err(Refusal { lines: self.refusals })
        }
    }

    /// What the process is to run as.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn surroundings(&self) -> &'a Surroundings {
        self.sources.surroundings
    }

    /// Reads a setting; nothing where it is not set, is not one of this role, or is refused.
    pub(super) fn read<F: Form + Sync>(&mut self, setting: &Setting<F>) -> Option<F::Value> {
        if !setting.roles().contains(&self.role) {
            return None;
        }
        let found = match self.kept {
            Some(kept) if !setting.takes_changes() => kept.rows.get(setting.key()).cloned(),
            Some(_) | None => self.sources.find(setting),
        };
        if let Some(found) = &found {
            self.given.rows.insert(setting.key(), found.clone());
        }
        let Some((raw, origin)) = found.or_else(|| self.default_of(setting)) else {
            self.show(setting.key(), setting.unset(), Origin::Default);
            return None;
        };
        self.show(setting.key(), &setting.shown(&raw), origin);
        match setting.read(&raw) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.refuse(setting, &problem);
                None
            }
        }
    }

    /// Reads a setting. What stands in for a refused value is dropped with all the rest.
    pub(super) fn read_or<F: Form + Sync>(
        &mut self,
        setting: &Setting<F>,
        stand_in: F::Value,
    ) -> F::Value {
        self.read(setting).unwrap_or(stand_in)
    }

    /// Reads a whole number of at most the size that a `usize` has.
    pub(super) fn read_size<F: Form<Value = u64> + Sync>(
        &mut self,
        setting: &Setting<F>,
        stand_in: usize,
    ) -> usize {
        self.read(setting).map_or(stand_in, |number| usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// Reads a duration that may not exceed that of another setting, read before.
    ///
    /// A default gives way: who lowers only the other means this one too.
    pub(super) fn read_at_most<F, G>(
        &mut self,
        setting: &Setting<F>,
        (cap_setting, cap): (&Setting<G>, Duration),
        stand_in: Duration,
    ) -> Duration
    where
        F: Form<Value = Duration> + Sync,
        G: Form<Value = Duration> + Sync,
    {
        let duration = self.read_or(setting, stand_in);
        if duration <= cap || !self.are_sound(&[setting, cap_setting]) {
            return duration;
        }
        let origin_of = |row: &dyn Row| self.shown_as(row.key()).map(|shown| &shown.origin);
        if origin_of(setting) == Some(&Origin::Default) {
            let lowered = format!("default, lowered to {}", cap_setting.key());
            self.show(setting.key(), &duration_text(cap), Origin::Derived(lowered));
            return cap;
        }
        let cap_value = self.shown_as(cap_setting.key()).map_or("", |shown| &shown.value);
        let problem = format!("must not exceed {}, which is {cap_value}", cap_setting.key());
        self.refuse(setting, &problem);
        duration
    }

    /// Whether contradictions between these settings can be judged: all are known and readable.
    pub(super) fn are_sound(&self, rows: &[&dyn Row]) -> bool {
        !self.sources.are_incomplete() && !rows.iter().any(|row| self.refused.contains(row.key()))
    }

    /// Refuses the value of a setting that was read before.
    pub(super) fn refuse(&mut self, row: &dyn Row, problem: &str) {
        let key = row.key();
        let is_set = |shown: &&ShownSetting| {
            shown.origin != Origin::Default || row.default_in(self.role).is_some()
        };
        self.refusals.push(match self.shown_as(key).filter(is_set) {
            Some(ShownSetting { value, origin, .. }) => {
                format!("{key} is {value} ({origin}): {problem}")
            }
            None => format!("{key} is not set: {problem}"),
        });
        self.refused.insert(row.key());
    }

    /// Refuses something that is not a setting of the gateway's own.
    pub(super) fn refuse_line(&mut self, line: String) {
        self.refusals.push(line);
    }

    /// Notes what was read elsewhere for a setting, so that it is noticed when that changes.
    pub(super) fn note_content(&mut self, key: &'static str, content: Raw) {
        self.given.contents.insert(key, content);
    }

    /// Shows a value, in place of what was shown under the name before.
    pub(super) fn show(&mut self, name: &str, value: &str, origin: Origin) {
        let new = ShownSetting { name: name.to_owned(), value: value.to_owned(), origin };
        match self.shown.iter_mut().find(|shown| shown.name == name) {
            Some(shown) => *shown = new,
            None => self.shown.push(new),
        }
    }

    fn shown_as(&self, key: &str) -> Option<&ShownSetting> {
        self.shown.iter().find(|shown| shown.name == key)
    }

    fn default_of(&self, row: &dyn Row) -> Option<(Raw, Origin)> {
        row.default_in(self.role).map(|text| (Raw::Text(text.to_owned()), Origin::Default))
    }
}
