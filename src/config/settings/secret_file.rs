//! Secrets that may be kept in a file of their own, apart from the other settings.

use std::path::{Path, PathBuf};

use super::formats::{Optional, Parsed, RawValue};
use super::loader::SettingsLoader;
use super::spec::Setting;

/// The format of a setting that names such a file.
pub(crate) const FILE_PATH: Optional<Parsed<PathBuf>> =
    Optional(Parsed { allowed: "a path", placeholder: "FILE", parse: path });

/// A setting with a secret value, and the setting that names a file whose first line is that value.
pub(crate) struct SecretOrFile<T: 'static> {
    pub(crate) setting: &'static Setting<Option<T>>,
    pub(crate) file: &'static Setting<Option<PathBuf>>,
    /// Reads the first line.
    pub(crate) parse: fn(&str) -> Option<T>,
    /// What the first line has to be, as the end of a sentence: "a password".
    pub(crate) content: &'static str,
}

impl<T> SecretOrFile<T> {
    /// The value, from the setting or from the file. `None` if neither is set, or after a refusal.
    pub(crate) fn resolve(
        &self,
        loader: &mut SettingsLoader<'_>,
        value: Option<T>,
        file: Option<&Path>,
    ) -> Option<T> {
        match (value, file) {
            (Some(_), Some(_)) => {
                let key = self.setting.key;
                let problem = format!("must not be set beside {key}: give one of them");
                loader.refuse(self.file, &problem);
                None
            }
            (value, None) => value,
            (None, Some(file)) => self.first_line(loader, file),
        }
    }

    /// Whether there is no value although nothing was refused.
    pub(crate) fn is_missing(&self, loader: &SettingsLoader<'_>, value: Option<&T>) -> bool {
        value.is_none() && loader.are_valid(&[self.setting, self.file])
    }

    fn first_line(&self, loader: &mut SettingsLoader<'_>, file: &Path) -> Option<T> {
        let text = match loader.read_file(file) {
            Ok(text) => text,
            Err(problem) => {
                loader.refuse(self.file, &format!("cannot be used: the file {problem}"));
                return None;
            }
        };
        let line = text.lines().next();
        loader.note_content(self.file.key, RawValue::Text(line.unwrap_or_default().to_owned()));
        let value = line.and_then(self.parse);
        if value.is_none() {
            // The refusal never repeats the line.
            loader.refuse(self.file, &format!("must hold {} on its first line", self.content));
        }
        value
    }
}

fn path(text: &str) -> Option<PathBuf> {
    let is_path = !text.is_empty() && !text.chars().any(char::is_control);
    is_path.then(|| PathBuf::from(text))
}
