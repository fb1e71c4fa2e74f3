//! Lays the sources over each other: flags, then the environment, then the file.
//!
//! The `config` crate reads the file and lays the sources; typed reading is ours, because that crate
//! stops at the first problem and a refusal has to list them all.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;

use config::{File, FileFormat, Map, Value, ValueKind};

use super::settings::{SETTINGS, Setting};

/// Flags by name, without their dashes.
pub type Flags = HashMap<String, String>;
/// The environment as it was handed in.
pub type Environment = HashMap<String, String>;

/// Why the settings cannot be used: every problem, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals(pub Vec<String>);

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(String),
    Environment(String),
    File(String),
}

/// A value as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// Every setting that was set, by key.
pub(crate) type Layered = BTreeMap<&'static str, Written>;

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these settings cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Refusals {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Environment(name) => f.write_str(name),
            Self::File(path) => f.write_str(path),
        }
    }
}

/// Takes in the process's environment; names and values that are not UTF-8 cannot be settings of
/// ours, and a variable of ours that is not readable shows up as an unusable value.
pub fn environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Environment {
    let readable = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    variables.into_iter().filter_map(readable).collect()
}

/// Lays flags over the environment over the file.
pub(crate) fn lay(
    flags: &Flags,
    environment: &Environment,
    file: Option<&str>,
    problems: &mut Refusals,
) -> Layered {
    let mut layered = Layered::new();
    if let Some(path) = file {
        lay_file(path, &mut layered, problems);
    }
    lay_environment(environment, &mut layered, problems);
    for setting in SETTINGS {
        if let Some(text) = flags.get(&setting.flag()) {
            let origin = Origin::Flag(setting.flag());
            layered.insert(setting.key, Written { text: text.clone(), origin });
        }
    }
    layered
}

fn lay_environment(environment: &Environment, layered: &mut Layered, problems: &mut Refusals) {
    let known: HashMap<String, &'static Setting> =
        SETTINGS.iter().map(|setting| (setting.environment(), setting)).collect();
    let mut ours: Vec<_> =
        environment.iter().filter(|(name, _)| name.starts_with("GATEWAY_")).collect();
    ours.sort();
    for (name, text) in ours {
        match known.get(name) {
            // An empty variable is how a shell or a container unsets one.
            Some(_) if text.is_empty() => {}
            Some(setting) => {
                let origin = Origin::Environment(name.clone());
                layered.insert(setting.key, Written { text: text.clone(), origin });
            }
            None if name == "GATEWAY_CONFIG" || is_of_kubernetes(name) => {}
            None => {
                let nearest = nearest(name, known.keys().map(String::as_str));
                problems.0.push(format!("{name} is no setting: did you mean {nearest}?"));
            }
        }
    }
}

/// Kubernetes tells every container of a service named `gateway` its address in such variables.
fn is_of_kubernetes(name: &str) -> bool {
    name == "GATEWAY_PORT"
        || name.starts_with("GATEWAY_PORT_")
        || name.starts_with("GATEWAY_SERVICE_")
}

fn lay_file(path: &str, layered: &mut Layered, problems: &mut Refusals) {
    let source = File::new(path, FileFormat::Toml).required(true);
    let read = config::Config::builder().add_source(source).build();
    let table = match read.and_then(config::Config::try_deserialize::<Map<String, Value>>) {
        Ok(table) => table,
        Err(error) => {
            problems.0.push(format!("the settings file {path} cannot be read: {error}"));
            return;
        }
    };
    let mut flat = Vec::new();
    flatten("", table, &mut flat);
    flat.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (key, value) in flat {
        let Some(setting) = Setting::by_key(&key) else {
            let nearest = nearest(&key, SETTINGS.iter().map(|setting| setting.key));
            problems.0.push(format!("{key} ({path}) is no setting: did you mean {nearest}?"));
            continue;
        };
        let origin = Origin::File(path.to_owned());
        layered.insert(setting.key, Written { text: value, origin });
    }
}

/// Tables become `section.name`, lists become texts with commas.
fn flatten(prefix: &str, table: Map<String, Value>, flat: &mut Vec<(String, String)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(table) => flatten(&key, table, flat),
            ValueKind::Array(items) => {
                let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
                flat.push((key, items.join(",")));
            }
            kind => flat.push((key, kind.to_string())),
        }
    }
}

/// The known name that differs least.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> &'n str {
    known
        .max_by_key(|known| (similarity(name, known), std::cmp::Reverse(known.len())))
        .unwrap_or("")
}

/// How many pairs of neighbouring letters two names share.
fn similarity(one: &str, other: &str) -> usize {
    let pairs = |text: &str| -> Vec<(u8, u8)> {
        let bytes = text.to_ascii_lowercase().into_bytes();
        bytes.iter().copied().zip(bytes.iter().copied().skip(1)).collect()
    };
    let other = pairs(other);
    pairs(one).into_iter().filter(|pair| other.contains(pair)).count()
}
