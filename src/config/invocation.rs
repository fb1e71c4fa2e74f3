//! From arguments, environment and settings file to one command with checked settings.

use std::ffi::OsString;

use super::command_line::{self, CommandLine};
use super::completions::{completions, manual};
use super::settings::{FailedLoad, Loaded, Role, SettingsError, SettingsLoader};
use super::sources::{Environment, Flags, Inputs};
use super::{Config, DemoConfig, SimulateArgs, load};

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
pub enum UsageError {
    /// The arguments are wrong, or ask for help.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Invocation {
    /// Reads the command and its settings. The first argument is the program's own name.
    ///
    /// # Errors
    /// [`UsageError`], with everything that is wrong with the settings.
    pub fn parse(
        args: impl IntoIterator<Item = OsString>,
        environment: &Environment,
    ) -> Result<Self, UsageError> {
        let inputs = |role, flags: Flags| Inputs { role, flags, environment: environment.clone() };
        Ok(match command_line::parse(args)? {
            CommandLine::Demo(flags) => {
                Self::Demo(first(&inputs(Role::Demo, flags), DemoConfig::load)?)
            }
            CommandLine::Serve(flags) => {
                Self::Serve(first(&inputs(Role::Serve, flags), Config::load)?)
            }
            CommandLine::Check(flags) => {
                Self::Check(first(&inputs(Role::Serve, flags), Config::load)?)
            }
            CommandLine::Simulate(flags) => {
                Self::Simulate(first(&inputs(Role::Simulate, flags), SimulateArgs::load)?)
            }
            CommandLine::Schema { federation } => Self::Schema { federation },
            CommandLine::Completions(shell) => Self::Completions(completions(shell)),
            CommandLine::Manual(page) => Self::Manual(manual(page.as_deref())),
        })
    }
}

/// Reads settings for the first time.
fn first<T>(
    inputs: &Inputs,
    read: fn(&mut SettingsLoader<'_>) -> T,
) -> Result<Loaded<T>, SettingsError> {
    load(inputs, None, read).map_err(|FailedLoad { error, .. }| error)
}
