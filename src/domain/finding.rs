//! What is wrong with a set-up, and what to do about it.

use std::fmt;

/// Something that is wrong, for a person who sets the gateway up. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, in one line.
    pub problem: String,
    /// What to do, in one line.
    pub remedy: String,
}

impl Finding {
    /// What is wrong, and what to do.
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  wrong: {}\n  to do: {}", self.problem, self.remedy)
    }
}
