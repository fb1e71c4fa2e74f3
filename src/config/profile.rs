//! The access key of the gateway's own, found as the official SDKs find theirs: the environment
//! first, then the profile file.

use std::path::PathBuf;

use ini::Ini;

use super::sources::Environment;
use super::upstream::AccessKey;
use crate::domain::Secret;

const ACCESS: &str = "HUAWEICLOUD_SDK_AK";
const SECRET: &str = "HUAWEICLOUD_SDK_SK";
const SECURITY_TOKEN: &str = "HUAWEICLOUD_SDK_SECURITY_TOKEN";
const PROJECT_ID: &str = "HUAWEICLOUD_SDK_PROJECT_ID";
const FILE: &str = "HUAWEICLOUD_SDK_CREDENTIALS_FILE";
/// The section of regional services.
const SECTION: &str = "basic";

/// Finds the access key.
///
/// # Errors
/// What is missing and where it could be, as one line.
pub(crate) fn access_key(environment: &Environment) -> Result<AccessKey, String> {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
    match (variable(ACCESS), variable(SECRET)) {
        (Some(access), Some(secret)) => Ok(AccessKey {
            access: Secret::new(access),
            secret: Secret::new(secret),
            security_token: variable(SECURITY_TOKEN).map(Secret::new),
            project_id: variable(PROJECT_ID),
        }),
        (Some(_), None) => Err(format!("{ACCESS} is set and {SECRET} is not: both are needed")),
        (None, Some(_)) => Err(format!("{SECRET} is set and {ACCESS} is not: both are needed")),
        (None, None) => from_file(environment),
    }
}

fn from_file(environment: &Environment) -> Result<AccessKey, String> {
    let Some(path) = path(environment) else {
        return Err(missing("no home directory to look for a profile file in"));
    };
    let shown = path.display().to_string();
    let file = Ini::load_from_file_noescape(&path).map_err(|error| match error {
        ini::Error::Io(error) => {
            missing(&format!("the profile file {shown} cannot be read: {error}"))
        }
        ini::Error::Parse(_) => format!("the profile file {shown} is not an INI file"),
    })?;
    let value = |name| file.get_from(Some(SECTION), name).filter(|value| !value.is_empty());
    let (Some(access), Some(secret)) = (value("ak"), value("sk")) else {
        return Err(format!(
            "the profile file {shown} has no ak and sk in its section [{SECTION}]"
        ));
    };
    Ok(AccessKey {
        access: Secret::new(access),
        secret: Secret::new(secret),
        security_token: value("security_token").map(Secret::new),
        project_id: value("project_id").map(str::to_owned),
    })
}

fn path(environment: &Environment) -> Option<PathBuf> {
    if let Some(path) = environment.get(FILE).filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path));
    }
    let home = environment.get("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(".huaweicloud").join("credentials"))
}

fn missing(problem: &str) -> String {
    format!(
        "upstream.credentials is aksk and there is no access key: set {ACCESS} and {SECRET}, or put ak \
         and sk into the section [{SECTION}] of a profile file ({problem})"
    )
}
