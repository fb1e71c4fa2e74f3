//! Secrets that may be kept in a file of their own, apart from the other settings.

use std::path::{Path, PathBuf};

use super::formats::Format;
use super::loader::SettingsLoader;
use super::spec::Setting;

/// The format of settings that name a file.
pub(crate) fn file_path() -> Format<Option<PathBuf>> {
    Format::new("FILE", "the path of a file, without control characters", |text| {
        let is_path = !text.is_empty() && !text.contains(char::is_control);
        is_path.then(|| PathBuf::from(text))
    })
    .optional()
}

/// A setting with a secret value, and the setting that names a file whose first line is that value.
pub(crate) struct SecretOrFile<T> {
    pub(crate) setting: Setting<Option<T>>,
    pub(crate) file: Setting<Option<PathBuf>>,
}

impl<T> SecretOrFile<T> {
    /// The value, from the setting or from the file. `None` if neither is set, or after a refusal.
    pub(crate) fn resolve(
        &self,
        loader: &mut SettingsLoader<'_>,
        value: Option<T>,
        file: Option<&Path>,
    ) -> Option<T> {
        let Some(file) = file else { return value };
        if value.is_some() {
            let key = self.setting.key;
            let problem = format!("must not be set beside {key}: give one of them");
            loader.refuse(&self.file, &problem);
            return None;
        }
        match loader.read_file(file) {
            Ok(text) => self.first_line(loader, text.lines().next().unwrap_or_default()),
            Err(problem) => {
                loader.refuse(&self.file, &format!("cannot be used: the file {problem}"));
                None
            }
        }
    }

    /// Whether there is no value although nothing was refused.
    pub(crate) fn is_missing(&self, loader: &SettingsLoader<'_>, value: Option<&T>) -> bool {
        value.is_none() && loader.are_valid(&[&self.setting, &self.file])
    }

    fn first_line(&self, loader: &mut SettingsLoader<'_>, line: &str) -> Option<T> {
        loader.note_content(self.file.key, line.to_owned());
        let value = self.setting.read(line).ok().flatten();
        if value.is_none() {
            // The refusal never repeats the line.
            let allowed = &self.setting.allowed;
            loader.refuse(&self.file, &format!("must hold {allowed} on its first line"));
        }
        value
    }
}
