//! How an operation ended, as metrics name it.

/// The outcome of a GraphQL operation, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OperationOutcome {
    /// Answered without an error.
    Ok,
    /// Answered with an error of at least one field.
    Failed,
    /// Not executed: it is wrong in itself, or over a limit.
    Refused,
}

impl OperationOutcome {
    pub(super) const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::Refused];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}
