//! From arguments, environment and file to one command with checked settings.

use std::ffi::OsString;

use super::flags::{self, Asked};
use super::packaging::{completions, manual};
use super::setting::Role;
use super::source::Flags;
use super::surroundings::Surroundings;
use super::values::{Loaded, Refusal, Values};
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
        let mut values = Values::new(Role::Serve, flags, surroundings);
        let config = Self::read(&mut values);
        values.accept(config)
    }
}

impl DemoConfig {
    fn load(flags: Flags, surroundings: &Surroundings) -> Result<Loaded<Self>, Refusal> {
        let mut values = Values::new(Role::Demo, flags, surroundings);
        let config = Self::read(&mut values);
        values.accept(config)
    }
}

impl SimulateArgs {
    fn load(flags: Flags, surroundings: &Surroundings) -> Result<Loaded<Self>, Refusal> {
        let mut values = Values::new(Role::Simulate, flags, surroundings);
        let args = Self::read(&mut values);
        values.accept(args)
    }
}
