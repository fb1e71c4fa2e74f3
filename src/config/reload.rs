//! Settings that are read again while the process runs.
//!
//! Settings that need a restart keep their value, and are named. All others are read together with them by
//! the rules of the start, so that no new value contradicts one that stays.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::inbound::{InboundAuth, JwksSource, JwtConfig};
use super::inputs::FileStates;
use super::settings::{Loaded, Role, SettingsError, SettingsLoader};
use super::{ALL_SETTINGS, Config, CredentialsMode, ProjectConfig};

/// What a reload calls the access key, which is no single setting.
const ACCESS_KEY: &str = "access key";

/// Settings in use, which can be replaced at any time. Clones share them.
///
/// Reading takes no lock. Read settings that belong together in one call: the next call may return other
/// settings.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// The first settings.
    pub fn new(settings: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// The current settings, for a short use without `await`; otherwise use [`Self::get`].
    pub fn load(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// The current settings, to be kept.
    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the settings.
    pub fn set(&self, settings: T) {
        self.0.store(Arc::new(settings));
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Loaded<Config> {
    /// Settings that did not come from any source and never change. The files that they name may change all the
    /// same.
    pub fn fixed(settings: Config) -> Self {
        let mut files = FileStates::default();
        settings.named_files().for_each(|file| files.note(file));
        Self { settings, files, ..Self::default() }
    }

    /// The settings of the demo, once a simulated upstream serves each of these projects. The first one's also
    /// answers for projects that are not there. They accept the same tokens.
    #[must_use]
    pub fn serving(mut self, projects: Vec<ProjectConfig>) -> Self {
        let Config { upstream, limits, .. } = &mut self.settings;
        upstream.default = projects.first().map(|first| first.target.clone());
        upstream.tokens_are_for_all_projects = true;
        limits.projects = projects.len();
        upstream.projects = projects;
        self
    }

    /// Reads everything again.
    ///
    /// # Errors
    /// [`SettingsError`], if the settings cannot be used. They may also contradict settings that need a restart.
    pub fn reload(&self) -> Result<Self, SettingsError> {
        let Some(inputs) = &self.inputs else { return Ok(Self::fixed(self.settings.clone())) };
        let old = &self.settings;
        // As a start would read them, and beside the settings that need a restart.
        let load = |active| SettingsLoader::load(inputs, &ALL_SETTINGS, active, Config::load);
        let read = load(None).and_then(|_| load(Some(&self.values)));
        let mut new = read.map_err(|mut error| {
            // The files of the settings in use are still watched.
            old.named_files().for_each(|file| error.files.note(file));
            error
        })?;
        let upstream = &mut new.settings.upstream;
        let is_key = matches!(upstream.credentials, CredentialsMode::AkSk(_));
        if is_key && upstream.credentials != old.upstream.credentials {
            // Keys of the shared cache hold the access key id, so with it another one needs a restart.
            if new.settings.cache.shared.is_some() && upstream.identity() != old.upstream.identity()
            {
                upstream.credentials = old.upstream.credentials.clone();
                new.waiting.push(ACCESS_KEY);
            } else {
                new.changed.push(ACCESS_KEY);
            }
        }
        if inputs.role == Role::Demo {
            new = new.serving(old.upstream.projects.clone());
        }
        Ok(new)
    }
}

impl Config {
    /// The files that other areas read because these settings name them.
    pub(super) fn named_files(&self) -> impl Iterator<Item = &PathBuf> {
        let auth = match &self.inbound.auth {
            InboundAuth::ApiKey(file)
            | InboundAuth::Jwt(JwtConfig { jwks: JwksSource::File(file), .. }) => Some(file),
            InboundAuth::None | InboundAuth::Jwt(_) => None,
        };
        let tls = self.tls.iter().flat_map(|tls| [&tls.cert_file, &tls.key_file]);
        let client_ca = self.tls.as_ref().and_then(|tls| tls.client_ca_file.as_ref());
        tls.chain(auth).chain(client_ca).chain(&self.graphql.documents_file)
    }
}
