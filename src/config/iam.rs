//! `iam.*`: how the gateway logs in for a token of its own.

use std::path::PathBuf;

use url::Url;

use super::project_id::project_id;
use super::settings::{
    Format, SERVE, SecretOrFile, Setting, SettingsLoader, file_path, setting, settings,
};
use super::web_address::{base_address, web_address};
use crate::domain::Secret;

/// The project of requests for projects that no table `[projects.<id>]` names: sent as `X-Project-Id` with a
/// signature, and the project that the token of a login is for.
pub(super) const PROJECT_ID: &str = "HUAWEICLOUD_SDK_PROJECT_ID";
/// The address of IAM in place of the region's public one.
const IAM_ENDPOINT: &str = "HUAWEICLOUD_SDK_IAM_ENDPOINT";

settings! {
    /// The settings that [`IamLogin`] is made of.
    pub(super) struct IamSettings in "iam." for SERVE {
        /// user to log in as, with `upstream.credentials=password`
        user: Option<String> = setting(name("a user name").optional()),
        /// that user's password
        password: Option<Secret> = setting(password().optional()).secret().reloadable(),
        /// file whose first line is the password, in place of `iam.password`
        password_file: Option<PathBuf> = setting(file_path()).reloadable(),
        /// account (domain) that the user belongs to
        domain: Option<String> = setting(name("an account name").optional()),
    }
}

/// As whom the gateway logs in.
#[derive(Clone, Debug)]
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

impl IamSettings {
    /// Makes the login. `None` after refusing everything that is missing.
    pub(super) fn login(self, loader: &mut SettingsLoader<'_>) -> Option<IamLogin> {
        require(loader, &Self::user(), self.user.as_ref());
        require(loader, &Self::domain(), self.domain.as_ref());
        let secret = SecretOrFile { setting: Self::password(), file: Self::password_file() };
        let password = secret.resolve(loader, self.password, self.password_file.as_deref());
        if secret.is_missing(loader, password.as_ref()) {
            let problem =
                "it or iam.password_file is needed where upstream.credentials is password";
            loader.refuse(&secret.setting, problem);
        }
        Some(IamLogin { user: self.user?, password: password?, domain: self.domain? })
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

/// Where the gateway logs in, unless the region decides.
pub(super) struct IamAddress {
    endpoint: Option<Url>,
    is_set: bool,
}

impl IamAddress {
    pub(super) fn read(loader: &mut SettingsLoader<'_>) -> Self {
        let is_set = loader.variable(IAM_ENDPOINT).is_some();
        Self { endpoint: loader.shared_variable(&[IAM_ENDPOINT], &web_address()), is_set }
    }

    /// The login for projects that no table names. `None` after a refusal.
    pub(super) fn login(
        &self,
        loader: &mut SettingsLoader<'_>,
        region: Option<&str>,
    ) -> Option<LoginTarget> {
        let endpoint = self.of_region(loader, region, "upstream.region");
        let scope = if loader.variable(PROJECT_ID).is_some() {
            default_project(loader).map(ProjectScope::Id)
        } else {
            let unknown = format!("the token's project is not known: set {PROJECT_ID}");
            known(loader, region, &unknown, "upstream.region")
                .map(|region| ProjectScope::Name(region.to_owned()))
        };
        Some(LoginTarget { endpoint: endpoint?, scope: scope? })
    }

    /// The address for a region, which stands under `key`. `None` after a refusal.
    pub(super) fn of_region(
        &self,
        loader: &mut SettingsLoader<'_>,
        region: Option<&str>,
        key: &str,
    ) -> Option<Url> {
        if self.is_set {
            return self.endpoint.clone();
        }
        let unknown = format!("IAM's address is not known: set {IAM_ENDPOINT}");
        let region = known(loader, region, &unknown, key)?;
        base_address(&format!("https://iam.{region}.myhuaweicloud.com"))
    }
}

/// The project of [`PROJECT_ID`]. `None` if it is not set, or after a refusal.
pub(super) fn default_project(loader: &mut SettingsLoader<'_>) -> Option<String> {
    loader.shared_variable(&[PROJECT_ID], &project_id()).map(|project| project.as_str().to_owned())
}

/// The region, if there is one; else refuses what follows from it.
fn known<'r>(
    loader: &mut SettingsLoader<'_>,
    region: Option<&'r str>,
    unknown: &str,
    key: &str,
) -> Option<&'r str> {
    if region.is_none() {
        loader.add_problem(format!("upstream.credentials is password, but {unknown}, or {key}"));
    }
    region
}

fn name(allowed: &'static str) -> Format<String> {
    Format::new("NAME", allowed, |text| {
        (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
    })
}

fn password() -> Format<Secret> {
    Format::new("PASSWORD", "a password without control characters", |text| {
        (!text.is_empty() && !text.contains(char::is_control)).then(|| Secret::new(text))
    })
}
