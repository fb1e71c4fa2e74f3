//! Looks at a document's tokens before it is parsed: counts them, bounds how deep brackets nest, and
//! blanks out descriptions.
//!
//! The specification of September 2025 allows descriptions on operations, fragments and variables. The
//! parser does not know them yet, so each is overwritten with blanks, which moves no other token.

use std::borrow::Cow;
use std::ops::Range;

use apollo_parser::{Lexer, Token, TokenKind};

use crate::graphql::limits::{Limit, LimitExceeded, MAX_NAME_BYTES, MAX_NESTING};

/// A document to parse.
pub(super) struct Scanned<'d> {
    /// The document without descriptions. Every other token is at the offset that the client knows.
    pub(super) text: Cow<'d, str>,
    /// Tokens, without blanks, commas and comments.
    pub(super) tokens: usize,
}

/// Scans a document. Faults of syntax are left to the parser.
pub(super) fn scan(document: &str) -> Result<Scanned<'_>, LimitExceeded> {
    let mut scanner = Scanner::default();
    for token in Lexer::new(document).flatten() {
        let is_ignored = matches!(
            token.kind(),
            TokenKind::Whitespace | TokenKind::Comment | TokenKind::Comma | TokenKind::Eof
        );
        if !is_ignored {
            if token.kind() == TokenKind::Name {
                Limit::NAMES.check(token.data().len(), MAX_NAME_BYTES)?;
            }
            scanner.take(&token);
            Limit::NESTING.check(scanner.nesting, MAX_NESTING)?;
        }
    }
    let Scanner { tokens, descriptions, .. } = scanner;
    Ok(Scanned { text: blanked(document, &descriptions), tokens })
}

/// Where the scanner stands in a definition.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Before or inside the parts that have no descriptions.
    #[default]
    Other,
    /// Behind an operation's keyword, where its variables may be defined.
    OperationHead,
    /// Among the definitions of variables.
    Variables,
}

#[derive(Default)]
struct Scanner {
    tokens: usize,
    /// Open brackets.
    nesting: usize,
    place: Place,
    /// The token before.
    previous: Option<TokenKind>,
    /// A string that is a description if the next token may follow one.
    candidate: Option<Range<usize>>,
    descriptions: Vec<Range<usize>>,
}

impl Scanner {
    fn take(&mut self, token: &Token<'_>) {
        self.tokens += 1;
        if let Some(description) = self.candidate.take()
            && self.may_be_described(token)
        {
            self.descriptions.push(description);
        }
        match token.kind() {
            TokenKind::LCurly | TokenKind::LParen | TokenKind::LBracket => self.open(token.kind()),
            TokenKind::RCurly | TokenKind::RParen | TokenKind::RBracket => self.close(),
            TokenKind::Name if self.nesting == 0 => self.name(token.data()),
            TokenKind::At if self.nesting == 0 => self.place = Place::Other,
            TokenKind::StringValue if self.may_describe() => {
                self.candidate = Some(token.index()..token.index() + token.data().len());
            }
            _ => {}
        }
        self.previous = Some(token.kind());
    }

    /// Whether a string in this place may be a description.
    fn may_describe(&self) -> bool {
        match self.nesting {
            0 => self.begins_definition(),
            // Behind `=` it is a default value.
            1 => self.place == Place::Variables && self.previous != Some(TokenKind::Eq),
            _ => false,
        }
    }

    fn begins_definition(&self) -> bool {
        matches!(self.previous, None | Some(TokenKind::RCurly))
    }

    fn may_be_described(&self, next: &Token<'_>) -> bool {
        match (self.nesting, self.place, next.kind()) {
            (0, _, TokenKind::Name) => {
                matches!(next.data(), "query" | "mutation" | "subscription" | "fragment")
            }
            (1, Place::Variables, TokenKind::Dollar) => true,
            _ => false,
        }
    }

    fn open(&mut self, bracket: TokenKind) {
        if self.nesting == 0 {
            let defines_variables =
                self.place == Place::OperationHead && bracket == TokenKind::LParen;
            self.place = if defines_variables { Place::Variables } else { Place::Other };
        }
        self.nesting += 1;
    }

    fn close(&mut self) {
        self.nesting = self.nesting.saturating_sub(1);
        if self.nesting == 0 {
            self.place = Place::Other;
        }
    }

    fn name(&mut self, name: &str) {
        let begins = self.begins_definition() || self.previous == Some(TokenKind::StringValue);
        if begins && matches!(name, "query" | "mutation" | "subscription") {
            self.place = Place::OperationHead;
        }
    }
}

/// The text with blanks in place of some parts.
fn blanked<'d>(text: &'d str, parts: &[Range<usize>]) -> Cow<'d, str> {
    if parts.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_vec();
    for part in parts {
        for byte in bytes.get_mut(part.clone()).unwrap_or_default() {
            // Lines stay where they are.
            if !matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }
    // Whole tokens were overwritten, so what is left is whole characters.
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}
