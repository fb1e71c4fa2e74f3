//! Settings that are read again while the process runs.
//!
//! Settings that need a restart keep their value, and are named. All others are read together with them by
//! the rules of the start, so that no new value contradicts one that stays.

use std::path::Path;

use super::access_key::ACCESS_KEY;
use super::inbound::{InboundAuth, JwksSource};
use super::settings::{FailedLoad, Loaded, Role};
use super::sources::PROJECTS;
use super::{Config, ProjectConfig, all_settings, load};

/// The result of a reload.
#[derive(Debug)]
pub struct ReloadedSettings {
    /// The new settings. They may be put into use as a whole.
    pub next: Loaded<Config>,
    /// Keys of settings that have changed and take effect at once.
    pub changed: Vec<&'static str>,
    /// Keys of settings that have changed and need a restart.
    pub waiting: Vec<&'static str>,
}

impl Loaded<Config> {
    /// Settings that did not come from any source and never change. The files that they name may change all the
    /// same.
    pub fn fixed(config: Config) -> Self {
        let mut loaded = Self::from(config);
        loaded.settings.for_each_named_file(|file| loaded.files.note(file));
        loaded
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
    /// [`FailedLoad`], if the settings cannot be used. They may also contradict settings that need a restart.
    pub fn reload(&self) -> Result<ReloadedSettings, FailedLoad> {
        let Some(inputs) = &self.inputs else {
            let next = Self::fixed(self.settings.clone());
            return Ok(ReloadedSettings { next, changed: Vec::new(), waiting: Vec::new() });
        };
        let read = |pinned| {
            let mut read = load(inputs, pinned, Config::load)?;
            if inputs.role == Role::Demo {
                read.settings.serve_simulated(self.settings.upstream.projects.clone());
            }
            Ok(read)
        };
        let new = read(None).map_err(|mut failed: FailedLoad| {
            // The files of the settings in use are still watched.
            self.settings.for_each_named_file(|file| failed.files.note(file));
            failed
        })?;
        let differing = new.raw.differing(&self.raw);
        let (waiting, changed): (Vec<_>, Vec<_>) =
            differing.into_iter().partition(|key| needs_restart(key));
        let files = new.files.clone();
        let mut next = if waiting.is_empty() {
            new
        } else {
            read(Some(&self.raw)).map_err(|failed| FailedLoad {
                error: failed.error.until_a_restart(&waiting),
                files: files.clone(),
            })?
        };
        next.files = files;
        Ok(ReloadedSettings { next, changed, waiting }.keeping_the_shared_cache(self))
    }
}

impl ReloadedSettings {
    /// Keys of the shared cache hold the access key id, so with a shared cache another access key needs a
    /// restart.
    fn keeping_the_shared_cache(mut self, active: &Loaded<Config>) -> Self {
        let old = &active.settings.upstream;
        let upstream = &mut self.next.settings.upstream;
        if self.next.settings.cache.shared.is_none() || upstream.identity() == old.identity() {
            return self;
        }
        upstream.credentials = old.credentials.clone();
        let contents = &mut self.next.raw.contents;
        match active.raw.contents.get(ACCESS_KEY) {
            Some(old) => contents.insert(ACCESS_KEY, old.clone()),
            None => contents.remove(ACCESS_KEY),
        };
        self.changed.retain(|key| *key != ACCESS_KEY);
        self.waiting.push(ACCESS_KEY);
        self
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

fn needs_restart(key: &str) -> bool {
    let settings = all_settings();
    let is_reloadable = settings.iter().any(|setting| setting.key == key && setting.is_reloadable);
    key != ACCESS_KEY && key != PROJECTS && !is_reloadable
}
