//! Settings that are read again while the process runs.
//!
//! What needs a restart stays as it is, and is named. All else is read together with it by the same
//! rules as at the start, so that nothing is put into use that contradicts what stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use super::files::Files;
use super::form::Raw;
use super::setting::rows;
use super::source::Origin;
use super::values::{Loaded, Refusal};
use super::{Config, CredentialsMode, InboundAuth, JwksSource};

/// What the access key is called, which is no setting of the table.
pub(super) const ACCESS_KEY: &str = "access key";

/// What the sources gave for each setting, to be compared with what they give later. Its `Debug`
/// has no values, for some are secrets.
#[derive(Clone, Default)]
pub(super) struct Given {
    /// By the setting's name.
    pub(super) rows: BTreeMap<&'static str, (Raw, Origin)>,
    /// What was read from elsewhere for a setting: the first line of the file that it names.
    pub(super) contents: BTreeMap<&'static str, Raw>,
}

/// Where settings come from, to be read again while the process runs.
pub struct SettingsSource(Box<Read>);

/// Reads everything; with settings given, those that need a restart are taken from these.
type Read = dyn Fn(Option<&Given>) -> (Result<Loaded<Config>, Refusal>, Files) + Send + Sync;

/// The settings that are in use.
#[derive(Clone, Debug)]
pub struct Running {
    /// The settings.
    pub config: Config,
    given: Given,
    files: Files,
}

/// What the sources give now.
#[derive(Debug)]
pub struct Reread {
    /// What may be put into use, as a whole.
    pub next: Running,
    /// Settings that have changed and take effect at once, by name.
    pub changed: Vec<&'static str>,
    /// Settings that have changed and need a restart, by name.
    pub waiting: Vec<&'static str>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.rows.keys()).finish()
    }
}

impl Given {
    /// The settings for which something else is given, by name.
    fn differing(&self, other: &Self) -> BTreeSet<&'static str> {
        let raw = |given: &Self, key| given.rows.get(key).map(|(raw, _)| raw.clone());
        let keys = self.rows.keys().chain(other.rows.keys());
        let rows = keys.filter(|key| raw(self, **key) != raw(other, **key));
        let places = self.contents.keys().chain(other.contents.keys());
        let contents = places.filter(|key| self.contents.get(*key) != other.contents.get(*key));
        rows.chain(contents).copied().collect()
    }
}

impl SettingsSource {
    pub(super) fn new(
        read: impl Fn(Option<&Given>) -> (Result<Loaded<Config>, Refusal>, Files)
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Box::new(read))
    }

    /// Settings that stay as they are. The files that they name may change all the same.
    pub fn fixed(config: Config) -> Self {
        Self::new(move |_| {
            let (shown, given) = (Vec::new(), Given::default());
            let files = Files::default();
            let loaded = Loaded { settings: config.clone(), shown, given, files, again: None };
            (Ok(loaded), Files::default())
        })
    }

    /// Reads everything again. The files are those that were read, or are named by the settings, each
    /// as it was before that.
    ///
    /// # Errors
    /// Everything that is wrong with the settings; a contradiction to those that need a restart, too.
    pub fn read(&self, running: &Running) -> (Result<Reread, Refusal>, Files) {
        let (read, mut files) = (self.0)(None);
        let read = match read {
            Ok(read) => read,
            Err(refusal) => {
                // What is in use is still what is to be followed.
                running.config.named_files(|file| files.note(file));
                return (Err(refusal), files);
            }
        };
        read.settings.named_files(|file| files.note(file));
        let differing = read.given.differing(&running.given);
        let (waiting, changed): (Vec<_>, Vec<_>) =
            differing.into_iter().partition(|key| needs_restart(key));
        let beside = if waiting.is_empty() {
            Ok(read)
        } else {
            (self.0)(Some(&running.given)).0.map_err(|refusal| refusal.before_a_restart(&waiting))
        };
        let reread = beside.map(|loaded| {
            let next =
                Running { config: loaded.settings, given: loaded.given, files: files.clone() };
            Reread { next, changed, waiting }.keeping_the_names_of_the_shared_cache(running)
        });
        (reread, files)
    }
}

impl Running {
    /// The settings of the start.
    pub fn of(loaded: &Loaded<Config>) -> Self {
        let mut files = loaded.files.clone();
        loaded.settings.named_files(|file| files.note(file));
        Self { config: loaded.settings.clone(), given: loaded.given.clone(), files }
    }

    /// Settings that came from nowhere.
    pub fn fixed(config: Config) -> Self {
        let mut files = Files::default();
        config.named_files(|file| files.note(file));
        Self { config, given: Given::default(), files }
    }

    /// The files that these were read from or that they name, each as it was before it was read.
    pub fn files(&self) -> Files {
        self.files.clone()
    }
}

impl Reread {
    /// The shared cache's names are made of the access key id, so one with a shared cache needs a
    /// restart for another.
    fn keeping_the_names_of_the_shared_cache(mut self, running: &Running) -> Self {
        let old = &running.config.upstream;
        let upstream = &mut self.next.config.upstream;
        let is_other = upstream.identity() != old.identity();
        if self.next.config.cache.shared.is_some() && is_other {
            upstream.credentials = old.credentials.clone();
            let old = running.given.contents.get(ACCESS_KEY).cloned();
            let contents = &mut self.next.given.contents;
            match old {
                Some(old) => contents.insert(ACCESS_KEY, old),
                None => contents.remove(ACCESS_KEY),
            };
            self.changed.retain(|key| *key != ACCESS_KEY);
            self.waiting.push(ACCESS_KEY);
        }
        self
    }
}

impl Config {
    /// The files that other areas read, as these settings name them.
    fn named_files(&self, mut note: impl FnMut(&Path)) {
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
    key != ACCESS_KEY && !rows().any(|row| row.key() == key && row.takes_changes())
}

/// What of the credentials tells one access key from another.
pub(super) fn access_key_of(credentials: &CredentialsMode) -> Option<Raw> {
    let CredentialsMode::AkSk(key) = credentials else { return None };
    let parts = [Some(&key.access), Some(&key.secret), key.security_token.as_ref()];
    let exposed = parts.into_iter().map(|part| part.map_or("", |part| part.expose()).to_owned());
    Some(Raw::List(exposed.chain(key.project_id.clone()).collect()))
}
