//! GraphQL's lexical grammar: text to tokens, each byte looked at a bounded number of times.
//!
//! Stricter than the parser behind it in one way, which is the specification's: a word ends where
//! its letters end. Laxer in another: which escapes a string may hold is the parser's to say.

use super::{Limit, MAX_WORD_BYTES, Refusal};

/// How much of a token an error message shows.
const SHOWN_CHARS: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::graphql) enum Token<'a> {
    Name(&'a str),
    Int(&'a str),
    Float(&'a str),
    Text,
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Punctuator(u8),
    Spread,
    End,
}

impl Token<'_> {
    /// For error messages.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Name(word) | Self::Int(word) | Self::Float(word) => {
                format!("\"{}\"", word.chars().take(SHOWN_CHARS).collect::<String>())
            }
            Self::Text => "a string".to_owned(),
            Self::Punctuator(byte) => format!("\"{}\"", char::from(byte)),
            Self::Spread => "\"...\"".to_owned(),
            Self::End => "the end of the document".to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
pub(in crate::graphql) struct Lexer<'a> {
    document: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(in crate::graphql) fn new(document: &'a str) -> Self {
        Self { document, at: 0 }
    }

    pub(in crate::graphql) fn document(&self) -> &'a str {
        self.document
    }

    /// Where the last token ends.
    pub(in crate::graphql) fn at(&self) -> usize {
        self.at
    }

    /// The next token and the offset it begins at. After the end, the end again.
    pub(in crate::graphql) fn next(&mut self) -> Result<(Token<'a>, usize), Refusal> {
        self.skip_ignored();
        let start = self.at;
        let Some(first) = self.peek(0) else {
            return Ok((Token::End, start));
        };
        let token = match first {
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|'
            | b'}' => {
                self.at += 1;
                Token::Punctuator(first)
            }
            b'.' if self.rest().starts_with(b"...") => {
                self.at += 3;
                Token::Spread
            }
            b'"' => self.string(start)?,
            b'-' | b'0'..=b'9' => self.number(start)?,
            b'_' | b'A'..=b'Z' | b'a'..=b'z' => Token::Name(self.word(start)?),
            _ => return Err(self.unexpected_character(start)),
        };
        Ok((token, start))
    }

    fn rest(&self) -> &'a [u8] {
        self.document.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.document.as_bytes().get(self.at + ahead).copied()
    }

    /// White space, commas, comments and byte order marks.
    fn skip_ignored(&mut self) {
        loop {
            match self.peek(0) {
                Some(b' ' | b'\t' | b'\n' | b'\r' | b',') => self.at += 1,
                Some(b'#') => self.skip_while(|byte| byte != b'\n' && byte != b'\r'),
                Some(0xEF) if self.rest().starts_with("\u{feff}".as_bytes()) => self.at += 3,
                _ => return,
            }
        }
    }

    fn skip_while(&mut self, belongs: impl Fn(u8) -> bool) {
        let rest = self.rest();
        self.at += rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len());
    }

    fn skip_digits(&mut self, start: usize) -> Result<(), Refusal> {
        let before = self.at;
        self.skip_while(|byte| byte.is_ascii_digit());
        if self.at == before {
            return Err(self.error(start, "a number lacks a digit"));
        }
        Ok(())
    }

    /// A name, from where the lexer stands.
    fn word(&mut self, start: usize) -> Result<&'a str, Refusal> {
        self.skip_while(is_word);
        self.bounded(start)
    }

    /// What was read since `start`, unless it is too long.
    fn bounded(&self, start: usize) -> Result<&'a str, Refusal> {
        let word = self.document.get(start..self.at).unwrap_or_default();
        Limit::WordBytes.check(word.len(), MAX_WORD_BYTES)?;
        Ok(word)
    }

    fn number(&mut self, start: usize) -> Result<Token<'a>, Refusal> {
        if self.peek(0) == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek(0) == Some(b'0');
        let whole = self.at;
        self.skip_digits(start)?;
        if leading_zero && self.at > whole + 1 {
            return Err(self.error(start, "a number begins with 0"));
        }
        let mut is_float = false;
        if self.peek(0) == Some(b'.') {
            is_float = true;
            self.at += 1;
            self.skip_digits(start)?;
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            is_float = true;
            self.at += 1;
            if matches!(self.peek(0), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.skip_digits(start)?;
        }
        if self.peek(0).is_some_and(|byte| is_word(byte) || byte == b'.') {
            return Err(self.error(start, "a number runs into what follows it"));
        }
        let word = self.bounded(start)?;
        Ok(if is_float { Token::Float(word) } else { Token::Int(word) })
    }

    fn string(&mut self, start: usize) -> Result<Token<'a>, Refusal> {
        if self.rest().starts_with(br#"""""#) {
            self.at += 3;
            return self.block_string(start);
        }
        self.at += 1;
        loop {
            self.skip_while(|byte| !matches!(byte, b'"' | b'\\' | b'\n' | b'\r'));
            match self.peek(0) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Token::Text);
                }
                Some(b'\\') if self.peek(1).is_some_and(|byte| byte.is_ascii_graphic()) => {
                    self.at += 2;
                }
                _ => return Err(self.error(start, "a string is not closed on its line")),
            }
        }
    }

    fn block_string(&mut self, start: usize) -> Result<Token<'a>, Refusal> {
        loop {
            self.skip_while(|byte| !matches!(byte, b'"' | b'\\'));
            let rest = self.rest();
            if rest.is_empty() {
                return Err(self.error(start, "a block string is not closed"));
            }
            self.at += if rest.starts_with(br#"\""""#) {
                4
            } else if rest.starts_with(br#"""""#) {
                self.at += 3;
                return Ok(Token::Text);
            } else {
                1
            };
        }
    }

    fn unexpected_character(&self, at: usize) -> Refusal {
        let character = self.document.get(at..).and_then(|rest| rest.chars().next());
        self.error(at, &format!("unexpected character {:?}", character.unwrap_or_default()))
    }

    fn error(&self, at: usize, message: &str) -> Refusal {
        Refusal::syntax(self.document, at, message.to_owned())
    }
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}
