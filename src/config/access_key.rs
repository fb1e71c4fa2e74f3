//! The gateway's own access key, under the official SDKs' names: from the environment, else from the
//! profile file. Parts of the two are never mixed into one pair.

use std::path::PathBuf;

use ini::{Ini, ParseOption, Properties};

use super::iam::{PROJECT_ID, default_project};
use super::project_id::project_id;
use super::settings::{SettingsLoader, one_line};
use crate::domain::Secret;

/// The access key, its secret, and what makes the pair a temporary one.
const VARIABLES: [&str; 3] =
    ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"];
/// The same in a profile file.
const KEYS: [&str; 3] = ["ak", "sk", "security_token"];
const PROFILE_FILE: &str = "HUAWEICLOUD_SDK_CREDENTIALS_FILE";
/// Below the home directory.
const DEFAULT_PROFILE: &str = ".huaweicloud/credentials";
/// The section of regional services.
const SECTION: &str = "basic";
/// The section that other sections take missing values from.
const DEFAULTS: &str = "DEFAULT";

/// What a reload calls the access key, which is no single setting.
pub(super) const ACCESS_KEY: &str = "access key";

/// An access key pair, permanent or temporary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// Access key id. Not a secret by itself, but kept out of logs and errors.
    pub access: Secret,
    /// Secret key.
    pub secret: Secret,
    /// Makes the pair temporary.
    pub security_token: Option<Secret>,
    /// Sent as `X-Project-Id` where set.
    pub project_id: Option<String>,
}

/// One part of the credentials: its name in its source, and the value if there is one.
struct Part {
    name: String,
    value: Option<Secret>,
}

/// The parts of one source.
struct Parts {
    source: String,
    /// In the order of [`KEYS`]; the last is missing from a permanent pair.
    pair: [Part; 3],
    project: Part,
}

impl AccessKey {
    /// Finds the access key. `None` after a refusal, if there is none or it is incomplete.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let is_in_environment = VARIABLES.iter().any(|name| loader.variable(name).is_some());
        let Parts { source, pair, project } = if is_in_environment {
            Parts::of_environment(loader)
        } else {
            Parts::of_profile(loader)?
        };
        check(loader, &pair);
        for (name, part) in ["access key", "secret key", "security token"].iter().zip(&pair) {
            if part.value.is_some() {
                loader.show(name, "(redacted)", &source);
            }
        }
        // A project in the environment wins, whichever source has the pair.
        let project_id = match loader.variable(PROJECT_ID) {
            Some(_) => default_project(loader),
            None => project.read_project(loader),
        };
        let exposed = pair.iter().map(|part| part.value.as_ref().map_or("", Secret::expose));
        let content: Vec<&str> = exposed.chain(project_id.as_deref()).collect();
        loader.note_content(ACCESS_KEY, content.join("\n"));
        let [access, secret, security_token] = pair.map(|part| part.value);
        Some(Self { access: access?, secret: secret?, security_token, project_id })
    }
}

impl Parts {
    fn of_environment(loader: &SettingsLoader<'_>) -> Self {
        let part = |name: &str| Part {
            name: name.to_owned(),
            value: loader.variable(name).map(Secret::new),
        };
        let source = "the environment".to_owned();
        Self { source, pair: VARIABLES.map(part), project: part(PROJECT_ID) }
    }

    /// Reads a profile file as Python's configparser does, which the official SDK uses. `None` after a refusal.
    fn of_profile(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let (path, text) = profile(loader).map_err(|problem| loader.add_problem(problem)).ok()?;
        // Secret keys are taken as they are: a backslash or a quote in one means itself.
        let options =
            ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
        let ini = match Ini::load_from_str_opt(&text, options) {
            Ok(ini) => ini,
            Err(error) => {
                let problem = format!("{path}:{} is not INI: must be key = value", error.line);
                loader.add_problem(problem);
                return None;
            }
        };
        let section = ini.section(Some(SECTION));
        let defaults = section.and_then(|_| ini.section(Some(DEFAULTS)));
        let part = |key: &str| {
            let value = section.and_then(|section| value_in(section, key));
            let value = value.or_else(|| value_in(defaults?, key));
            Part { name: format!("{key} in [{SECTION}] of {path}"), value: value.map(Secret::new) }
        };
        let pair = KEYS.map(part);
        // A security token alone counts too: it is an incomplete pair.
        if pair.iter().all(|part| part.value.is_none()) {
            loader.add_problem(missing(&format!("{path} has no [{SECTION}] ak and sk")));
            return None;
        }
        let source = format!("[{SECTION}] of {path}");
        Some(Self { source, pair, project: part("project_id") })
    }
}

impl Part {
    /// The value as a project's id. `None` if there is none, or after a refusal.
    fn read_project(self, loader: &mut SettingsLoader<'_>) -> Option<String> {
        let (name, value) = (self.name, self.value?);
        let shown = one_line(value.expose());
        match (project_id().read)(value.expose()) {
            Ok(project) => {
                loader.show("project id", &shown, &name);
                Some(project.as_str().to_owned())
            }
            Err(problem) => {
                loader.add_problem(format!("{name} is {shown}: {problem}"));
                None
            }
        }
    }
}

/// Refuses what is missing or could not be sent.
fn check(loader: &mut SettingsLoader<'_>, parts: &[Part; 3]) {
    let [access, secret, _] = parts;
    let given = parts.iter().filter(|part| part.value.is_some()).map(|part| part.name.as_str());
    let given = given.collect::<Vec<_>>().join(" and ");
    for missing in [access, secret].into_iter().filter(|part| part.value.is_none()) {
        loader.add_problem(format!("{} is not set: {given} needs it beside it", missing.name));
    }
    for Part { name, value } in parts {
        if value.as_ref().is_some_and(|value| !is_sendable(value.expose())) {
            loader.add_problem(format!(
                "{name} is (redacted): must be visible ASCII characters without blanks or commas"
            ));
        }
    }
}

/// The profile file: its path as it is shown, and its text.
fn profile(loader: &mut SettingsLoader<'_>) -> Result<(String, String), String> {
    let named = loader.variable(PROFILE_FILE).map(PathBuf::from);
    let home = loader.variable("HOME").or_else(|| loader.variable("USERPROFILE"));
    let default = home.map(|home| PathBuf::from(home).join(DEFAULT_PROFILE));
    let Some(path) = named.as_ref().or(default.as_ref()) else {
        return Err(missing("no home directory is known to look for a profile file in"));
    };
    let shown = one_line(&path.to_string_lossy());
    match loader.read_file(path) {
        Ok(text) => Ok((shown, text)),
        Err(problem) if named.is_some() => {
            Err(format!("{PROFILE_FILE} is {shown}: the file {problem}"))
        }
        Err(problem) => Err(missing(&format!("{shown} {problem}"))),
    }
}

/// The value of a key, which may be written in capitals.
fn value_in<'s>(section: &'s Properties, key: &str) -> Option<&'s str> {
    let mut values = section.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
    values.next().map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

/// Whether a text can be sent in the signature's header, which separates its parts with commas.
fn is_sendable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn missing(why: &str) -> String {
    let [access, secret, _] = VARIABLES;
    format!(
        "upstream.credentials is aksk, but there is no access key: set {access} and {secret}, or \
         write ak and sk into section [{SECTION}] of ~/{DEFAULT_PROFILE} or of the file that \
         {PROFILE_FILE} names ({why})"
    )
}
