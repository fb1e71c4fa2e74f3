//! The sources of settings and their order: flag, environment, file. What none of them knows is
//! found here too: unknown variables and unknown keys.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use super::file::{self, FileValue};
use super::form::{Raw, one_line};
use super::setting::{Row, rows};
use super::surroundings::{NotUnicode, Surroundings};

/// Names the settings file in the environment.
pub(super) const FILE_VARIABLE: &str = "GATEWAY_CONFIG";
/// Names the settings file on the command line.
pub(super) const FILE_FLAG: &str = "config";
/// What all variables of the gateway begin with.
const PREFIX: &str = "GATEWAY_";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line, by this flag.
    Flag(String),
    /// The environment, by this variable.
    Environment(String),
    /// The settings file.
    File {
        /// Path as it was given.
        path: String,
        /// Line, from 1.
        line: usize,
    },
    /// Nothing was set.
    Default,
    /// Something else, which this names.
    Derived(String),
}

/// What the command line gave.
#[derive(Clone, Default)]
pub(super) struct Flags {
    pub(super) file: Option<PathBuf>,
    pub(super) values: BTreeMap<&'static str, Raw>,
}

/// All sources, read but not checked.
pub(super) struct Sources<'a> {
    flags: BTreeMap<&'static str, Raw>,
    file: SettingsFile,
    pub(super) surroundings: &'a Surroundings,
}

#[derive(Default)]
struct SettingsFile {
    path: String,
    values: BTreeMap<String, FileValue>,
    is_broken: bool,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Environment(name) | Self::Derived(name) => f.write_str(name),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl<'a> Sources<'a> {
    /// Reads the sources; what is wrong with them as such goes to `refusals`.
    pub(super) fn gather(
        flags: Flags,
        surroundings: &'a Surroundings,
        refusals: &mut Vec<String>,
    ) -> Self {
        let file = SettingsFile::read(flags.file, surroundings, refusals);
        let sources = Self { flags: flags.values, file, surroundings };
        sources.refuse_unknown(refusals);
        sources
    }

    /// Whether a source could not be read, so that what is missing may be in there.
    pub(super) fn are_incomplete(&self) -> bool {
        self.file.is_broken
    }

    /// What the first source that knows the setting gives.
    pub(super) fn find(&self, row: &dyn Row) -> Option<(Raw, Origin)> {
        if let Some(raw) = self.flags.get(row.key()) {
            return Some((raw.clone(), Origin::Flag(row.flag())));
        }
        if let Some(text) = self.surroundings.text(&row.environment()) {
            let raw = match text {
                Ok(text) => Raw::Text(text.to_owned()),
                Err(NotUnicode) => Raw::Unusable("not UTF-8"),
            };
            return Some((raw, Origin::Environment(row.environment())));
        }
        let FileValue { raw, line } = self.file.values.get(row.key())?;
        Some((raw.clone(), Origin::File { path: self.file.path.clone(), line: *line }))
    }

    fn refuse_unknown(&self, refusals: &mut Vec<String>) {
        let variables: Vec<String> =
            rows().map(Row::environment).chain([FILE_VARIABLE.to_owned()]).collect();
        for (name, value) in self.surroundings.variables() {
            let name = name.to_string_lossy();
            let is_known = variables.iter().any(|variable| *variable == name);
            if name.starts_with(PREFIX) && !is_known && !is_service_link(&name, value) {
                let known = variables.iter().map(String::as_str);
                refusals.push(unknown(&one_line(&name), &name, known));
            }
        }
        for (key, value) in &self.file.values {
            if !rows().any(|row| row.key() == key) {
                let shown = format!("{} ({}:{})", one_line(key), self.file.path, value.line);
                refusals.push(unknown(&shown, key, rows().map(Row::key)));
            }
        }
    }
}

impl SettingsFile {
    fn read(
        flag: Option<PathBuf>,
        surroundings: &Surroundings,
        refusals: &mut Vec<String>,
    ) -> Self {
        let (path, origin) = match (flag, surroundings.variable(FILE_VARIABLE)) {
            (Some(path), _) => (path, format!("--{FILE_FLAG}")),
            (None, Some(path)) => (PathBuf::from(path), FILE_VARIABLE.to_owned()),
            (None, None) => return Self::default(),
        };
        let shown = one_line(&path.to_string_lossy());
        let broken = Self { is_broken: true, ..Self::default() };
        let text = match surroundings.file(&path) {
            Ok(text) => text,
            Err(problem) => {
                refusals.push(format!("the settings file {shown} ({origin}) {problem}"));
                return broken;
            }
        };
        match file::read(&text) {
            Ok(values) => Self { path: shown, values, is_broken: false },
            Err(errors) => {
                let line = |error: &file::SyntaxError| {
                    format!("{shown}:{} is not TOML: {}", error.line, error.problem)
                };
                refusals.extend(errors.iter().map(line));
                broken
            }
        }
    }
}

fn unknown<'n>(shown: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("{shown} is not a setting: did you mean {nearest}?"),
        None => format!("{shown} is not a setting: docs/SETTINGS.md and --help list them"),
    }
}

/// The known name that a wrong one was most likely meant to be.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const LONGEST: usize = 100;
    if name.len() > LONGEST {
        return None;
    }
    let distances = known.map(|known| (strsim::osa_distance(name, known), known));
    let (distance, nearest) = distances.min()?;
    (distance <= 1 + name.len() / 6).then_some(nearest)
}

/// Whether this is one of the variables that Kubernetes and Docker links set for a service whose
/// name begins with `gateway`: it is then nobody's mistake.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_address = value.to_str().is_some_and(|value| {
        ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
    });
    let port = name.rsplit_once("_PORT_").map(|(_, rest)| rest);
    let is_port_detail = port.is_some_and(|rest| {
        rest.split_once('_').is_some_and(|(port, rest)| {
            port.parse::<u16>().is_ok()
                && ["TCP", "UDP", "SCTP"].iter().any(|protocol| rest.starts_with(protocol))
        })
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || is_port_detail
        || (name.ends_with("_PORT") && is_address)
}
