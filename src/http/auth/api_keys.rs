//! Keys of callers, from a file that holds their hashes.
//!
//! A key is random and long, so one SHA-256 of it is enough; passwords, which need more, are not
//! what this is for.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{AuthSetupError, Projects, hash};
use crate::config::read_bounded;
use crate::domain::{ProjectId, Secret};

const SETTING: &str = "inbound.api_keys_file";
/// Stands for every project.
const EVERY: &str = "*";
/// The longest name of a key.
const LONGEST_NAME: usize = 64;
const FORM: &str = "a file is made of [[key]] with name, sha256 and projects";

/// The keys that are let in.
#[derive(Default)]
pub(super) struct ApiKeys(List);

type List = Arc<[Arc<ApiKey>]>;

/// A key, by its hash. Without `Debug`: the hash is nobody's business.
#[derive(PartialEq, Eq)]
pub(super) struct ApiKey {
    name: Arc<str>,
    sha256: [u8; 32],
    projects: Projects,
}

impl ApiKeys {
    /// Reads the file.
    pub(super) fn read(file: &Path) -> Result<Self, AuthSetupError> {
        read(file).map(Self)
    }

    /// The key that somebody shows. Every key is compared, and each in full, so that the time it takes
    /// tells nothing.
    pub(super) fn find(&self, shown: &Secret) -> Option<Arc<ApiKey>> {
        let shown = hash(shown.expose());
        let mut found = None;
        for key in self.0.iter() {
            if bool::from(key.sha256.ct_eq(&shown)) {
                found = Some(Arc::clone(key));
            }
        }
        found
    }

    /// Whether a key is still there, as it was.
    pub(super) fn hold(&self, key: &ApiKey) -> bool {
        self.0.iter().any(|held| **held == *key)
    }
}

impl ApiKey {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn projects(&self) -> Projects {
        self.projects.clone()
    }
}

fn read(file: &Path) -> Result<List, AuthSetupError> {
    let unreadable =
        |source| AuthSetupError::Unreadable { setting: SETTING, path: file.to_owned(), source };
    let bytes = read_bounded(file).map_err(unreadable)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| unreadable(std::io::Error::other("it is not UTF-8")))?;
    parse(&text).map_err(|problems| {
        let shown = |(line, problem)| format!("{}:{line}: {problem}", file.display());
        AuthSetupError::Wrong {
            setting: SETTING,
            problems: problems.into_iter().map(shown).collect(),
        }
    })
}

/// What is wrong, each with its line.
type Problems = Vec<(usize, String)>;

fn parse(text: &str) -> Result<List, Problems> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let at = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
        return Err(errors
            .iter()
            .map(|error| (line(text, at(error)), format!("is not TOML: {}", error.message())))
            .collect());
    }
    let mut file = KeysFile { text, keys: Vec::new(), problems: Vec::new() };
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
    problems: Problems,
}

impl KeysFile<'_> {
    fn problem(&mut self, at: usize, problem: String) {
        self.problems.push((line(self.text, at), problem));
    }

    fn key(&mut self, table: &Spanned<DeValue<'_>>) {
        let start = table.span().start;
        let DeValue::Table(members) = table.get_ref() else {
            return self.problem(start, format!("a key is no table: {FORM}"));
        };
        for name in members.keys() {
            if !["name", "sha256", "projects"].contains(&name.get_ref().as_ref()) {
                let problem = format!("{:?} is not known: {FORM}", name.get_ref());
                self.problem(name.span().start, problem);
            }
        }
        let name = self.member(members, start, ("name", NAME_ALLOWED), name);
        let sha256 = self.member(members, start, ("sha256", SHA256_ALLOWED), sha256);
        let projects = self.member(members, start, ("projects", PROJECTS_ALLOWED), projects);
        let (Some(name), Some(sha256), Some(projects)) = (name, sha256, projects) else { return };
        if self.keys.iter().any(|key| key.name == name) {
            self.problem(start, format!("name is {name:?} again: every key needs its own"));
        } else if self.keys.iter().any(|key| key.sha256 == sha256) {
            self.problem(
                start,
                format!("the key of {name:?} is another's too: each needs its own"),
            );
        } else {
            self.keys.push(Arc::new(ApiKey { name, sha256, projects }));
        }
    }

    /// A member of a key. What it holds is not shown: it may be the key itself, by mistake.
    fn member<T>(
        &mut self,
        members: &DeTable<'_>,
        start: usize,
        (name, allowed): (&str, &str),
        read: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = members.get(name) else {
            self.problem(start, format!("{name} is missing: must be {allowed}"));
            return None;
        };
        let value_read = read(value.get_ref());
        if value_read.is_none() {
            self.problem(value.span().start, format!("{name} must be {allowed}"));
        }
        value_read
    }
}

const NAME_ALLOWED: &str = "a text of 1 to 64 letters, digits and . _ - @ : /";
const SHA256_ALLOWED: &str = "the key's SHA-256, 64 hexadecimal digits";
const PROJECTS_ALLOWED: &str = "a list of project ids, each of 1 to 64 letters, digits, - and _, or \
                                [\"*\"] for every project";

fn name(value: &DeValue<'_>) -> Option<Arc<str>> {
    let name = value.as_str()?;
    let is_sane = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@:/".contains(&byte);
    ((1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_sane)).then(|| name.into())
}

fn sha256(value: &DeValue<'_>) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(value.as_str()?, &mut bytes).ok()?;
    Some(bytes)
}

fn projects(value: &DeValue<'_>) -> Option<Projects> {
    let DeValue::Array(items) = value else { return None };
    let texts: Vec<&str> =
        items.iter().map(|item| item.get_ref().as_str()).collect::<Option<_>>()?;
    match texts.as_slice() {
        [] => None,
        [every] if *every == EVERY => Some(None),
        listed => {
            let projects: Option<BTreeSet<_>> =
                listed.iter().map(|project| ProjectId::parse(project).ok()).collect();
            Some(Some(Arc::new(projects?)))
        }
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the key `secret`.
    const SHA256: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn problems(text: &str) -> Vec<(usize, String)> {
        parse(text).err().unwrap_or_default()
    }

    #[test]
    fn a_key_is_found_by_its_hash_and_knows_its_projects() {
        let file = format!(
            "[[key]]\nname = \"some\"\nsha256 = \"{SHA256}\"\nprojects = [\"p1\", \"p2\"]\n\
             [[key]]\nname = \"all\"\nsha256 = \"{}\"\nprojects = [\"*\"]\n",
            "AB".repeat(32)
        );
        let keys = ApiKeys(parse(&file).ok().unwrap());

        let found = keys.find(&Secret::new("secret")).unwrap();

        assert_eq!(found.name(), "some");
        assert_eq!(found.projects().map(|projects| projects.len()), Some(2));
        assert!(keys.find(&Secret::new("Secret")).is_none());
        assert!(keys.find(&Secret::new(SHA256)).is_none());
        assert!(keys.0.iter().any(|key| key.name() == "all" && key.projects().is_none()));
    }

    #[test]
    fn whatever_is_wrong_is_told_with_its_line_and_what_is_allowed() {
        let good = format!("name = \"n\"\nsha256 = \"{SHA256}\"\nprojects = [\"*\"]\n");
        for (file, expected) in [
            ("[[key]\n".to_owned(), vec![(1, "is not TOML")]),
            (String::new(), vec![(1, "there is no key")]),
            ("[keys]\n".to_owned(), vec![(1, "\"keys\" is not known")]),
            ("key = 1\n".to_owned(), vec![(1, "key is no table")]),
            (format!("[[key]]\n{good}[[key]]\n{good}"), vec![(5, "name is \"n\" again")]),
            (
                format!("[[key]]\n{good}[[key]]\n{}", good.replace("\"n\"", "\"m\"")),
                vec![(5, "the key of \"m\" is another's too")],
            ),
            (
                "[[key]]\nname = \"a b\"\nsha256 = \"secret\"\nprojects = []\nrole = 1\n"
                    .to_owned(),
                vec![
                    (5, "\"role\" is not known"),
                    (2, "name must be a text of 1 to 64"),
                    (3, "sha256 must be the key's SHA-256, 64 hexadecimal digits"),
                    (4, "projects must be a list of project ids"),
                ],
            ),
            (
                format!("[[key]]\nname = \"n\"\nsha256 = \"{SHA256}\"\n"),
                vec![(1, "projects is missing: must be a list")],
            ),
            (
                format!("[[key]]\n{}", good.replace("[\"*\"]", "[\"*\", \"p\"]")),
                vec![(4, "projects must be a list of project ids")],
            ),
        ] {
            let problems = problems(&file);

            assert_eq!(problems.len(), expected.len(), "of {file}: {problems:#?}");
            for ((line, problem), (expected_line, start)) in problems.iter().zip(expected) {
                assert_eq!(*line, expected_line, "of {file}: {problem}");
                assert!(problem.starts_with(start), "{problem} does not start with {start}");
                assert!(!problem.contains("secret"), "{problem}");
            }
        }
    }
}
