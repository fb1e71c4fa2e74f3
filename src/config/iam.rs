//! `iam.*`: how the gateway logs in for a token of its own.

use std::path::PathBuf;

use url::Url;

use super::settings::{
    FILE_PATH, Optional, Parsed, Role, SecretOrFile, Setting, SettingsLoader, one_line, setting,
    settings,
};
use super::web_address::{self, base_address};
use crate::domain::{ProjectId, Secret};

const SERVE: &[Role] = &[Role::Serve];
/// The official SDKs' names.
const ENDPOINT: &str = "HUAWEICLOUD_SDK_IAM_ENDPOINT";
const PROJECT_ID: &str = "HUAWEICLOUD_SDK_PROJECT_ID";

const USER_NAME: Parsed<String> =
    Parsed { allowed: "a user name", placeholder: "NAME", parse: name };
const ACCOUNT_NAME: Parsed<String> =
    Parsed { allowed: "an account name", placeholder: "NAME", parse: name };
const PASSWORD: Parsed<Secret> = Parsed {
    allowed: "a password without control characters",
    placeholder: "PASSWORD",
    parse: password,
};
const PASSWORD_OR_FILE: SecretOrFile<Secret> = SecretOrFile {
    setting: &IamSettings::password,
    file: &IamSettings::password_file,
    parse: password,
    content: "a password",
};

settings! {
    /// The settings that [`IamLogin`] is made of.
    pub(super) struct IamSettings in "iam." {
        /// user to log in as, with `upstream.credentials=password`
        user: Option<String> = setting(&Optional(USER_NAME)).only_for(SERVE),
        /// that user's password
        password: Option<Secret> =
            setting(&Optional(PASSWORD)).secret().only_for(SERVE).reloadable(),
        /// file whose first line is the password, in place of `iam.password`
        password_file: Option<PathBuf> = setting(&FILE_PATH).only_for(SERVE).reloadable(),
        /// account (domain) that the user belongs to
        domain: Option<String> = setting(&Optional(ACCOUNT_NAME)).only_for(SERVE),
    }
}

/// How the gateway logs in.
#[derive(Clone, Debug)]
pub struct IamLogin {
    /// Base address of IAM.
    pub endpoint: Url,
    /// `iam.user`
    pub user: String,
    /// `iam.password`, or what `iam.password_file` holds.
    pub password: Secret,
    /// `iam.domain`
    pub domain: String,
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

/// The value was refused.
pub(super) struct Refused;

impl IamSettings {
    /// Makes the login. `None` after refusing everything that is missing.
    pub(super) fn login(
        self,
        loader: &mut SettingsLoader<'_>,
        region: Option<&str>,
    ) -> Option<IamLogin> {
        require(loader, &Self::user, self.user.as_ref());
        require(loader, &Self::domain, self.domain.as_ref());
        let file = self.password_file.as_deref();
        let password = PASSWORD_OR_FILE.resolve(loader, self.password, file);
        if PASSWORD_OR_FILE.is_missing(loader, password.as_ref()) {
            let problem =
                "it or iam.password_file is needed where upstream.credentials is password";
            loader.refuse(&Self::password, problem);
        }
        let endpoint = endpoint(loader, region);
        let scope = scope(loader, region);
        Some(IamLogin {
            endpoint: endpoint?,
            user: self.user?,
            password: password?,
            domain: self.domain?,
            scope: scope?,
        })
    }
}

fn require(
    loader: &mut SettingsLoader<'_>,
    setting: &Setting<Option<String>>,
    value: Option<&String>,
) {
    if value.is_none() && loader.are_valid(&[setting]) {
        loader.refuse(setting, "needed where upstream.credentials is password");
    }
}

fn endpoint(loader: &mut SettingsLoader<'_>, region: Option<&str>) -> Option<Url> {
    let address = match (text_of(loader, ENDPOINT), region) {
        (Some(set), _) => set,
        (None, Some(region)) => format!("https://iam.{region}.myhuaweicloud.com"),
        (None, None) => {
            loader.add_problem(format!(
                "upstream.credentials is password, but IAM's address is not known: set {ENDPOINT}, or \
                 upstream.region"
            ));
            return None;
        }
    };
    let endpoint = base_address(&address);
    if endpoint.is_none() {
        let shown = web_address::shown(&address);
        loader.add_problem(format!("{ENDPOINT} is {shown}: must be {}", web_address::ALLOWED));
    }
    endpoint
}

/// The project that the official SDKs' own variable names.
pub(super) fn project(loader: &mut SettingsLoader<'_>) -> Result<Option<String>, Refused> {
    let Some(id) = text_of(loader, PROJECT_ID) else { return Ok(None) };
    if ProjectId::parse(&id).is_ok() {
        return Ok(Some(id));
    }
    loader.add_problem(format!(
        "{PROJECT_ID} is {}: must be a project id of 1 to 64 letters, digits, - and _",
        one_line(&id)
    ));
    Err(Refused)
}

fn scope(loader: &mut SettingsLoader<'_>, region: Option<&str>) -> Option<ProjectScope> {
    match (project(loader).ok()?, region) {
        (Some(id), _) => Some(ProjectScope::Id(id)),
        (None, Some(region)) => Some(ProjectScope::Name(region.to_owned())),
        (None, None) => {
            loader.add_problem(format!(
                "upstream.credentials is password, but the token's project is not known: set \
                 {PROJECT_ID}, or upstream.region"
            ));
            None
        }
    }
}

fn text_of(loader: &SettingsLoader<'_>, variable: &str) -> Option<String> {
    loader.variable_text(variable).transpose().ok().flatten().map(str::to_owned)
}

fn name(text: &str) -> Option<String> {
    let is_name = !text.trim().is_empty() && !text.chars().any(char::is_control);
    is_name.then(|| text.to_owned())
}

fn password(text: &str) -> Option<Secret> {
    let is_password = !text.is_empty() && !text.chars().any(char::is_control);
    is_password.then(|| Secret::new(text))
}
