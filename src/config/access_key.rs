//! The gateway's own access key, under the official SDKs' names: from the environment, else from the
//! profile file. Parts of the two are never mixed into one pair.

use std::path::PathBuf;

use ini::{Ini, ParseOption, Properties};

use super::iam::PROJECT_ID;
use super::settings::{RawValue, SettingsLoader, one_line};
use super::sources::Origin;
use crate::domain::{ProjectId, Secret};

const ACCESS: &str = "HUAWEICLOUD_SDK_AK";
const SECRET: &str = "HUAWEICLOUD_SDK_SK";
const SECURITY_TOKEN: &str = "HUAWEICLOUD_SDK_SECURITY_TOKEN";
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
    access: Part,
    secret: Part,
    security_token: Part,
    project_id: Part,
    source: String,
}

impl AccessKey {
    /// Finds the access key. `None` after a refusal, if there is none or it is incomplete.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let key = Self::find(loader)?;
        loader.note_content(ACCESS_KEY, key.content());
        Some(key)
    }

    fn find(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let environment = Parts::of_environment(loader)?;
        if environment.hold_any_of_the_pair() {
            return environment.into_key(loader);
        }
        let profile = Parts::of_profile(loader)?;
        profile.or_project_of(environment).into_key(loader)
    }

    /// All parts, to compare with those of another key.
    fn content(&self) -> RawValue {
        let parts = [Some(&self.access), Some(&self.secret), self.security_token.as_ref()];
        let exposed = parts.map(|part| part.map_or("", Secret::expose).to_owned());
        RawValue::List(exposed.into_iter().chain(self.project_id.clone()).collect())
    }
}

impl Parts {
    fn of_environment(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let [access, secret, security_token, project_id] =
            [ACCESS, SECRET, SECURITY_TOKEN, PROJECT_ID].map(|name| variable(loader, name));
        let source = "the environment".to_owned();
        Some(Self {
            access: access?,
            secret: secret?,
            security_token: security_token?,
            project_id: project_id?,
            source,
        })
    }

    fn of_profile(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let Some(profile) = Profile::find(loader) else {
            loader.add_problem(missing("no home directory is known to look for a profile file in"));
            return None;
        };
        let shown = one_line(&profile.path.to_string_lossy());
        let text = match loader.read_file(&profile.path) {
            Ok(text) => text,
            Err(problem) if profile.is_named => {
                loader.add_problem(format!("{PROFILE_FILE} is {shown}: the file {problem}"));
                return None;
            }
            Err(problem) => {
                loader.add_problem(missing(&format!("{shown} {problem}")));
                return None;
            }
        };
        match Self::of_ini(&text, &shown) {
            Ok(parts) if parts.hold_any_of_the_pair() => Some(parts),
            Ok(_) => {
                loader.add_problem(missing(&format!("{shown} has no [{SECTION}] ak and sk")));
                None
            }
            Err(line) => {
                loader.add_problem(format!("{shown}:{line} is not INI: must be key = value"));
                None
            }
        }
    }

    /// Reads a profile file as Python's configparser does, which the official SDK uses; the error is a line
    /// number.
    fn of_ini(text: &str, path: &str) -> Result<Self, usize> {
        // Secret keys are taken as they are: a backslash or a quote in one means itself.
        let options =
            ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
        let ini = Ini::load_from_str_opt(text, options).map_err(|error| error.line)?;
        let section = ini.section(Some(SECTION));
        let defaults = section.and_then(|_| ini.section(Some(DEFAULTS)));
        let part = |key: &str| {
            let value = section.and_then(|section| value_in(section, key));
            let value = value.or_else(|| value_in(defaults?, key));
            Part { name: format!("{key} in [{SECTION}] of {path}"), value: value.map(Secret::new) }
        };
        Ok(Self {
            access: part("ak"),
            secret: part("sk"),
            security_token: part("security_token"),
            project_id: part("project_id"),
            source: format!("[{SECTION}] of {path}"),
        })
    }

    /// A security token alone counts too: it is an incomplete pair.
    fn hold_any_of_the_pair(&self) -> bool {
        [&self.access, &self.secret, &self.security_token].iter().any(|part| part.value.is_some())
    }

    /// A project in the environment wins, whichever source has the pair.
    fn or_project_of(mut self, environment: Self) -> Self {
        if environment.project_id.value.is_some() {
            self.project_id = environment.project_id;
        }
        self
    }

    fn into_key(self, loader: &mut SettingsLoader<'_>) -> Option<AccessKey> {
        let are_readable = self.check(loader);
        let (Some(access), Some(secret)) = (self.access.value, self.secret.value) else {
            return None;
        };
        let origin = Origin::Derived(self.source);
        loader.show("access key", "(redacted)", origin.clone());
        loader.show("secret key", "(redacted)", origin.clone());
        if self.security_token.value.is_some() {
            loader.show("security token", "(redacted)", origin);
        }
        let project_id = self.project_id.value.map(|project| project.expose().to_owned());
        if let Some(project) = project_id.as_deref().filter(|_| are_readable) {
            loader.show("project id", project, Origin::Derived(self.project_id.name));
        }
        are_readable.then_some(AccessKey {
            access,
            secret,
            security_token: self.security_token.value,
            project_id,
        })
    }

    /// Refuses what is missing or could not be sent.
    fn check(&self, loader: &mut SettingsLoader<'_>) -> bool {
        let Self { access, secret, security_token, project_id, .. } = self;
        let mut lines = Vec::new();
        for missing in [access, secret].into_iter().filter(|part| part.value.is_none()) {
            let given = [access, secret, security_token].into_iter();
            let given: Vec<&str> =
                given.filter(|part| part.value.is_some()).map(|part| part.name.as_str()).collect();
            let given = given.join(" and ");
            lines.push(format!("{} is not set: {given} needs it beside it", missing.name));
        }
        for part in [access, secret, security_token] {
            if part.value.as_ref().is_some_and(|value| !is_sendable(value.expose())) {
                lines.push(format!(
                    "{} is (redacted): must be visible ASCII characters without blanks or commas",
                    part.name
                ));
            }
        }
        let project = project_id.value.as_ref().map(Secret::expose);
        if let Some(project) = project.filter(|project| ProjectId::parse(project).is_err()) {
            lines.push(format!(
                "{} is {}: must be a project id of 1 to 64 letters, digits, - and _",
                project_id.name,
                one_line(project)
            ));
        }
        let is_fine = lines.is_empty();
        for line in lines {
            loader.add_problem(line);
        }
        is_fine
    }
}

struct Profile {
    path: PathBuf,
    /// Whether the user named it. The default file may be missing.
    is_named: bool,
}

impl Profile {
    fn find(loader: &SettingsLoader<'_>) -> Option<Self> {
        if let Some(path) = loader.variable(PROFILE_FILE) {
            return Some(Self { path: PathBuf::from(path), is_named: true });
        }
        let home = loader.variable("HOME").or_else(|| loader.variable("USERPROFILE"))?;
        Some(Self { path: PathBuf::from(home).join(DEFAULT_PROFILE), is_named: false })
    }
}

/// The value of a key, which may be written in capitals.
fn value_in<'s>(section: &'s Properties, key: &str) -> Option<&'s str> {
    let mut values = section.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
    values.next().map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

/// Reads a variable. `None` after a refusal, if it is not text.
fn variable(loader: &mut SettingsLoader<'_>, name: &str) -> Option<Part> {
    let Ok(value) = loader.variable_text(name).transpose() else {
        loader.add_problem(format!("{name} is (redacted): must be UTF-8"));
        return None;
    };
    Some(Part { name: name.to_owned(), value: value.map(Secret::new) })
}

/// Whether a text can be sent in the signature's header, which separates its parts with commas.
fn is_sendable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn missing(why: &str) -> String {
    format!(
        "upstream.credentials is aksk, but there is no access key: set {ACCESS} and {SECRET}, or \
         write ak and sk into section [{SECTION}] of ~/{DEFAULT_PROFILE} or of the file that \
         {PROFILE_FILE} names ({why})"
    )
}
