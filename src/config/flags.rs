//! The command line: commands written out here, the flags of their settings made from the table.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::builder::{
    EnumValueParser, NonEmptyStringValueParser, PathBufValueParser, PossibleValuesParser,
    StringValueParser,
};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};
use clap_complete::Shell;

use super::credentials;
use super::form::{Raw, Shape};
use super::setting::{Role, Row, rows_of};
use super::source::{FILE_FLAG, FILE_VARIABLE, Flags};
use super::traces;
use crate::version::version;

/// The commands that have a manual page.
pub(super) const COMMANDS: [&str; 7] =
    ["demo", "serve", "simulate", "schema", "check", "completions", "man"];
const FEDERATION: &str = "federation";
const SHELL: &str = "shell";
const PAGE: &str = "page";

const ORDER: &str = "\
Every setting is also a variable and a key of the settings file. A flag wins over the variable, \
the variable over the file, the file over the default. An empty variable counts as not set.";

/// What the command line asks for, its settings not yet read.
pub(super) enum Asked {
    Demo(Flags),
    Serve(Flags),
    Check(Flags),
    Simulate(Flags),
    Schema { federation: bool },
    Completions(Shell),
    Manual(Option<String>),
}

/// Reads the command line.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Asked, clap::Error> {
    let matches = command().try_get_matches_from(args)?;
    Ok(match matches.subcommand() {
        Some(("demo", matches)) => Asked::Demo(flags(Role::Demo, matches)),
        Some(("serve", matches)) => Asked::Serve(flags(Role::Serve, matches)),
        Some(("check", matches)) => Asked::Check(flags(Role::Serve, matches)),
        Some(("simulate", matches)) => Asked::Simulate(flags(Role::Simulate, matches)),
        Some(("schema", matches)) => Asked::Schema { federation: matches.get_flag(FEDERATION) },
        Some(("completions", matches)) => {
            let shell = matches.get_one::<Shell>(SHELL).expect("clap asks for it");
            Asked::Completions(*shell)
        }
        Some(("man", matches)) => Asked::Manual(matches.get_one::<String>(PAGE).cloned()),
        Some(_) | None => return Err(command().error(ErrorKind::MissingSubcommand, "no command")),
    })
}

/// The commands and their flags.
pub(super) fn command() -> Command {
    let with_settings = |name: &'static str, role: Role, about: &'static str| {
        Command::new(name).about(about).args(settings(role)).after_help(after_help(role))
    };
    let federation = Arg::new(FEDERATION)
        .long(FEDERATION)
        .action(ArgAction::SetTrue)
        .help("Print the schema of the federation subgraph");
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
        .subcommand(Command::new("schema").about("Print the GraphQL schema").arg(federation))
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
    let mut help = ORDER.to_owned();
    if role == Role::Serve {
        help.push_str("\n\nThe official SDKs' own variables are read too:\n");
        for (name, meaning) in credentials::VARIABLES {
            let _ = writeln!(help, "  {name}: {meaning}");
        }
    }
    if role != Role::Simulate {
        help.push_str("\n\nTraces are on where OpenTelemetry's own variables name a receiver:\n");
        for (name, meaning) in traces::VARIABLES {
            let _ = writeln!(help, "  {name}: {meaning}");
        }
    }
    help
}

fn settings(role: Role) -> impl Iterator<Item = Arg> {
    let file = Arg::new(FILE_FLAG)
        .long(FILE_FLAG)
        .value_name("FILE")
        .value_parser(PathBufValueParser::new())
        .help(format!("Settings file, TOML [{FILE_VARIABLE}]"));
    [file].into_iter().chain(rows_of(role).map(move |row| flag(row, role)))
}

fn flag(row: &'static dyn Row, role: Role) -> Arg {
    let default = row.default_in(role).unwrap_or(row.unset());
    let about = format!("{} [{}] [default: {default}]", row.meaning(), row.environment());
    let about_at_length = format!(
        "{}\n\nAllowed: {}\nEnvironment: {}\nFile: {}\nDefault: {default}",
        row.meaning(),
        row.allowed(),
        row.environment(),
        row.key(),
    );
    let arg = Arg::new(row.key())
        .long(row.flag())
        .value_name(row.placeholder())
        .help(about)
        .long_help(about_at_length);
    let arg = match row.section() {
        "" => arg,
        section => arg.help_heading(format!("Settings of {section}")),
    };
    match row.shape() {
        Shape::One => arg.value_parser(NonEmptyStringValueParser::new()),
        Shape::Switch => arg
            .value_parser(StringValueParser::new())
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Shape::Many => arg.value_parser(StringValueParser::new()).action(ArgAction::Append),
    }
}

fn flags(role: Role, matches: &ArgMatches) -> Flags {
    let values = rows_of(role).filter_map(|row| {
        // Flags that stand several times mean the same as one with commas.
        let given: Vec<&str> = matches.get_many::<String>(row.key())?.map(String::as_str).collect();
        Some((row.key(), Raw::Text(given.join(","))))
    });
    Flags { file: matches.get_one::<PathBuf>(FILE_FLAG).cloned(), values: values.collect() }
}
