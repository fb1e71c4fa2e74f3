//! Problems that the command `check` finds, with remedies.

use std::fmt;

/// A problem and its remedy, for a person who sets the gateway up. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, in one line.
    pub problem: String,
    /// What to do, in one line.
    pub remedy: String,
}

impl Diagnostic {
    /// A problem and its remedy.
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  wrong: {}\n  to do: {}", self.problem, self.remedy)
    }
}
