//! Settings that are read again while the process runs.
//!
//! Settings that need a restart keep their value, and are named. All others are read together with them by
//! the rules of the start, so that no new value contradicts one that stays.

use std::path::Path;

use super::access_key::ACCESS_KEY;
use super::inbound::{InboundAuth, JwksSource};
use super::settings::{FailedLoad, Loaded, SettingsError};
use super::sources::{FileStates, Inputs, PROJECTS, RawSettings};
use super::{Config, DemoConfig, ProjectConfig, all_settings, load};

/// Where settings come from, to read them again.
#[derive(Clone)]
pub struct SettingsSource(Source);

#[derive(Clone)]
enum Source {
    /// Nowhere: the settings never change.
    Fixed(Box<Config>),
    Serve(Inputs),
    /// The demo's own sources, for these simulated projects.
    Demo(Inputs, Vec<ProjectConfig>),
}

/// The settings that are in use.
#[derive(Clone, Debug)]
pub struct ActiveSettings {
    /// The settings.
    pub config: Config,
    raw: RawSettings,
    files: FileStates,
}

/// The result of a reload.
#[derive(Debug)]
pub struct ReloadedSettings {
    /// The new settings. They may be put into use as a whole.
    pub next: ActiveSettings,
    /// Keys of settings that have changed and take effect at once.
    pub changed: Vec<&'static str>,
    /// Keys of settings that have changed and need a restart.
    pub waiting: Vec<&'static str>,
}

/// Why a reload failed.
#[derive(Debug)]
pub struct FailedReload {
    /// What is wrong with the settings. They may also contradict settings that need a restart.
    pub error: SettingsError,
    /// The files that were read, as they were before.
    pub files: FileStates,
}

impl Loaded<Config> {
    /// Where these settings came from.
    pub fn source(&self) -> SettingsSource {
        SettingsSource(Source::Serve(self.inputs.clone()))
    }
}

impl Loaded<DemoConfig> {
    /// The gateway's settings, once a simulated upstream serves each of these projects.
    pub fn against(self, projects: Vec<ProjectConfig>) -> Loaded<Config> {
        self.map(|demo| demo.against(projects))
    }

    /// Where these settings came from, for these simulated projects.
    pub fn source(&self, projects: Vec<ProjectConfig>) -> SettingsSource {
        SettingsSource(Source::Demo(self.inputs.clone(), projects))
    }
}

impl SettingsSource {
    /// Settings that never change. The files that they name may change all the same.
    pub fn fixed(config: Config) -> Self {
        Self(Source::Fixed(Box::new(config)))
    }

    /// Reads everything again.
    ///
    /// # Errors
    /// [`FailedReload`], if the settings cannot be used.
    pub fn reload(&self, active: &ActiveSettings) -> Result<ReloadedSettings, FailedReload> {
        let read = self.read(None).map_err(|FailedLoad { error, mut files }| {
            // The files of the settings in use are still watched.
            active.config.for_each_named_file(|file| files.note(file));
            FailedReload { error, files }
        })?;
        let differing = read.raw.differing(&active.raw);
        let (waiting, changed): (Vec<_>, Vec<_>) =
            differing.into_iter().partition(|key| needs_restart(key));
        let files = read.files.clone();
        let mut next = if waiting.is_empty() {
            read
        } else {
            self.read(Some(&active.raw)).map_err(|FailedLoad { error, .. }| FailedReload {
                error: error.until_a_restart(&waiting),
                files: files.clone(),
            })?
        };
        next.files = files;
        Ok(ReloadedSettings { next, changed, waiting }.keeping_the_shared_cache(active))
    }

    /// Reads all sources. Settings that need a restart keep their pinned values, if there are any.
    fn read(&self, pinned: Option<&RawSettings>) -> Result<ActiveSettings, FailedLoad> {
        let loaded = match &self.0 {
            Source::Fixed(config) => return Ok(ActiveSettings::fixed((**config).clone())),
            Source::Serve(inputs) => load(inputs, pinned, Config::load),
            Source::Demo(inputs, projects) => {
                load(inputs, pinned, DemoConfig::load).map(|demo| demo.against(projects.clone()))
            }
        };
        Ok(ActiveSettings::of(&loaded?))
    }
}

impl ActiveSettings {
    /// The settings of the start.
    pub fn of(loaded: &Loaded<Config>) -> Self {
        let Loaded { settings, raw, files, .. } = loaded.clone();
        Self::new(settings, raw, files)
    }

    /// Settings that did not come from any source.
    pub fn fixed(config: Config) -> Self {
        Self::new(config, RawSettings::default(), FileStates::default())
    }

    /// The files that these settings were read from or that they name, as they were before.
    pub fn files(&self) -> FileStates {
        self.files.clone()
    }

    fn new(config: Config, raw: RawSettings, mut files: FileStates) -> Self {
        config.for_each_named_file(|file| files.note(file));
        Self { config, raw, files }
    }
}

impl ReloadedSettings {
    /// Keys of the shared cache hold the access key id, so with a shared cache another access key needs a
    /// restart.
    fn keeping_the_shared_cache(mut self, active: &ActiveSettings) -> Self {
        let old = &active.config.upstream;
        let upstream = &mut self.next.config.upstream;
        if self.next.config.cache.shared.is_none() || upstream.identity() == old.identity() {
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
    fn for_each_named_file(&self, mut note: impl FnMut(&Path)) {
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
