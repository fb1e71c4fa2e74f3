//! What a document can be refused for, in words for the caller.

use std::fmt;

/// Why a request is refused before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The document is not GraphQL.
    #[error("{message}")]
    Syntax {
        /// What was found and what was expected.
        message: String,
        /// Line of the place, from 1.
        line: usize,
        /// Column of the place in characters, from 1.
        column: usize,
    },
    /// The document reads as GraphQL but breaks a rule that the guard has to hold.
    #[error("{message}")]
    Invalid {
        /// Which rule, and what breaks it.
        message: String,
        /// Line of the place, from 1.
        line: usize,
        /// Column of the place in characters, from 1.
        column: usize,
    },
    /// The request asks for more than a limit allows.
    #[error("the request {}: {limit} allows {allowed}", limit.amount(*sent))]
    TooComplex {
        /// Which limit.
        limit: Limit,
        /// What it allows.
        allowed: usize,
        /// What the request has; at least so much where counting stopped early.
        sent: usize,
    },
}

impl Refusal {
    /// As it stands in `extensions.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "GRAPHQL_PARSE_FAILED",
            Self::Invalid { .. } => "GRAPHQL_VALIDATION_FAILED",
            Self::TooComplex { .. } => "QUERY_TOO_COMPLEX",
        }
    }

    /// Line and column of the place, where there is one.
    pub fn location(&self) -> Option<(usize, usize)> {
        match self {
            Self::Syntax { line, column, .. } | Self::Invalid { line, column, .. } => {
                Some((*line, *column))
            }
            Self::TooComplex { .. } => None,
        }
    }

    pub(super) fn syntax(document: &str, at: usize, message: String) -> Self {
        let (line, column) = Positions::new(document).of(at);
        Self::Syntax { message, line, column }
    }

    pub(super) fn invalid(document: &str, at: usize, message: String) -> Self {
        let (line, column) = Positions::new(document).of(at);
        Self::Invalid { message, line, column }
    }
}

/// Lines and columns, from 1, of byte offsets of a document. Those that go up are found in one pass over it.
pub(in crate::graphql) struct Positions<'d> {
    document: &'d str,
    /// How far the document has been read, and the position there.
    at: usize,
    line: usize,
    column: usize,
}

impl<'d> Positions<'d> {
    pub(in crate::graphql) fn new(document: &'d str) -> Self {
        Self { document, at: 0, line: 1, column: 1 }
    }

    /// The position of an offset; of the character's beginning or of the document's end, where it is inside
    /// of the one or behind the other.
    pub(in crate::graphql) fn of(&mut self, at: usize) -> (usize, usize) {
        let at = self.document.floor_char_boundary(at);
        if at < self.at {
            *self = Self::new(self.document);
        }
        let mut returned = self.document.get(..self.at).is_some_and(|read| read.ends_with('\r'));
        for next in self.document.get(self.at..at).unwrap_or_default().chars() {
            match next {
                // A return and a feed end one line.
                '\n' if returned => {}
                '\r' | '\n' => (self.line, self.column) = (self.line + 1, 1),
                _ => self.column += 1,
            }
            returned = next == '\r';
        }
        self.at = at;
        (self.line, self.column)
    }
}

/// Everything that is limited, displayed as the setting's name or as what limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// `limits.max_tokens`
    Tokens,
    /// `limits.max_depth`
    Depth,
    /// `limits.max_aliases`
    Aliases,
    /// `limits.max_directives`
    Directives,
    /// `limits.max_complexity`
    Complexity,
    /// `limits.max_root_fields`
    RootFields,
    /// `limits.max_representations`
    Representations,
    /// Cost of introspection; fixed.
    Introspection,
    /// Steps of validation, in proportion to `limits.max_tokens`.
    Validation,
    /// Nesting of brackets, and of selection sets with fragments expanded; fixed.
    Nesting,
    /// Bytes of one name or number; fixed.
    WordBytes,
    /// Arguments of one field or directive; fixed.
    Arguments,
    /// Operations of one document; fixed.
    Operations,
    /// Variables of one operation; fixed.
    Variables,
}

impl Limit {
    /// The setting's name, or what limits it where no setting does.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokens => "limits.max_tokens",
            Self::Depth => "limits.max_depth",
            Self::Aliases => "limits.max_aliases",
            Self::Directives => "limits.max_directives",
            Self::Complexity => "limits.max_complexity",
            Self::RootFields => "limits.max_root_fields",
            Self::Representations => "limits.max_representations",
            Self::Validation => "its share of limits.max_tokens",
            Self::Introspection
            | Self::Nesting
            | Self::WordBytes
            | Self::Arguments
            | Self::Operations
            | Self::Variables => "the gateway",
        }
    }

    pub(super) fn check(self, sent: usize, allowed: usize) -> Result<(), Refusal> {
        if sent <= allowed {
            return Ok(());
        }
        Err(Refusal::TooComplex { limit: self, allowed, sent })
    }

    /// What the request has of it, as a clause.
    fn amount(self, sent: usize) -> String {
        match self {
            Self::Tokens => format!("has {sent} tokens"),
            Self::Depth => format!("has a depth of {sent}"),
            Self::Aliases => format!("has {sent} aliases"),
            Self::Directives => format!("has {sent} directives"),
            Self::Complexity => format!("has a complexity of {sent}"),
            Self::RootFields => format!("has {sent} root fields"),
            Self::Representations => format!("asks for {sent} entities"),
            Self::Introspection => format!("has introspection that costs {sent}"),
            Self::Validation => format!("needs {sent} steps of validation"),
            Self::Nesting => format!("nests selections or brackets {sent} deep"),
            Self::WordBytes => format!("has a name or number of {sent} bytes"),
            Self::Arguments => format!("has a field or directive with {sent} arguments"),
            Self::Operations => format!("has a document with {sent} operations"),
            Self::Variables => format!("has an operation with {sent} variables"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Counted from the beginning, in another way.
    fn position(document: &str, at: usize) -> (usize, usize) {
        let (before, _) = document.split_at(at);
        let ends = before.matches(['\r', '\n']).count() - before.matches("\r\n").count();
        let last_line = before.rsplit(['\r', '\n']).next().unwrap_or_default();
        (1 + ends, 1 + last_line.chars().count())
    }

    proptest! {
        #[test]
        fn many_positions_are_those_of_one_after_the_other(
            document in "[a\r\n桌 ]{0,30}",
            places in proptest::collection::vec(0..30_usize, 1..10),
        ) {
            let mut positions = Positions::new(&document);
            let ends: Vec<usize> =
                document.char_indices().map(|(at, _)| at).chain([document.len()]).collect();
            for place in places {
                let at = ends[place % ends.len()];

                prop_assert_eq!(positions.of(at), position(&document, at), "{:?} at {}", document, at);
            }
        }
    }
}
