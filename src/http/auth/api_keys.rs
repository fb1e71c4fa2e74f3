//! API keys, from a file that holds their hashes.
//!
//! A key is long and random, so one SHA-256 is enough. Passwords would need a slow hash.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use toml::Spanned;

use super::grant::{permissions_of_key, projects_of_key};
use crate::config::read_bounded;
use crate::domain::{Grant, Rights, Secret};
use crate::http::refusal::Refusal;
use crate::http::setting_file::{FileError, read_file};

/// The longest name of a key.
const LONGEST_NAME: usize = 64;
/// The longest username or id that a key is granted, in characters.
const LONGEST_VALUE: usize = 255;
const FORM: &str = "a file is made of [[key]] with name, sha256, projects and, where they are to be \
                    narrowed, usernames, desktop_ids, desktop_pool_ids and permissions";

/// The keys that are accepted.
pub(super) struct ApiKeys(pub(super) Vec<Arc<ApiKey>>);

/// A key, by its hash. No `Debug`, so that no log shows the hash.
#[derive(PartialEq, Eq)]
pub(super) struct ApiKey {
    pub(super) name: Arc<str>,
    pub(super) grant: Arc<Grant>,
    sha256: [u8; 32],
}

impl ApiKeys {
    /// Reads the file.
    pub(super) fn read(file: &Path) -> Result<Self, FileError> {
        read_file("inbound.api_keys_file", file, read_bounded, parse).map(Self)
    }

    /// Finds the key that a caller sent. Compares with every key, each in full, so that the time taken reveals
    /// nothing.
    pub(super) fn verify(&self, credential: Option<&Secret>) -> Result<Arc<ApiKey>, Refusal> {
        let missing = "no key was sent: give X-API-Key or Authorization: Bearer";
        let credential = credential.ok_or_else(|| Refusal::missing_credential(missing))?;
        let hash: [u8; 32] = Sha256::digest(credential.expose().as_bytes()).into();
        let mut found = None;
        for key in &self.0 {
            if bool::from(key.sha256.ct_eq(&hash)) {
                found = Some(Arc::clone(key));
            }
        }
        found.ok_or_else(|| Refusal::invalid_credential("the key is not known"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default)]
    key: Vec<Spanned<KeyEntry>>,
}

/// A key in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    sha256: String,
    projects: Vec<String>,
    usernames: Option<Vec<String>>,
    desktop_ids: Option<Vec<String>>,
    desktop_pool_ids: Option<Vec<String>>,
    permissions: Option<Vec<String>>,
}

/// Reads the keys; the error is a clause that begins with the number of a line.
fn parse(file: &[u8]) -> Result<Vec<Arc<ApiKey>>, String> {
    let text = str::from_utf8(file).map_err(|_| "it is not UTF-8".to_owned())?;
    let at = |start: usize, problem: &str| {
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        format!("line {line}: {problem}")
    };
    let file: KeyFile = toml::from_str(text).map_err(|error| {
        // serde quotes a value of a wrong type, and that may be the key itself by mistake.
        let problem = match error.message().rsplit_once(", expected ") {
            Some((quoting, expected)) if quoting.starts_with("invalid type") => {
                format!("a value has the wrong type, expected {expected}")
            }
            _ => error.message().to_owned(),
        };
        at(error.span().map_or(0, |span| span.start), &format!("{problem}: {FORM}"))
    })?;
    if file.key.is_empty() {
        return Err(at(0, &format!("there is no key: {FORM}")));
    }
    let mut keys: Vec<Arc<ApiKey>> = Vec::new();
    for entry in &file.key {
        let start = entry.span().start;
        let key = entry.get_ref().read().map_err(|problem| at(start, &problem))?;
        if keys.iter().any(|other| other.name == key.name || other.sha256 == key.sha256) {
            let problem = format!("name or sha256 of {:?} is another key's too", key.name);
            return Err(at(start, &problem));
        }
        keys.push(Arc::new(key));
    }
    Ok(keys)
}

impl KeyEntry {
    /// The key, or which value is wrong and what is allowed.
    fn read(&self) -> Result<ApiKey, String> {
        let Self { name, usernames, desktop_ids, desktop_pool_ids, .. } = self;
        if !is_name(name) {
            return Err("name must be a text of 1 to 64 letters, digits and . _ - @ : /".to_owned());
        }
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&self.sha256, &mut sha256)
            .map_err(|_| "sha256 must be the key's SHA-256, 64 hexadecimal digits")?;
        let projects = projects_of_key(&self.projects).ok_or(
            "projects must be a list of project ids, each of 1 to 64 letters, digits, - and _, or \
             [\"*\"] for every project",
        )?;
        let permissions = self.permissions.as_ref().map(|names| {
            permissions_of_key(names).ok_or(
                "permissions must be a list of read, operations and download, with read among \
                 them; leave it out to grant all",
            )
        });
        for (name, values) in [
            ("usernames", usernames),
            ("desktop_ids", desktop_ids),
            ("desktop_pool_ids", desktop_pool_ids),
        ] {
            if !values.iter().flatten().all(|value| is_value(value)) {
                return Err(format!(
                    "{name} must be a list of texts, each of 1 to 255 characters and none of them a \
                     control character; leave it out for no constraint"
                ));
            }
        }
        let ids = |ids: &Vec<String>| Rights::folded_ids(ids.iter().map(String::as_str));
        let rights = Rights {
            projects,
            usernames: usernames.as_ref().map(|names| names.iter().map(|n| (**n).into()).collect()),
            desktop_ids: desktop_ids.as_ref().map(ids),
            desktop_pool_ids: desktop_pool_ids.as_ref().map(ids),
            permissions: permissions.transpose()?,
        };
        Ok(ApiKey { name: name.as_str().into(), grant: Arc::new(rights.into()), sha256 })
    }
}

fn is_name(text: &str) -> bool {
    let is_sane = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@:/".contains(&byte);
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_sane)
}

fn is_value(text: &str) -> bool {
    (1..=LONGEST_VALUE).contains(&text.chars().count()) && !text.contains(char::is_control)
}
