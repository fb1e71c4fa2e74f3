//! The command line. The flags of a command are made from the declared settings.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, StringValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::all_settings;
use super::settings::{Arity, Role, SettingSpec};
use super::sources::{FILE_FLAG, FILE_VARIABLE, SourcedValue, Values};
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
the variable over the file, the file over the default. An empty variable counts as not set. \
docs/SETTINGS.md lists all settings, and the variables of the official SDKs (HUAWEICLOUD_SDK_AK and \
others) and of OpenTelemetry.";

/// The commands and their flags.
pub(super) fn command() -> Command {
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
    Command::new(env!("CARGO_PKG_NAME"))
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
    all_settings().iter().filter(move |setting| setting.is_for(role) && !setting.is_in_tables())
}

fn flag(setting: &'static SettingSpec, role: Role) -> Arg {
    let SettingSpec { key, meaning, unset, ref allowed, .. } = *setting;
    let variable = setting.variable();
    let default = setting.default_in(role).unwrap_or(unset);
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
        Arity::One => arg.value_parser(NonEmptyStringValueParser::new()),
        Arity::AtMostOne => arg
            .value_parser(StringValueParser::new())
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Arity::Many => arg.value_parser(StringValueParser::new()).action(ArgAction::Append),
    }
}

/// The values of a command's flags.
pub(super) fn flags(role: Role, matches: &ArgMatches) -> Values {
    let values = settings_of(role).filter_map(|setting| {
        // A repeated flag means the same as one with commas.
        let texts: Vec<&str> = matches.get_many(setting.key)?.map(String::as_str).collect();
        let (text, origin) = (texts.join(","), format!("--{}", setting.flag()));
        Some((setting.key.to_owned(), SourcedValue { setting: setting.key, text, origin }))
    });
    values.collect()
}
