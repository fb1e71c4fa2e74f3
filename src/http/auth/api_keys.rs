//! API keys, from a file that holds their hashes.
//!
//! A key is long and random, so one SHA-256 is enough. Passwords would need a slow hash.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{AuthError, AuthSetupError};
use super::grant::{permissions_of_key, projects_of_key};
use crate::config::read_bounded;
use crate::domain::{FoldedIds, Grant, Permissions, ProjectId, Rights, Secret};

const SETTING: &str = "inbound.api_keys_file";
/// The longest name of a key.
const LONGEST_NAME: usize = 64;
/// The longest username or id that a key is granted, in characters.
const LONGEST_VALUE: usize = 255;
const FORM: &str = "a file is made of [[key]] with name, sha256, projects and, where they are to be \
                    narrowed, usernames, desktop_ids, desktop_pool_ids and permissions";

/// The keys that are accepted.
pub(super) struct ApiKeys(List);

type List = Arc<[Arc<ApiKey>]>;

/// A key, by its hash. No `Debug`, so that no log shows the hash.
#[derive(PartialEq, Eq)]
pub(super) struct ApiKey {
    pub(super) name: Arc<str>,
    pub(super) grant: Arc<Grant>,
    sha256: [u8; 32],
}

impl ApiKeys {
    /// Reads the file.
    pub(super) fn read(file: &Path) -> Result<Self, AuthSetupError> {
        read(file).map(Self)
    }

    /// Finds the key that a caller sent.
    pub(super) fn verify(&self, credential: Option<&Secret>) -> Result<Arc<ApiKey>, AuthError> {
        let missing = "no key was sent: give X-API-Key or Authorization: Bearer";
        let credential = credential.ok_or(AuthError::MissingCredential(missing))?;
        self.find(credential).ok_or(AuthError::InvalidCredential("the key is not known"))
    }

    /// Compares with every key, each in full, so that the time taken reveals nothing.
    fn find(&self, credential: &Secret) -> Option<Arc<ApiKey>> {
        let hash: [u8; 32] = Sha256::digest(credential.expose().as_bytes()).into();
        let mut found = None;
        for key in self.0.iter() {
            if bool::from(key.sha256.ct_eq(&hash)) {
                found = Some(Arc::clone(key));
            }
        }
        found
    }

    /// Whether a key is restricted.
    pub(super) fn may_restrict(&self) -> bool {
        self.0.iter().any(|key| key.grant.is_restricted())
    }

    /// Whether a key is still in the file, unchanged.
    pub(super) fn contain(&self, key: &ApiKey) -> bool {
        self.0.iter().any(|other| **other == *key)
    }
}

fn read(file: &Path) -> Result<List, AuthSetupError> {
    let unreadable =
        |source| AuthSetupError::Unreadable { setting: SETTING, path: file.to_owned(), source };
    let bytes = read_bounded(file).map_err(unreadable)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| unreadable(std::io::Error::other("it is not UTF-8")))?;
    parse(&text).map_err(|problems| {
        let shown = |problem| format!("{}:{problem}", file.display());
        AuthSetupError::Wrong {
            setting: SETTING,
            problems: problems.into_iter().map(shown).collect(),
        }
    })
}

/// Reads the keys; the errors begin with the number of their line.
fn parse(text: &str) -> Result<List, Vec<String>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut file = KeysFile { text, keys: Vec::new(), problems: Vec::new() };
    if !errors.is_empty() {
        for error in errors {
            let start = error.span().map_or(0, |span| span.start);
            file.problem(start, format!("is not TOML: {}", error.message()));
        }
        return Err(file.problems);
    }
    for (name, value) in root.get_ref() {
        match (name.get_ref().as_ref(), value.get_ref()) {
            ("key", DeValue::Array(tables)) => tables.iter().for_each(|table| file.key(table)),
            ("key", _) => file.problem(name.span().start, format!("key is no table: {FORM}")),
            (other, _) => {
                file.problem(name.span().start, format!("{other:?} is not known: {FORM}"));
            }
        }
    }
    if file.keys.is_empty() && file.problems.is_empty() {
        file.problem(0, format!("there is no key: one is needed at least, {FORM}"));
    }
    if file.problems.is_empty() { Ok(file.keys.into()) } else { Err(file.problems) }
}

/// A file as it is read.
struct KeysFile<'t> {
    text: &'t str,
    keys: Vec<Arc<ApiKey>>,
    problems: Vec<String>,
}

impl KeysFile<'_> {
    fn problem(&mut self, at: usize, problem: impl Display) {
        let line = self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        self.problems.push(format!("{line}: {problem}"));
    }

    fn key(&mut self, table: &Spanned<DeValue<'_>>) {
        let start = table.span().start;
        let DeValue::Table(members) = table.get_ref() else {
            return self.problem(start, format!("a key is no table: {FORM}"));
        };
        for name in members.keys() {
            if !MEMBERS.contains(&name.get_ref().as_ref()) {
                let problem = format!("{:?} is not known: {FORM}", name.get_ref());
                self.problem(name.span().start, problem);
            }
        }
        let name = self.member(members, start, &NAME);
        let sha256 = self.member(members, start, &SHA256);
        let grant = self.grant(members, start);
        let (Some(name), Some(sha256), Some(grant)) = (name, sha256, grant) else { return };
        if self.keys.iter().any(|key| key.name == name) {
            self.problem(start, format!("name is {name:?} again: every key needs its own"));
        } else if self.keys.iter().any(|key| key.sha256 == sha256) {
            self.problem(
                start,
                format!("the key of {name:?} is another's too: each needs its own"),
            );
        } else {
            self.keys.push(Arc::new(ApiKey { name, grant, sha256 }));
        }
    }

    /// Reads what a key grants.
    fn grant(&mut self, members: &DeTable<'_>, start: usize) -> Option<Arc<Grant>> {
        let projects = self.member(members, start, &PROJECTS);
        let usernames = self.optional(members, &USERNAMES);
        let desktop_ids = self.optional(members, &DESKTOP_IDS);
        let desktop_pool_ids = self.optional(members, &DESKTOP_POOL_IDS);
        let permissions = self.optional(members, &PERMISSIONS);
        let rights = Rights {
            projects: projects?,
            usernames: usernames.ok()?,
            desktop_ids: desktop_ids.ok()?,
            desktop_pool_ids: desktop_pool_ids.ok()?,
            permissions: permissions.ok()?.unwrap_or_default(),
        };
        Some(Arc::new(rights.into()))
    }

    fn member<T>(&mut self, members: &DeTable<'_>, start: usize, member: &Member<T>) -> Option<T> {
        let value = self.optional(members, member).ok()?;
        if value.is_none() {
            let Member { name, allowed, .. } = member;
            self.problem(start, format!("{name} is missing: must be {allowed}"));
        }
        value
    }

    /// Reads a member of a key that may be left out. Problems never quote the value: it may be the key
    /// itself, by mistake.
    fn optional<T>(
        &mut self,
        members: &DeTable<'_>,
        member: &Member<T>,
    ) -> Result<Option<T>, Refused> {
        let Member { name, allowed, read } = member;
        let Some(value) = members.get(*name) else { return Ok(None) };
        let value_read = read(value.get_ref());
        if value_read.is_none() {
            self.problem(value.span().start, format!("{name} must be {allowed}"));
        }
        value_read.map(Some).ok_or(Refused)
    }
}

/// A member has a wrong value, and the problem is noted.
struct Refused;

/// A member of a key in the file.
struct Member<T> {
    name: &'static str,
    /// What is allowed, as the end of a sentence.
    allowed: &'static str,
    read: fn(&DeValue<'_>) -> Option<T>,
}

const NAME: Member<Arc<str>> = Member {
    name: "name",
    allowed: "a text of 1 to 64 letters, digits and . _ - @ : /",
    read: |value| {
        let name = value.as_str()?;
        let is_sane = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@:/".contains(&byte);
        let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_sane);
        is_name.then(|| name.into())
    },
};
const SHA256: Member<[u8; 32]> = Member {
    name: "sha256",
    allowed: "the key's SHA-256, 64 hexadecimal digits",
    read: |value| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(value.as_str()?, &mut bytes).ok()?;
        Some(bytes)
    },
};
const PROJECTS: Member<Option<BTreeSet<ProjectId>>> = Member {
    name: "projects",
    allowed: "a list of project ids, each of 1 to 64 letters, digits, - and _, or [\"*\"] for every \
              project",
    read: |value| projects_of_key(&texts(value)?),
};
const USERNAMES: Member<BTreeSet<Arc<str>>> = Member {
    name: "usernames",
    allowed: VALUES,
    read: |value| Some(values(value)?.into_iter().map(Arc::from).collect()),
};
const DESKTOP_IDS: Member<FoldedIds> = Member {
    name: "desktop_ids",
    allowed: VALUES,
    read: |value| Some(Rights::folded_ids(values(value)?)),
};
const DESKTOP_POOL_IDS: Member<FoldedIds> = Member { name: "desktop_pool_ids", ..DESKTOP_IDS };
const PERMISSIONS: Member<Permissions> = Member {
    name: "permissions",
    allowed: "a list of read, operations and download, with read among them; leave it out to grant all",
    read: |value| permissions_of_key(&texts(value)?),
};
const VALUES: &str = "a list of texts, each of 1 to 255 characters and none of them a control character; \
                      leave it out for no constraint";
const MEMBERS: [&str; 7] = [
    NAME.name,
    SHA256.name,
    PROJECTS.name,
    USERNAMES.name,
    DESKTOP_IDS.name,
    DESKTOP_POOL_IDS.name,
    PERMISSIONS.name,
];

fn texts<'v>(value: &'v DeValue<'_>) -> Option<Vec<&'v str>> {
    value.as_array()?.iter().map(|item| item.get_ref().as_str()).collect()
}

fn values<'v>(value: &'v DeValue<'_>) -> Option<Vec<&'v str>> {
    let is_sane = |text: &&str| {
        (1..=LONGEST_VALUE).contains(&text.chars().count()) && !text.contains(char::is_control)
    };
    texts(value).filter(|texts| texts.iter().all(is_sane))
}
