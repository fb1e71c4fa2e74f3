//! `iam.*`: how the gateway logs in for a token of its own.

use std::path::PathBuf;

use url::Url;

use super::credentials::{CredentialsKind, CredentialsSettings};
use super::settings::{
    SERVE, Setting, SettingsLoader, base_address, file_path, is_one_line, project_id, secret,
    settings, text, web_address,
};
use crate::domain::{ProjectId, Secret};

/// The project of requests for projects that no table `[projects.<id>]` names: sent as `X-Project-Id` with a
/// signature, and the project that the token of a login is for.
pub(super) const PROJECT_ID: &str = "HUAWEICLOUD_SDK_PROJECT_ID";
/// The address of IAM in place of the region's public one.
const IAM_ENDPOINT: &str = "HUAWEICLOUD_SDK_IAM_ENDPOINT";
/// What [`IamSettings`] are for.
const PASSWORD: &str = "upstream.credentials=password";

settings! {
    /// The settings that [`IamLogin`] is made of.
    pub(super) struct IamSettings in "iam." for SERVE {
        /// user to log in as, with `upstream.credentials=password`
        user: Option<String> = text("NAME", "a user name", usize::MAX).optional(),
        /// that user's password
        password: Option<Secret> =
            secret("PASSWORD", "a password without control characters", is_one_line).reloadable(),
        /// file whose first line is the password, in place of `iam.password`
        password_file: Option<PathBuf> = file_path().reloadable(),
        /// account (domain) that the user belongs to
        domain: Option<String> = text("NAME", "an account name", usize::MAX).optional(),
    }
}

/// As whom the gateway logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamLogin {
    /// `iam.user`
    pub user: String,
    /// `iam.password`, or what `iam.password_file` holds.
    pub password: Secret,
    /// `iam.domain`
    pub domain: String,
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

impl IamLogin {
    /// `None` after refusing everything that is missing.
    pub(super) fn load(loader: &mut SettingsLoader<'_>, settings: IamSettings) -> Option<Self> {
        let IamSettings { user, password, password_file, domain } = settings;
        let user = loader.required(&IamSettings::user(), user, PASSWORD);
        let domain = loader.required(&IamSettings::domain(), domain, PASSWORD);
        let (setting, file) = (IamSettings::password(), IamSettings::password_file());
        let password = loader.secret(&setting, password, &file, password_file);
        if password.is_none() {
            let problem = format!("it or iam.password_file must be set with {PASSWORD}");
            loader.refuse(&[&setting, &file], problem);
        }
        Some(Self { user: user?, password: password?, domain: domain? })
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
pub(super) fn default_project(loader: &mut SettingsLoader<'_>) -> Option<ProjectId> {
    loader.variable_as(PROJECT_ID, project_id())
}
