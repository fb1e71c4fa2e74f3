//! The command line: from arguments, environment and settings file to one command with checked settings.
//!
//! The flags of a command are made from the declared settings, and from them shell completions and manual pages.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::inputs::{Environment, Inputs, SourcedValue, Values};
use super::settings::{Arity, Loaded, Role, SettingSpec, SettingsError, SettingsLoader};
use super::sources::{FILE_FLAG, FILE_VARIABLE};
use super::{ALL_SETTINGS, Config, SimulateArgs};
use crate::version::version;

const NAME: &str = env!("CARGO_PKG_NAME");
/// The commands that have a manual page.
const COMMANDS: [&str; 7] = ["demo", "serve", "simulate", "schema", "check", "completions", "man"];
const FEDERATION: &str = "federation";
const CACHE_TAGS: &str = "cache-tags";
const SHELL: &str = "shell";
const PAGE: &str = "page";

const ORDER: &str = "\
Every setting is also a variable and a key of the settings file. A flag wins over the variable, \
the variable over the file, the file over the default. An empty variable counts as not set. \
docs/SETTINGS.md lists all settings, and the variables of the official SDKs (HUAWEICLOUD_SDK_AK and \
others) and of OpenTelemetry.";

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
    SettingsLoader::load(&inputs, &ALL_SETTINGS, None, read)
}

/// The commands and their flags.
fn command() -> Command {
    let [demo, serve, simulate, schema, check, completions, man] = COMMANDS.map(Command::new);
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let federation = switch(FEDERATION).help("Print the schema of the federation subgraph");
    let cache_tags = switch(CACHE_TAGS)
        .requires(FEDERATION)
        .help("Add @cacheTag, which only Apollo's composition knows");
    let shell = Arg::new(SHELL)
        .value_name("SHELL")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("The shell to make it for");
    let page = Arg::new(PAGE)
        .value_name("COMMAND")
        .value_parser(COMMANDS)
        .help("The command that the page is about; without it, the page of the whole program");
    Command::new(NAME)
        .version(version())
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            with_settings(demo, Role::Demo).about(
                "Run the gateway and a simulated upstream on this machine: needs nothing else",
            ),
            with_settings(serve, Role::Serve)
                .about("Run the gateway against a configured upstream"),
            with_settings(simulate, Role::Simulate).about("Run only the simulated upstream"),
            schema.about("Print the GraphQL schema").args([federation, cache_tags]),
            with_settings(check, Role::Serve)
                .about("Check the settings and credentials, and send one request upstream"),
            completions.about("Print the completion script for a shell").arg(shell),
            man.about("Print a manual page").arg(page),
        ])
}

fn with_settings(command: Command, role: Role) -> Command {
    let file = Arg::new(FILE_FLAG)
        .long(FILE_FLAG)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(format!("Settings file, TOML [{FILE_VARIABLE}]"));
    let flags = settings_of(role).map(|setting| flag(setting, role));
    command.arg(file).args(flags).after_help(ORDER)
}

fn settings_of(role: Role) -> impl Iterator<Item = &'static SettingSpec> {
    ALL_SETTINGS.iter().filter(move |setting| setting.is_flag_of(role))
}

fn flag(setting: &'static SettingSpec, role: Role) -> Arg {
    let SettingSpec { key, meaning, ref allowed, .. } = *setting;
    let (variable, default) = (setting.variable(), setting.shown_default(role));
    let arg = Arg::new(key)
        .long(setting.flag())
        .value_name(setting.placeholder)
        .help(format!("{meaning} [{variable}] [default: {default}]"))
        .long_help(format!(
            "{meaning}\n\nAllowed: {allowed}\nEnvironment: {variable}\nFile: {key}\n\
             Default: {default}"
        ));
    let arg = match key.split_once('.') {
        Some((section, _)) => arg.help_heading(format!("Settings of {section}")),
        None => arg,
    };
    match setting.arity {
        Arity::One => arg,
        Arity::AtMostOne => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Arity::Many => arg.action(ArgAction::Append),
    }
}

/// The values of a command's flags.
fn flags(role: Role, matches: &ArgMatches) -> Values {
    let values = settings_of(role).filter_map(|setting| {
        // A repeated flag means the same as one with commas.
        let texts: Vec<&str> = matches.get_many(setting.key)?.map(String::as_str).collect();
        let (text, origin) = (texts.join(","), format!("--{}", setting.flag()));
        Some((setting.key.to_owned(), SourcedValue { setting: setting.key, text, origin }))
    });
    values.collect()
}

/// The completion script for a shell.
fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut command(), NAME, &mut script);
    // clap_complete 4.6 spells the name of a program with dashes in two ways for bash, so that the
    // script never finds its own states.
    let other_spelling = NAME.replace('-', "__subcmd__");
    String::from_utf8_lossy(&script).replace(&other_spelling, &NAME.replace('-', "__"))
}

/// The manual page of one command, or that of the whole program.
fn manual(name: Option<&str>) -> String {
    let mut whole = command().disable_help_subcommand(true);
    // Gives each command its full name, which is the name of its page.
    whole.build();
    let one = name.and_then(|name| whole.find_subcommand(name)).cloned();
    let mut page = Vec::new();
    Man::new(one.unwrap_or(whole))
        // An empty date would be left out, and the next field would take its place.
        .date("\"\"")
        .source(format!("{NAME} {}", version()))
        .manual("User Commands")
        .render(&mut page)
        .expect("writing to memory cannot fail");
    String::from_utf8_lossy(&page).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_manual_page_under_its_full_name() {
        for name in COMMANDS {
            let page = manual(Some(name));

            assert!(page.contains(&format!(".TH screen-record-gateway-{name} 1 ")), "{page}");
        }
    }
}
