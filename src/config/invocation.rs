//! From arguments, environment and settings file to one command with checked settings.

use std::ffi::OsString;

use clap::ArgMatches;
use clap_complete::Shell;

use super::command_line::{CACHE_TAGS, FEDERATION, PAGE, SHELL, command, flags};
use super::completions::{completions, manual};
use super::settings::{Loaded, Role, SettingsError, SettingsLoader};
use super::sources::{Environment, FILE_FLAG, Inputs};
use super::{Config, SimulateArgs, load};

/// One command, its settings checked.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// `demo`
    Demo(Loaded<Config>),
    /// `serve`
    Serve(Loaded<Config>),
    /// `check`
    Check(Loaded<Config>),
    /// `simulate`
    Simulate(Loaded<SimulateArgs>),
    /// `schema`
    Schema {
        /// Of the subgraph of a federation.
        federation: bool,
        /// With cache tags.
        cache_tags: bool,
    },
    /// `completions` or `man`: a text to print.
    Print(String),
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
        let matches = command().try_get_matches_from(args)?;
        let (name, matches) = matches.subcommand().expect("clap asks for a command");
        let config = |role| first(role, matches, environment, Config::load);
        Ok(match name {
            "demo" => Self::Demo(config(Role::Demo)?),
            "serve" => Self::Serve(config(Role::Serve)?),
            "check" => Self::Check(config(Role::Serve)?),
            "schema" => Self::Schema {
                federation: matches.get_flag(FEDERATION),
                cache_tags: matches.get_flag(CACHE_TAGS),
            },
            "completions" => {
                let shell = matches.get_one::<Shell>(SHELL).expect("clap asks for it");
                Self::Print(completions(*shell))
            }
            "man" => Self::Print(manual(matches.get_one::<String>(PAGE).map(String::as_str))),
            _ => Self::Simulate(first(Role::Simulate, matches, environment, SimulateArgs::load)?),
        })
    }
}

/// Reads settings for the first time.
fn first<T>(
    role: Role,
    matches: &ArgMatches,
    environment: &Environment,
    read: fn(&mut SettingsLoader<'_>) -> T,
) -> Result<Loaded<T>, SettingsError> {
    let (flags, environment) = (flags(role, matches), environment.clone());
    let inputs = Inputs { role, file: matches.get_one(FILE_FLAG).cloned(), flags, environment };
    load(&inputs, None, read)
}
