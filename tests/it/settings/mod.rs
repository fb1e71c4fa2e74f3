//! Settings as a whole: what the sources give, what is refused, and what is shown.
#![expect(clippy::panic, reason = "a test ends where settings are not what it needs")]

mod access_key;
mod contradictions;
mod projects;
mod refusals;
mod reload;
mod secrets;
mod sources;
mod traces;
mod tls;

use std::ffi::OsString;
use std::io;
use std::path::Path;

use screen_record_gateway::config::{
    Config, CredentialsMode, Environment, Invocation, Loaded, SettingsError, SimulateArgs,
    UsageError,
};

/// The variable that `serve` needs.
const ENDPOINT: (&str, &str) = ("GATEWAY_UPSTREAM__ENDPOINT", "http://127.0.0.1:8090");
/// Everything that `upstream.credentials=password` needs, without an address of the upstream.
const LOGIN: [(&str, &str); 5] = [
    ("GATEWAY_UPSTREAM__CREDENTIALS", "password"),
    ("GATEWAY_UPSTREAM__REGION", "eu-west-101"),
    ("GATEWAY_IAM__USER", "user"),
    ("GATEWAY_IAM__PASSWORD", "canary"),
    ("GATEWAY_IAM__DOMAIN", "account"),
];

/// A command line, an environment and files, to be parsed.
#[derive(Clone, Default)]
struct Given {
    args: Vec<String>,
    environment: Vec<(OsString, OsString)>,
    files: Vec<(String, String)>,
}

fn given(args: &[&str]) -> Given {
    let args = ["screen-record-gateway"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    Given { args, ..Given::default() }
}

/// `serve` against some upstream.
fn serve() -> Given {
    given(&["serve"]).variables(&[ENDPOINT])
}

/// The lines that `check` shows of settings.
fn shown<T>(loaded: &Loaded<T>) -> Vec<String> {
    loaded.shown.iter().map(ToString::to_string).collect()
}

/// A row of docs/SETTINGS.md, which is made from the declared settings.
#[derive(Clone, Debug)]
struct Row {
    key: String,
    flag: String,
    variable: String,
    default: String,
    is_reloadable: bool,
    allowed: String,
}

/// The settings of `serve`, or those that only `simulate` has.
fn documented(command: &str) -> Vec<Row> {
    const PAGE: &str = include_str!("../../../docs/SETTINGS.md");
    let title = format!("## `{command}`");
    let section = PAGE.split("\n\n").skip_while(|part| !part.starts_with(&title)).nth(1).unwrap();
    let row = |line: &str| {
        let line = line.replace("\\|", "\u{0}");
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect();
        let plain = |at: usize| cells[at].trim_matches('`').to_owned();
        Row {
            key: plain(1),
            flag: plain(2),
            variable: plain(3),
            default: plain(4).split('`').next().unwrap().to_owned(),
            is_reloadable: cells[5] == "yes",
            allowed: cells[7].clone(),
        }
    };
    let rows: Vec<Row> = section.lines().skip(2).map(row).collect();
    assert!(rows.len() > 5, "{command} has {} settings", rows.len());
    rows
}

impl Given {
    fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        self.environment.extend(variables);
        self
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    /// A settings file that the environment names.
    fn settings_file(self, text: &str) -> Self {
        self.file("gateway.toml", text).variables(&[("GATEWAY_CONFIG", "gateway.toml")])
    }

    fn parse(self) -> Result<Invocation, UsageError> {
        let files = self.files;
        let read_file = move |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| text.clone().into_bytes())
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let environment = Environment::new(self.environment, read_file);
        Invocation::parse(self.args.into_iter().map(OsString::from), &environment)
    }

    fn loaded(self) -> Loaded<Config> {
        match self.parse() {
            Ok(Invocation::Serve(loaded) | Invocation::Check(loaded)) => loaded,
            other => panic!("expected settings to serve with, got {other:#?}"),
        }
    }

    fn config(self) -> Config {
        self.loaded().settings
    }

    fn demo(self) -> Config {
        match self.parse() {
            Ok(Invocation::Demo(loaded)) => loaded.settings,
            other => panic!("expected a demo, got {other:#?}"),
        }
    }

    fn simulate(self) -> SimulateArgs {
        match self.parse() {
            Ok(Invocation::Simulate(loaded)) => loaded.settings,
            other => panic!("expected a simulator, got {other:#?}"),
        }
    }

    /// What is wrong with the settings.
    fn refusals(self) -> Vec<String> {
        match self.parse() {
            Ok(_) => Vec::new(),
            Err(UsageError::Settings(error)) => error.problems.clone(),
            Err(UsageError::Arguments(error)) => panic!("expected a refusal, got {error}"),
        }
    }

    /// Asserts that there are as many refusals as `starts`, that each begins as it should, and that none
    /// shows a canary.
    #[track_caller]
    fn assert_refused(self, starts: &[&str]) {
        let refusals = self.refusals();
        let are_as_expected = refusals.len() == starts.len()
            && refusals.iter().zip(starts).all(|(refusal, start)| refusal.starts_with(start));
        assert!(are_as_expected, "expected {starts:#?}, got {refusals:#?}");
        assert!(!refusals.concat().contains("canary"), "{refusals:#?}");
    }

    /// The error of wrong arguments.
    fn complaint(self) -> clap::Error {
        match self.parse() {
            Err(UsageError::Arguments(error)) => error,
            other => panic!("expected a complaint about the arguments, got {other:#?}"),
        }
    }
}
