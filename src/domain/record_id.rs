//! Ids that are safe to put into a path.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Failure;

/// The longest id that is sent upstream, in characters.
const LONGEST: usize = 64;

/// A project's id as the caller gave it: `[A-Za-z0-9_-]{1,64}`.
///
/// Holding one proves the check, so it can stand in a path as it is. Comparing two ignores case and
/// dashes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectId {
    given: Arc<str>,
    folded: Arc<str>,
}

/// A recording's id as the caller gave it: `[A-Za-z0-9_-]{1,64}`.
///
/// Holding one proves the check, so it can stand in a path as it is: neither `..` nor an encoded
/// slash nor the name of a neighbouring call can be written with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RecordId(Arc<str>);

impl ProjectId {
    /// Reads a project id.
    ///
    /// # Errors
    /// [`Failure::BadInput`] for anything but 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let given = checked("projectId", text)?;
        let is_folded = !text.bytes().any(|byte| byte == b'-' || byte.is_ascii_uppercase());
        let folded = if is_folded { Arc::clone(&given) } else { Arc::from(RecordId::folded(text)) };
        Ok(Self { given, folded })
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// The id without case and dashes.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

impl PartialEq for ProjectId {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for ProjectId {}

impl PartialOrd for ProjectId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ProjectId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl Hash for ProjectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl RecordId {
    /// Names that stand in the place of a record id in the upstream's paths but mean other calls.
    const RESERVED: [&str; 3] = ["batch-delete", "download-address", "traffic-limit"];

    /// Reads a record id.
    ///
    /// # Errors
    /// [`Failure::BadInput`] for anything but 1 to 64 of `A-Z a-z 0-9 _ -`, and for the names of
    /// the upstream's neighbouring calls.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let id = checked("id", text)?;
        if Self::RESERVED.contains(&text) {
            return Err(Failure::BadInput {
                argument: "id",
                problem: "is the name of another call and cannot be a recording".into(),
            });
        }
        Ok(Self(id))
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text in which all written forms of an id are equal: case and dashes do not count.
    pub fn folded(id: &str) -> String {
        id.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect()
    }
}

impl TryFrom<String> for ProjectId {
    type Error = Failure;

    fn try_from(text: String) -> Result<Self, Failure> {
        Self::parse(&text)
    }
}

impl From<ProjectId> for String {
    fn from(project: ProjectId) -> Self {
        project.as_str().to_owned()
    }
}

impl TryFrom<String> for RecordId {
    type Error = Failure;

    fn try_from(text: String) -> Result<Self, Failure> {
        Self::parse(&text)
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn checked(argument: &'static str, text: &str) -> Result<Arc<str>, Failure> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_allowed) {
        return Ok(Arc::from(text));
    }
    let problem = "must be 1 to 64 of A-Z a-z 0-9 _ -".to_owned();
    Err(Failure::BadInput { argument, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_their_place_in_the_path_are_refused() {
        for text in ["", "..", "a/b", "a%2Fb", "ä", "a b", "a.b", &"x".repeat(65), "batch-delete"]
        {
            assert!(RecordId::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn both_written_forms_of_an_id_name_the_same_recording() {
        let dashed = RecordId::folded("6C655E6A-1b2c-4d3e-8f90-b7f0edc7a082");
        let plain = RecordId::folded("6c655e6a1b2c4d3e8f90b7f0edc7a082");

        assert_eq!(dashed, plain);
    }
}
