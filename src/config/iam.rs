//! `iam.*`: how the gateway logs in for a token of its own.

use std::path::PathBuf;

use url::Url;

use super::form::{Parsed, one_line};
use super::secret_file::{self, OrFile};
use super::setting::{Role, Row, Setting};
use super::upstream::base_address;
use super::values::Values;
use crate::domain::{ProjectId, Secret};

const ROLES: &[Role] = &[Role::Serve];
/// The official SDKs' names.
const ENDPOINT: &str = "HUAWEICLOUD_SDK_IAM_ENDPOINT";
const PROJECT_ID: &str = "HUAWEICLOUD_SDK_PROJECT_ID";

static USER: Setting<Parsed<String>> = Setting::new(
    "iam.user",
    Parsed { allowed: "a user name", placeholder: "NAME", parse: name },
    "user to log in as, for `upstream.credentials=password`",
)
.only_for(ROLES);
static PASSWORD: Setting<Parsed<Secret>> = Setting::new(
    "iam.password",
    Parsed {
        allowed: "a password without control characters",
        placeholder: "PASSWORD",
        parse: password,
    },
    "that user's password",
)
.secret()
.only_for(ROLES)
.changeable();
static PASSWORD_FILE: Setting<Parsed<PathBuf>> = Setting::new(
    "iam.password_file",
    secret_file::PATH,
    "file with the password on its first line, in place of `iam.password`",
)
.only_for(ROLES)
.changeable();
static ONE_PASSWORD: OrFile<Secret> =
    OrFile { setting: &PASSWORD, file: &PASSWORD_FILE, parse: password, holds: "a password" };
static DOMAIN: Setting<Parsed<String>> = Setting::new(
    "iam.domain",
    Parsed { allowed: "an account name", placeholder: "NAME", parse: name },
    "account (domain) that the user belongs to",
)
.only_for(ROLES);

pub(super) static ROWS: &[&dyn Row] = &[&USER, &PASSWORD, &PASSWORD_FILE, &DOMAIN];

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

/// What is set, whatever it is needed for.
pub(super) struct Given {
    user: Option<String>,
    password: secret_file::Given<Secret>,
    domain: Option<String>,
}

impl Given {
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        Self {
            user: values.read(&USER),
            password: ONE_PASSWORD.given(values),
            domain: values.read(&DOMAIN),
        }
    }
}

/// Makes the login; nothing, and a refusal of all that is missing, where it is incomplete.
pub(super) fn login(
    values: &mut Values<'_>,
    given: Given,
    region: Option<&str>,
) -> Option<IamLogin> {
    let user = required(values, &USER, given.user);
    let domain = required(values, &DOMAIN, given.domain);
    let password = one_password(values, given.password);
    let endpoint = endpoint(values, region);
    let scope = scope(values, region);
    Some(IamLogin {
        endpoint: endpoint?,
        user: user?,
        password: password?,
        domain: domain?,
        scope: scope?,
    })
}

fn required(
    values: &mut Values<'_>,
    setting: &'static Setting<Parsed<String>>,
    given: Option<String>,
) -> Option<String> {
    if given.is_none() && values.are_sound(&[setting]) {
        values.refuse(setting, "needed where upstream.credentials is password");
    }
    given
}

fn one_password(values: &mut Values<'_>, given: secret_file::Given<Secret>) -> Option<Secret> {
    let password = ONE_PASSWORD.resolve(values, given);
    if ONE_PASSWORD.is_absent(values, password.as_ref()) {
        let problem = "it or iam.password_file is needed where upstream.credentials is password";
        values.refuse(&PASSWORD, problem);
    }
    password
}

fn endpoint(values: &mut Values<'_>, region: Option<&str>) -> Option<Url> {
    let set = values.surroundings().text(ENDPOINT).transpose().ok().flatten().map(str::to_owned);
    let address = match (set, region) {
        (Some(set), _) => set,
        (None, Some(region)) => format!("https://iam.{region}.myhuaweicloud.com"),
        (None, None) => {
            values.refuse_line(format!(
                "upstream.credentials is password, but IAM's address is not known: set {ENDPOINT}, or \
                 upstream.region"
            ));
            return None;
        }
    };
    let endpoint = base_address(&address);
    if endpoint.is_none() {
        values.refuse_line(format!(
            "{ENDPOINT} is {}: must be an http or https address without user, query and fragment",
            if address.contains(['@', '?', '#']) {
                "(redacted)".to_owned()
            } else {
                one_line(&address)
            }
        ));
    }
    endpoint
}

/// What cannot be used has been refused.
pub(super) struct Refused;

/// The project that the official SDKs' own variable names; nothing, and a refusal, where it is none.
pub(super) fn project(values: &mut Values<'_>) -> Result<Option<String>, Refused> {
    let set = values.surroundings().text(PROJECT_ID).transpose().ok().flatten().map(str::to_owned);
    let Some(id) = set else { return Ok(None) };
    if ProjectId::parse(&id).is_ok() {
        return Ok(Some(id));
    }
    values.refuse_line(format!(
        "{PROJECT_ID} is {}: must be a project id of 1 to 64 letters, digits, - and _",
        one_line(&id)
    ));
    Err(Refused)
}

fn scope(values: &mut Values<'_>, region: Option<&str>) -> Option<ProjectScope> {
    match (project(values).ok()?, region) {
        (Some(id), _) => Some(ProjectScope::Id(id)),
        (None, Some(region)) => Some(ProjectScope::Name(region.to_owned())),
        (None, None) => {
            values.refuse_line(format!(
                "upstream.credentials is password, but the token's project is not known: set \
                 {PROJECT_ID}, or upstream.region"
            ));
            None
        }
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
