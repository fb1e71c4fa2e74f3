//! The command line. The flags of a command are made from the declared settings.

use std::path::PathBuf;

use clap::builder::{
    EnumValueParser, NonEmptyStringValueParser, PathBufValueParser, PossibleValuesParser,
    StringValueParser,
};
use clap::{Arg, ArgAction, ArgMatches, Command};
use clap_complete::Shell;

use super::all_settings;
use super::settings::{Arity, Role, SettingSpec};
use super::sources::{FILE_FLAG, FILE_VARIABLE, Flags};
use crate::version::version;

/// The commands that have a manual page.
pub(super) const COMMANDS: [&str; 7] =
    ["demo", "serve", "simulate", "schema", "check", "completions", "man"];
pub(super) const FEDERATION: &str = "federation";
pub(super) const CACHE_TAGS: &str = "cache-tags";
pub(super) const SHELL: &str = "shell";
pub(super) const PAGE: &str = "page";

const ORDER: &str = "\
Every setting is also a variable and a key of the settings file. A flag wins over the variable, \
the variable over the file, the file over the default. An empty variable counts as not set.";
const MORE_VARIABLES: &str = "\n\n\
The official SDKs' own variables (HUAWEICLOUD_SDK_AK and others) are read too. Traces are on where \
OTEL_EXPORTER_OTLP_ENDPOINT names a receiver. docs/SETTINGS.md lists these variables.";

/// The commands and their flags.
pub(super) fn command() -> Command {
    let with_settings = |name: &'static str, role: Role, about: &'static str| {
        Command::new(name).about(about).args(flags_of(role)).after_help(after_help(role))
    };
    let federation = Arg::new(FEDERATION)
        .long(FEDERATION)
        .action(ArgAction::SetTrue)
        .help("Print the schema of the federation subgraph");
    let cache_tags = Arg::new(CACHE_TAGS)
        .long(CACHE_TAGS)
        .action(ArgAction::SetTrue)
        .requires(FEDERATION)
        .help("Add @cacheTag, which only Apollo's composition knows");
    let schema =
        Command::new("schema").about("Print the GraphQL schema").args([federation, cache_tags]);
    Command::new(env!("CARGO_PKG_NAME"))
        .version(version())
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(
            "demo",
            Role::Demo,
            "Run the gateway and a simulated upstream on this machine: needs nothing else",
        ))
        .subcommand(with_settings(
            "serve",
            Role::Serve,
            "Run the gateway against a configured upstream",
        ))
        .subcommand(with_settings("simulate", Role::Simulate, "Run only the simulated upstream"))
        .subcommand(schema)
        .subcommand(with_settings(
            "check",
            Role::Serve,
            "Check the settings and credentials, and send one request upstream",
        ))
        .subcommand(completions())
        .subcommand(man())
}

fn completions() -> Command {
    let shell = Arg::new(SHELL)
        .value_name("SHELL")
        .required(true)
        .value_parser(EnumValueParser::<Shell>::new())
        .help("The shell to make it for");
    Command::new("completions").about("Print the completion script for a shell").arg(shell)
}

fn man() -> Command {
    let page = Arg::new(PAGE)
        .value_name("COMMAND")
        .value_parser(PossibleValuesParser::new(COMMANDS))
        .help("The command that the page is about; without it, the page of the whole program");
    Command::new("man").about("Print a manual page").arg(page)
}

fn after_help(role: Role) -> String {
    let more = match role {
        Role::Serve | Role::Demo => MORE_VARIABLES,
        Role::Simulate => "",
    };
    format!("{ORDER}{more}")
}

fn settings_of(role: Role) -> impl Iterator<Item = &'static SettingSpec> {
    all_settings().iter().filter(move |setting| setting.is_for(role))
}

fn flags_of(role: Role) -> impl Iterator<Item = Arg> {
    let file = Arg::new(FILE_FLAG)
        .long(FILE_FLAG)
        .value_name("FILE")
        .value_parser(PathBufValueParser::new())
        .help(format!("Settings file, TOML [{FILE_VARIABLE}]"));
    [file].into_iter().chain(settings_of(role).map(move |setting| flag(setting, role)))
}

fn flag(setting: &'static SettingSpec, role: Role) -> Arg {
    let SettingSpec { key, meaning, unset, .. } = *setting;
    let variable = setting.variable();
    let default = setting.default_in(role).unwrap_or(unset);
    let about = format!("{meaning} [{variable}] [default: {default}]");
    let about_at_length = format!(
        "{meaning}\n\nAllowed: {}\nEnvironment: {variable}\nFile: {key}\nDefault: {default}",
        setting.allowed,
    );
    let arg = Arg::new(key)
        .long(setting.flag())
        .value_name(setting.placeholder)
        .help(about)
        .long_help(about_at_length);
    let arg = match key.split_once('.') {
        Some((section, _)) => arg.help_heading(format!("Settings of {section}")),
        None => arg,
    };
    match setting.arity {
        Arity::One => arg.value_parser(NonEmptyStringValueParser::new()),
        Arity::AtMostOne => arg
            .value_parser(StringValueParser::new())
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Arity::Many => arg.value_parser(StringValueParser::new()).action(ArgAction::Append),
    }
}

pub(super) fn flags(role: Role, matches: &ArgMatches) -> Flags {
    let values = settings_of(role).filter_map(|setting| {
        // A repeated flag means the same as one with commas.
        let values = matches.get_many::<String>(setting.key)?;
        let values: Vec<&str> = values.map(String::as_str).collect();
        Some((setting.key, values.join(",")))
    });
    Flags { file: matches.get_one::<PathBuf>(FILE_FLAG).cloned(), values: values.collect() }
}
