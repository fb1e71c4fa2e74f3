//! Settings that are read again while the process runs.
//!
//! Settings that need a restart keep their value, and are named. All others are read together with them by
//! the rules of the start, so that no new value contradicts one that stays.

use std::path::Path;

use super::access_key::ACCESS_KEY;
use super::inbound::{InboundAuth, JwksSource};
use super::settings::{Loaded, Role, SettingsError};
use super::sources::{FileStates, RawSettings};
use super::{Config, ProjectConfig, load};

impl Loaded<Config> {
    /// Settings that did not come from any source and never change. The files that they name may change all the
    /// same.
    pub fn fixed(settings: Config) -> Self {
        let mut files = FileStates::default();
        settings.for_each_named_file(|file| files.note(file));
        Self {
            settings,
            shown: Vec::new(),
            changed: Vec::new(),
            waiting: Vec::new(),
            files,
            raw: RawSettings::default(),
            inputs: None,
        }
    }

    /// The settings of the demo, once a simulated upstream serves each of these projects.
    #[must_use]
    pub fn serving(mut self, projects: Vec<ProjectConfig>) -> Self {
        self.settings.serve_simulated(projects);
        self
    }

    /// Reads everything again.
    ///
    /// # Errors
    /// [`SettingsError`], if the settings cannot be used. They may also contradict settings that need a restart.
    pub fn reload(&self) -> Result<Self, SettingsError> {
        let Some(inputs) = &self.inputs else { return Ok(Self::fixed(self.settings.clone())) };
        let old = &self.settings;
        let mut new = load(inputs, Some(&self.raw), Config::load).map_err(|mut error| {
            // The files of the settings in use are still watched.
            old.for_each_named_file(|file| error.files.note(file));
            error
        })?;
        let upstream = &mut new.settings.upstream;
        // Keys of the shared cache hold the access key id, so with it another access key needs a restart.
        if new.settings.cache.shared.is_some() && upstream.identity() != old.upstream.identity() {
            upstream.credentials = old.upstream.credentials.clone();
            let content = self.raw.contents.get(ACCESS_KEY).cloned().unwrap_or_default();
            new.raw.contents.insert(ACCESS_KEY, content);
            new.changed.retain(|key| *key != ACCESS_KEY);
            new.waiting.push(ACCESS_KEY);
        }
        if inputs.role == Role::Demo {
            new = new.serving(old.upstream.projects.clone());
        }
        Ok(new)
    }
}

impl Config {
    /// Calls `note` with each file that other areas read because these settings name it.
    pub(super) fn for_each_named_file(&self, mut note: impl FnMut(&Path)) {
        match &self.inbound.auth {
            InboundAuth::ApiKey(file) => note(file),
            InboundAuth::Jwt(jwt) => {
                if let JwksSource::File(file) = &jwt.jwks {
                    note(file);
                }
            }
            InboundAuth::None => {}
        }
        if let Some(file) = &self.graphql.documents_file {
            note(file);
        }
        if let Some(tls) = &self.tls {
            let files = [Some(&tls.cert_file), Some(&tls.key_file), tls.client_ca_file.as_ref()];
            files.into_iter().flatten().for_each(|file| note(file));
        }
    }
}
