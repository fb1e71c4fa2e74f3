//! From arguments, environment and file to one command with checked settings.

use std::ffi::OsString;
use std::sync::Arc;

use url::Url;

use super::files::Files;
use super::flags::{self, Asked};
use super::packaging::{completions, manual};
use super::reread::{Given, SettingsSource};
use super::setting::Role;
use super::source::Flags;
use super::surroundings::Surroundings;
use super::values::{Again, Loaded, Refusal, Values};
use super::{Config, DemoConfig, SimulateArgs};

/// One command, its settings checked.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// `demo`
    Demo(Loaded<DemoConfig>),
    /// `serve`
    Serve(Loaded<Config>),
    /// `check`
    Check(Loaded<Config>),
    /// `simulate`
    Simulate(Loaded<SimulateArgs>),
    /// `schema`
    Schema {
        /// Whether the schema of the federation subgraph is asked for.
        federation: bool,
    },
    /// `completions`: the script for a shell.
    Completions(String),
    /// `man`: a manual page.
    Manual(String),
}

/// Why there is nothing to run.
#[derive(Debug, thiserror::Error)]
pub enum Usage {
    /// The arguments: wrong ones, or a wish for help.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] Refusal),
}

impl Invocation {
    /// Reads what is to be done. The first argument is the program's own name.
    ///
    /// # Errors
    /// [`Usage`], with everything that is wrong with the settings at once.
    pub fn parse(
        args: impl IntoIterator<Item = OsString>,
        surroundings: &Surroundings,
    ) -> Result<Self, Usage> {
        Ok(match flags::parse(args)? {
            Asked::Demo(flags) => Self::Demo(DemoConfig::load(flags, surroundings)?),
            Asked::Serve(flags) => Self::Serve(Config::load(flags, surroundings)?),
            Asked::Check(flags) => Self::Check(Config::load(flags, surroundings)?),
            Asked::Simulate(flags) => Self::Simulate(SimulateArgs::load(flags, surroundings)?),
            Asked::Schema { federation } => Self::Schema { federation },
            Asked::Completions(shell) => Self::Completions(completions(shell)),
            Asked::Manual(name) => Self::Manual(manual(name.as_deref())),
        })
    }
}

impl Config {
    fn load(flags: Flags, surroundings: &Surroundings) -> Result<Loaded<Self>, Refusal> {
        load(Again::new(Role::Serve, flags, surroundings), Self::read)
    }
}

impl DemoConfig {
    fn load(flags: Flags, surroundings: &Surroundings) -> Result<Loaded<Self>, Refusal> {
        load(Again::new(Role::Demo, flags, surroundings), Self::read)
    }
}

/// Reads settings that can be read again.
fn load<T>(again: Again, read: fn(&mut Values<'_>) -> T) -> Result<Loaded<T>, Refusal> {
    let (loaded, files) = again.read(None, read);
    Ok(Loaded { again: Some(again), files, ..loaded? })
}

impl Again {
    fn new(role: Role, flags: Flags, surroundings: &Surroundings) -> Self {
        Self { role, flags, surroundings: Arc::new(surroundings.afresh()) }
    }

    /// Reads all sources anew.
    fn read<T>(
        &self,
        kept: Option<&Given>,
        read: fn(&mut Values<'_>) -> T,
    ) -> (Result<Loaded<T>, Refusal>, Files) {
        let surroundings = self.surroundings.afresh();
        let mut values = Values::new(self.role, self.flags.clone(), &surroundings).keeping(kept);
        let settings = read(&mut values);
        let loaded = values.accept(settings);
        (loaded, surroundings.files())
    }
}

impl Loaded<Config> {
    /// Where these settings came from, to be read again.
    pub fn source(&self) -> SettingsSource {
        match self.again.clone() {
            Some(again) => SettingsSource::new(move |kept| again.read(kept, Config::read)),
            None => SettingsSource::fixed(self.settings.clone()),
        }
    }
}

impl Loaded<DemoConfig> {
    /// The gateway's settings, once the simulated upstream listens at `endpoint`.
    pub fn against(self, endpoint: &Url) -> Loaded<Config> {
        let Self { settings, shown, given, files, again } = self;
        Loaded { settings: settings.against(endpoint.clone()), shown, given, files, again }
    }

    /// Where these settings came from, to be read again, for an upstream at `endpoint`.
    pub fn source(&self, endpoint: Url) -> SettingsSource {
        let Some(again) = self.again.clone() else {
            return SettingsSource::fixed(self.settings.clone().against(endpoint));
        };
        SettingsSource::new(move |kept| {
            let (loaded, files) = again.read(kept, DemoConfig::read);
            (loaded.map(|loaded| loaded.against(&endpoint)), files)
        })
    }
}

impl SimulateArgs {
    fn load(flags: Flags, surroundings: &Surroundings) -> Result<Loaded<Self>, Refusal> {
        let mut values = Values::new(Role::Simulate, flags, surroundings);
        let args = Self::read(&mut values);
        values.accept(args)
    }
}
