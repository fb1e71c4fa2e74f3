//! The gateway's own access key, under the official SDKs' names: from the environment, else from the
//! profile file. Parts of the two are never mixed into one pair.

use std::path::PathBuf;

use ini::{Ini, ParseOption, Properties};

use super::iam::{PROJECT_ID, default_project};
use super::settings::{Setting, SettingsLoader, one_line, project_id};
use crate::domain::Secret;

/// The access key, its secret, what makes the pair a temporary one, and the project that it is for.
const VARIABLES: [&str; 4] =
    ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN", PROJECT_ID];
/// The same in a profile file.
const KEYS: [&str; 4] = ["ak", "sk", "security_token", "project_id"];
const PROFILE_FILE: &str = "HUAWEICLOUD_SDK_CREDENTIALS_FILE";
/// Below the home directory.
const DEFAULT_PROFILE: &str = ".huaweicloud/credentials";
/// The section of regional services.
const SECTION: &str = "basic";
/// The section that other sections take missing values from.
const DEFAULTS: &str = "DEFAULT";

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

impl AccessKey {
    /// Finds the access key. `None` after a refusal.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let part = |name: &str| Part {
            name: name.to_owned(),
            value: loader.variable(name).map(Secret::new),
        };
        let of_environment = VARIABLES.map(part);
        let parts = if has_key(&of_environment) { of_environment } else { of_profile(loader)? };
        let [access, secret, token, project] = parts;
        let mut read = |name, part: &Part| {
            let text = part.value.as_ref()?.expose();
            loader.read_text(&key_part().with_key(name), text, &part.name)
        };
        let key = read("access key", &access);
        let secret_key = read("secret key", &secret);
        let security_token = read("security token", &token);
        for missing in [&access, &secret].into_iter().filter(|part| part.value.is_none()) {
            let problem = format!("{} is not set: every access key has one", missing.name);
            loader.sources.problems.push(problem);
        }
        // A project in the environment wins, whichever source has the pair.
        let project = match (loader.variable(PROJECT_ID), &project.value) {
            (None, Some(id)) => {
                let setting = project_id().with_key("project_id");
                loader.read_text(&setting, id.expose(), &project.name)
            }
            _ => default_project(loader),
        };
        Some(Self {
            access: key?,
            secret: secret_key?,
            security_token,
            project_id: project.map(|project| project.as_str().to_owned()),
        })
    }
}

/// Whether there is a key. A security token alone counts too: it is an incomplete pair.
fn has_key([access, secret, token, _]: &[Part; 4]) -> bool {
    [access, secret, token].iter().any(|part| part.value.is_some())
}

/// Reads a profile file as Python's configparser does, which the official SDK uses. `None` after a refusal.
fn of_profile(loader: &mut SettingsLoader<'_>) -> Option<[Part; 4]> {
    let parsed = profile(loader).and_then(|(path, text)| {
        // Secret keys are taken as they are: a backslash or a quote in one means itself.
        let options =
            ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
        let ini = Ini::load_from_str_opt(&text, options)
            .map_err(|error| format!("{path}:{} is not INI: must be key = value", error.line))?;
        let section = ini.section(Some(SECTION));
        let defaults = section.and_then(|_| ini.section(Some(DEFAULTS)));
        let parts = KEYS.map(|key| {
            let value = section.and_then(|section| value_in(section, key));
            let value = value.or_else(|| value_in(defaults?, key));
            Part { name: format!("{key} in [{SECTION}] of {path}"), value: value.map(Secret::new) }
        });
        let problem = || missing(&format!("{path} has no [{SECTION}] ak and sk"));
        if has_key(&parts) { Ok(parts) } else { Err(problem()) }
    });
    parsed.map_err(|problem| loader.sources.problems.push(problem)).ok()
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

/// The signature's header separates its parts with commas.
fn key_part() -> Setting<Secret> {
    let allowed = "visible ASCII characters without blanks or commas";
    let is_sendable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    Setting::new("KEY", allowed, move |text| is_sendable(text).then(|| Secret::new(text))).secret()
}

fn missing(why: &str) -> String {
    let [access, secret, ..] = VARIABLES;
    format!(
        "upstream.credentials is aksk, but there is no access key: set {access} and {secret}, or \
         write ak and sk into section [{SECTION}] of ~/{DEFAULT_PROFILE} or of the file that \
         {PROFILE_FILE} names ({why})"
    )
}
