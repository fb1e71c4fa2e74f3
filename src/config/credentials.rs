//! As whom the upstream is called: `upstream.credentials`, `iam.*`, and the gateway's own access key.
//!
//! The access key has the names of the official SDKs: from the environment, else from the profile file. Parts of
//! the two are never mixed into one pair.

use std::path::{Path, PathBuf};

use ini::{Ini, ParseOption, Properties};
use url::Url;

use super::settings::{
    SERVE, Setting, SettingsLoader, base_address, is_one_line, one_line, one_of, path, project_id,
    secret, settings, text, web_address,
};
use crate::domain::{ProjectId, Secret};

/// The project of requests for projects that no table `[projects.<id>]` names: sent as `X-Project-Id` with a
/// signature, and the project that the token of a login is for.
const PROJECT_ID: &str = "HUAWEICLOUD_SDK_PROJECT_ID";
/// The address of IAM in place of the region's public one.
const IAM_ENDPOINT: &str = "HUAWEICLOUD_SDK_IAM_ENDPOINT";
/// What [`IamLogin`] is for.
const PASSWORD: &str = "upstream.credentials=password";
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

const CREDENTIALS: &[(&str, CredentialsKind)] = &[
    ("passthrough", CredentialsKind::Passthrough),
    ("aksk", CredentialsKind::AkSk),
    ("password", CredentialsKind::Password),
    ("metadata", CredentialsKind::Metadata),
];

settings! {
    /// As whom the upstream is called, and how the gateway knows that it is the upstream.
    pub(super) struct CredentialsSettings in "upstream." for SERVE {
        /// credentials for the upstream: each caller's token, the gateway's access key, a token that the
        /// gateway logs in for, or the temporary key of the cloud server that it runs on
        pub(super) credentials: CredentialsKind =
            one_of(CREDENTIALS).default("passthrough").needs_restart(),
        /// address of the metadata service, for `upstream.credentials=metadata`
        pub(super) metadata_endpoint: Url = web_address("http://169.254.169.254")
            .default("http://169.254.169.254")
            .needs_restart(),
        /// file with further trusted CA certificates, as PEM, for the upstream, IAM and the metadata service;
        /// read again when it changes
        pub(super) ca_file: Option<PathBuf> = path().optional(),
    }
}

settings! {
    /// As whom the gateway logs in.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct IamLogin in "iam." for SERVE {
        /// user to log in as, with `upstream.credentials=password`
        pub user: String = name("a user name").needs_restart(),
        /// that user's password
        pub password: Secret =
            secret("PASSWORD", "a password without control characters", is_one_line)
                .when_unset(|| Secret::new("")),
        /// file whose first line is the password, in place of `iam.password`
        pub password_file: Option<PathBuf> = path().optional(),
        /// account (domain) that the user belongs to
        pub domain: String = name("an account name").needs_restart(),
    }
}

/// The words of `upstream.credentials`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialsKind {
    Passthrough,
    AkSk,
    Password,
    Metadata,
}

/// Whose credentials go upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsMode {
    /// The caller's own token is sent on.
    Passthrough,
    /// The gateway signs with an access key of its own.
    AkSk(AccessKey),
    /// The gateway logs in for a token of its own.
    Password(IamLogin),
    /// The gateway signs with temporary keys of the cloud server that it runs on.
    Metadata(MetadataService),
}

/// The metadata service of a cloud server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataService {
    /// `upstream.metadata_endpoint`
    pub endpoint: Url,
    /// Sent as `X-Project-Id` where set.
    pub project_id: Option<String>,
}

/// Where the gateway logs in, and for which project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginTarget {
    /// Base address of IAM.
    pub endpoint: Url,
    /// The project that the token is for.
    pub scope: ProjectScope,
}

/// The project that a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectScope {
    /// By its id.
    Id(String),
    /// By its name; each region's main project has the region's.
    Name(String),
}

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

/// One part of an access key: its name in its source, and the value if there is one.
struct Part {
    name: String,
    value: Option<Secret>,
}

impl CredentialsKind {
    /// Whether all callers act with the same credentials: those of the gateway.
    pub(super) fn are_the_gateways(self) -> bool {
        self != Self::Passthrough
    }

    /// As it stands in the settings.
    pub(super) fn word(self) -> &'static str {
        CREDENTIALS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| *word)
    }
}

impl CredentialsMode {
    /// Reads what the credentials need. `Passthrough` after a refusal.
    pub(super) fn load(loader: &mut SettingsLoader<'_>, settings: CredentialsSettings) -> Self {
        let login = IamLogin::load(loader, settings.credentials);
        match settings.credentials {
            CredentialsKind::Passthrough => Self::Passthrough,
            CredentialsKind::AkSk => AccessKey::load(loader).map_or(Self::Passthrough, Self::AkSk),
            CredentialsKind::Password => Self::Password(login),
            CredentialsKind::Metadata => Self::Metadata(MetadataService {
                endpoint: settings.metadata_endpoint,
                project_id: default_project(loader).map(|id| id.as_str().to_owned()),
            }),
        }
    }
}

impl IamLogin {
    fn load(loader: &mut SettingsLoader<'_>, credentials: CredentialsKind) -> Self {
        let login = Self::read(loader);
        if credentials != CredentialsKind::Password {
            return login;
        }
        loader.require(&[&Self::user(), &Self::domain()], PASSWORD);
        let (setting, file) = (Self::password(), Self::password_file());
        if !loader.is_set(&setting) && !loader.is_set(&file) {
            let problem = format!("it or iam.password_file must be set with {PASSWORD}");
            loader.refuse(&[&setting, &file], problem);
        }
        // Where the password came from makes no other login.
        Self { password: loader.secret(&setting, &file), password_file: None, ..login }
    }
}

impl LoginTarget {
    /// Where the gateway logs in for a project of a region, or for all that no table names. `None` with other
    /// credentials, and after a refusal.
    pub(super) fn load(
        loader: &mut SettingsLoader<'_>,
        region: Option<&str>,
        project: Option<&ProjectId>,
        region_setting: &Setting<Option<String>>,
    ) -> Option<Self> {
        if loader.read(&CredentialsSettings::credentials()) != CredentialsKind::Password {
            return None;
        }
        let public = region.map(|region| format!("https://iam.{region}.myhuaweicloud.com"));
        let own = loader.variable_as(IAM_ENDPOINT, web_address("https://iam.example.com"));
        let endpoint = own.or_else(|| base_address(&public?));
        let id = project.cloned().or_else(|| default_project(loader));
        let is_unknown = |variable| region.is_none() && loader.variable(variable).is_none();
        if is_unknown(IAM_ENDPOINT) || (project.is_none() && is_unknown(PROJECT_ID)) {
            let more = if project.is_none() { format!(" and {PROJECT_ID}") } else { String::new() };
            let problem = format!("must be set with {PASSWORD}, or else {IAM_ENDPOINT}{more}");
            loader.refuse(&[region_setting], problem);
        }
        let scope = match (id, region) {
            (Some(id), _) => ProjectScope::Id(id.as_str().to_owned()),
            (None, region) => ProjectScope::Name(region?.to_owned()),
        };
        Some(Self { endpoint: endpoint?, scope })
    }
}

/// The project of [`PROJECT_ID`]. `None` if it is not set, or after a refusal.
fn default_project(loader: &mut SettingsLoader<'_>) -> Option<ProjectId> {
    loader.variable_as(PROJECT_ID, project_id())
}

/// A name that a login needs.
fn name(allowed: &'static str) -> Setting<String> {
    text("NAME", allowed, usize::MAX).when_unset(String::new)
}

impl AccessKey {
    /// Finds the access key. `None` after a refusal.
    fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let of_environment = VARIABLES.map(|name| Part {
            name: name.to_owned(),
            value: loader.variable(name).map(Secret::new),
        });
        let parts = if has_key(&of_environment) { Ok(of_environment) } else { of_profile(loader) };
        let [access, secret, token, project] =
            parts.map_err(|problem| loader.problems.push(problem)).ok()?;
        let mut read = |name, part: &Part| {
            let text = part.value.as_ref()?.expose();
            loader.read_text(&key_part().with_key(name), text, &part.name)
        };
        let key = read("access key", &access);
        let secret_key = read("secret key", &secret);
        let security_token = read("security token", &token);
        for missing in [&access, &secret].into_iter().filter(|part| part.value.is_none()) {
            let problem = format!("{} is not set: every access key has one", missing.name);
            loader.problems.push(problem);
        }
        // A project in the environment wins, whichever source has the pair.
        let project = match (loader.variable(PROJECT_ID), &project.value) {
            (None, Some(id)) => {
                let setting = project_id().with_key("project_id");
                loader.read_text(&setting, id.expose(), &project.name)
            }
            _ => default_project(loader),
        };
        let project_id = project.map(|project| project.as_str().to_owned());
        Some(Self { access: key?, secret: secret_key?, security_token, project_id })
    }
}

/// Whether there is a key. A security token alone counts too: it is an incomplete pair.
fn has_key([access, secret, token, _]: &[Part; 4]) -> bool {
    [access, secret, token].iter().any(|part| part.value.is_some())
}

/// Reads a profile file as Python's configparser does, which the official SDK uses.
fn of_profile(loader: &mut SettingsLoader<'_>) -> Result<[Part; 4], String> {
    let named = loader.variable(PROFILE_FILE);
    let default = loader.variable("HOME").map(|home| format!("{home}/{DEFAULT_PROFILE}"));
    let Some(path) = named.map(str::to_owned).or(default) else {
        return Err(missing("no home directory is known to look for a profile file in"));
    };
    let shown = one_line(&path);
    let text = loader.read_file(Path::new(&path)).map_err(|problem| match named {
        Some(_) => format!("{PROFILE_FILE} is {shown}: the file {problem}"),
        None => missing(&format!("{shown} {problem}")),
    })?;
    // Secret keys are taken as they are: a backslash or a quote in one means itself.
    let options =
        ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
    let ini = Ini::load_from_str_opt(&text, options)
        .map_err(|error| format!("{shown}:{} is not INI: must be key = value", error.line))?;
    let section = ini.section(Some(SECTION));
    let defaults = section.and_then(|_| ini.section(Some(DEFAULTS)));
    let parts = KEYS.map(|key| {
        let value = value_in(section, key).or_else(|| value_in(defaults, key));
        Part { name: format!("{key} in [{SECTION}] of {shown}"), value: value.map(Secret::new) }
    });
    let problem = || missing(&format!("{shown} has no [{SECTION}] ak and sk"));
    if has_key(&parts) { Ok(parts) } else { Err(problem()) }
}

/// The value of a key, which may be written in capitals.
fn value_in<'s>(section: Option<&'s Properties>, key: &str) -> Option<&'s str> {
    let mut values = section?.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
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
