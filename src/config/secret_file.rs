//! Secrets that may stand in a file of their own: whoever can see the settings cannot see those.

use std::path::{Path, PathBuf};

use super::form::{Parsed, Raw};
use super::setting::{Row as _, Setting};
use super::values::Values;

/// The form of a setting that names such a file.
pub(super) const PATH: Parsed<PathBuf> =
    Parsed { allowed: "a path", placeholder: "FILE", parse: path };

/// A setting, and the one that names a file with its value on the first line.
pub(super) struct OrFile<T: 'static> {
    pub(super) setting: &'static Setting<Parsed<T>>,
    pub(super) file: &'static Setting<Parsed<PathBuf>>,
    /// Reads the first line.
    pub(super) parse: fn(&str) -> Option<T>,
    /// What the first line has to be, as the end of a sentence: "a password".
    pub(super) holds: &'static str,
}

/// What the two settings give, the file not yet read.
pub(super) struct Given<T> {
    value: Option<T>,
    file: Option<PathBuf>,
}

impl<T> OrFile<T> {
    /// Reads both settings.
    pub(super) fn given(&self, values: &mut Values<'_>) -> Given<T> {
        Given { value: values.read(self.setting), file: values.read(self.file) }
    }

    /// The value, from where it is; nothing where none is given, or what is given is refused.
    pub(super) fn resolve(&self, values: &mut Values<'_>, given: Given<T>) -> Option<T> {
        match (given.value, given.file) {
            (Some(_), Some(_)) => {
                let key = self.setting.key();
                values
                    .refuse(self.file, &format!("must not be set beside {key}: give one of them"));
                None
            }
            (value, None) => value,
            (None, Some(file)) => self.first_line(values, &file),
        }
    }

    /// Whether the value is missing for no other reason than that nobody gave it.
    pub(super) fn is_absent(&self, values: &Values<'_>, value: Option<&T>) -> bool {
        value.is_none() && values.are_sound(&[self.setting, self.file])
    }

    fn first_line(&self, values: &mut Values<'_>, file: &Path) -> Option<T> {
        let text = match values.surroundings().file(file) {
            Ok(text) => text,
            Err(problem) => {
                values.refuse(self.file, &format!("cannot be used: the file {problem}"));
                return None;
            }
        };
        let line = text.lines().next();
        values.note_content(self.file.key(), Raw::Text(line.unwrap_or_default().to_owned()));
        let value = line.and_then(self.parse);
        if value.is_none() {
            // The line itself is not told, whatever is wrong with it.
            values.refuse(self.file, &format!("must hold {} on its first line", self.holds));
        }
        value
    }
}

fn path(text: &str) -> Option<PathBuf> {
    let is_path = !text.is_empty() && !text.chars().any(char::is_control);
    is_path.then(|| PathBuf::from(text))
}
