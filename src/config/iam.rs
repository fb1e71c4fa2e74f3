//! `iam.*`: how the gateway logs in for a token of its own.

use std::path::PathBuf;

use url::Url;

use super::settings::{
    FILE_PATH, Optional, Parsed, Role, SecretOrFile, Setting, SettingsLoader, setting, settings,
};
use super::web_address::{BASE_ADDRESS, base_address};
use crate::domain::{ProjectId, Secret};

const SERVE: &[Role] = &[Role::Serve];

/// For projects that no table names: sent as `X-Project-Id` with a signature; the project that a token is
/// for.
pub(super) const PROJECT_ID: &str = "HUAWEICLOUD_SDK_PROJECT_ID";
/// The key of the region of projects that no table names.
const REGION: &str = "upstream.region";
/// The address of IAM in place of the region's public one.
const IAM_ENDPOINT: &str = "HUAWEICLOUD_SDK_IAM_ENDPOINT";

const PROJECT: Parsed<String> = Parsed {
    allowed: "a project id of 1 to 64 letters, digits, - and _",
    placeholder: "PROJECT",
    parse: |text| ProjectId::parse(text).is_ok().then(|| text.to_owned()),
};

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
    pub(super) struct IamSettings in "iam." for SERVE {
        /// user to log in as, with `upstream.credentials=password`
        user: Option<String> = setting(&Optional(USER_NAME)),
        /// that user's password
        password: Option<Secret> = setting(&Optional(PASSWORD)).secret().reloadable(),
        /// file whose first line is the password, in place of `iam.password`
        password_file: Option<PathBuf> = setting(&FILE_PATH).reloadable(),
        /// account (domain) that the user belongs to
        domain: Option<String> = setting(&Optional(ACCOUNT_NAME)),
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
        require(loader, &Self::user, self.user.as_ref());
        require(loader, &Self::domain, self.domain.as_ref());
        let file = self.password_file.as_deref();
        let password = PASSWORD_OR_FILE.resolve(loader, self.password, file);
        if PASSWORD_OR_FILE.is_missing(loader, password.as_ref()) {
            let problem =
                "it or iam.password_file is needed where upstream.credentials is password";
            loader.refuse(&Self::password, problem);
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
    is_set: bool,
    endpoint: Option<Url>,
}

impl IamAddress {
    pub(super) fn read(loader: &mut SettingsLoader<'_>) -> Self {
        let is_set = loader.variable(IAM_ENDPOINT).is_some();
        Self { is_set, endpoint: loader.shared_variable(&[IAM_ENDPOINT], &BASE_ADDRESS) }
    }

    /// The login for projects that no table names. `None` after a refusal.
    pub(super) fn login(
        &self,
        loader: &mut SettingsLoader<'_>,
        region: Option<&str>,
    ) -> Option<LoginTarget> {
        let endpoint = self.of_region(loader, region, REGION);
        let scope = if loader.variable(PROJECT_ID).is_some() {
            project_id(loader).map(ProjectScope::Id)
        } else {
            let missing =
                Missing { what: "the token's project", variable: PROJECT_ID, key: REGION };
            let region = missing.unless(loader, region);
            region.map(|region| ProjectScope::Name(region.to_owned()))
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
        let missing = Missing { what: "IAM's address", variable: IAM_ENDPOINT, key };
        let region = missing.unless(loader, region)?;
        base_address(&format!("https://iam.{region}.myhuaweicloud.com"))
    }
}

/// The project of [`PROJECT_ID`]. `None` if it is not set, or after a refusal.
pub(super) fn project_id(loader: &mut SettingsLoader<'_>) -> Option<String> {
    loader.shared_variable(&[PROJECT_ID], &PROJECT)
}

/// Something that follows from a region.
struct Missing<'m> {
    what: &'m str,
    /// The variable that says it without a region.
    variable: &'m str,
    /// The key of the region.
    key: &'m str,
}

impl Missing<'_> {
    /// The region, from which it follows. Without one, refuses that the variable is not set.
    fn unless<'r>(
        &self,
        loader: &mut SettingsLoader<'_>,
        region: Option<&'r str>,
    ) -> Option<&'r str> {
        if region.is_none() {
            let Self { what, variable, key } = self;
            loader.add_problem(format!(
                "upstream.credentials is password, but {what} is not known: set {variable}, or {key}"
            ));
        }
        region
    }
}

fn name(text: &str) -> Option<String> {
    let is_name = !text.trim().is_empty() && !text.chars().any(char::is_control);
    is_name.then(|| text.to_owned())
}

fn password(text: &str) -> Option<Secret> {
    let is_password = !text.is_empty() && !text.chars().any(char::is_control);
    is_password.then(|| Secret::new(text))
}
