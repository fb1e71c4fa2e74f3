//! Looks at a document's tokens before it is parsed: counts them, bounds how deep brackets nest, notes
//! their positions, and blanks out descriptions.
//!
//! The specification of September 2025 allows descriptions on operations, fragments and variables. The
//! parser does not know them yet, so each is overwritten with blanks, which moves no other token.

use apollo_compiler::parser::SourceSpan;
use apollo_parser::{Lexer, Token, TokenKind};
use async_graphql::Pos;

use crate::graphql::limits::{Limit, LimitExceeded, MAX_NAME_BYTES, MAX_NESTING};

/// A document to parse.
pub(super) struct Scanned {
    /// The document without descriptions. Every other token is at the offset that the client knows.
    pub(super) text: String,
    /// Tokens, without blanks, commas and comments.
    pub(super) tokens: usize,
    pub(super) positions: TokenPositions,
}

/// Scans a document. Faults of syntax are left to the parser.
pub(super) fn scan(document: &str) -> Result<Scanned, LimitExceeded> {
    let (mut text, mut positions) = (document.to_owned(), TokenPositions::default());
    let (mut tokens, mut nesting) = (0_usize, 0_usize);
    // A string is a description if the next token is one that may be described.
    let (mut previous, mut string) = (None, None::<Token<'_>>);
    for token in Lexer::new(document).flatten() {
        let kind = token.kind();
        if matches!(kind, TokenKind::Whitespace | TokenKind::Comment | TokenKind::Comma) {
            continue;
        }
        positions.add(document, token.index());
        if kind == TokenKind::Eof {
            break;
        }
        tokens += 1;
        if let Some(string) = string.take().filter(|_| may_be_described(&token, nesting)) {
            let range = string.index()..string.index() + string.data().len();
            text.replace_range(range.clone(), &" ".repeat(range.len()));
        }
        match kind {
            TokenKind::Name => Limit::NAMES.check(token.data().len(), MAX_NAME_BYTES)?,
            TokenKind::LCurly | TokenKind::LParen | TokenKind::LBracket => nesting += 1,
            TokenKind::RCurly | TokenKind::RParen | TokenKind::RBracket => {
                nesting = nesting.saturating_sub(1);
            }
            TokenKind::StringValue if may_describe(previous, nesting) => string = Some(token),
            _ => {}
        }
        Limit::NESTING.check(nesting, MAX_NESTING)?;
        previous = Some(kind);
    }
    Ok(Scanned { text, tokens, positions })
}

/// Whether a string behind a token may be a description.
fn may_describe(previous: Option<TokenKind>, nesting: usize) -> bool {
    match nesting {
        // Of an operation or a fragment.
        0 => matches!(previous, None | Some(TokenKind::RCurly)),
        // Of a variable, unless it is a default value or the value of an argument.
        1 => !matches!(previous, Some(TokenKind::Eq | TokenKind::Colon)),
        _ => false,
    }
}

/// Whether a description may stand before a token.
fn may_be_described(token: &Token<'_>, nesting: usize) -> bool {
    match (nesting, token.kind()) {
        (0, TokenKind::Name) => {
            matches!(token.data(), "query" | "mutation" | "subscription" | "fragment")
        }
        (1, TokenKind::Dollar) => true,
        _ => false,
    }
}

/// Lines and columns of a document's tokens, both from 1, as the specification counts them.
#[derive(Debug, Default)]
pub(super) struct TokenPositions(Vec<TokenPosition>);

#[derive(Clone, Copy, Debug)]
struct TokenPosition {
    offset: usize,
    position: Pos,
}

const START: TokenPosition = TokenPosition { offset: 0, position: Pos { line: 1, column: 1 } };

impl TokenPositions {
    /// Adds the token at an offset, which is behind those that were added.
    fn add(&mut self, text: &str, offset: usize) {
        let last = self.0.last().copied().unwrap_or(START);
        let mut position = last.position;
        let between = text.as_bytes().get(last.offset..offset).unwrap_or_default();
        for (at, byte) in between.iter().enumerate() {
            match byte {
                // The feed behind it ends the line.
                b'\r' if between.get(at + 1) == Some(&b'\n') => {}
                b'\r' | b'\n' => position = Pos { line: position.line + 1, column: 1 },
                // A further byte of a character in UTF-8.
                0x80..=0xBF => {}
                _ => position.column += 1,
            }
        }
        self.0.push(TokenPosition { offset, position });
    }

    /// The position of the token that a node begins with, or of the last one before it.
    pub(super) fn of(&self, node: Option<SourceSpan>) -> Pos {
        let offset = node.map_or(0, |span| span.offset());
        let behind = self.0.partition_point(|token| token.offset <= offset);
        let token = behind.checked_sub(1).and_then(|index| self.0.get(index));
        token.unwrap_or(&START).position
    }
}
