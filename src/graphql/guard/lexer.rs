//! Splits a document into tokens as the GraphQL specification has them (section 2.1).

/// A lexical token. Values of strings and numbers are of no interest to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'d> {
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Punctuator(u8),
    /// `...`
    Spread,
    Name(&'d str),
    /// A number or a string.
    Literal,
}

/// Why a document cannot be split.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LexError {
    TooMany,
    Unreadable { message: &'static str, offset: usize },
}

/// The tokens of a document, up to `most` of them.
pub(super) fn tokens(document: &str, most: usize) -> Result<Vec<Token<'_>>, LexError> {
    let document = document.strip_prefix('\u{feff}').unwrap_or(document);
    let mut lexer = Lexer { document, offset: 0 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        if tokens.len() == most {
            return Err(LexError::TooMany);
        }
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'d> {
    document: &'d str,
    offset: usize,
}

impl<'d> Lexer<'d> {
    fn next(&mut self) -> Result<Option<Token<'d>>, LexError> {
        self.skip_ignored();
        let Some(first) = self.peek() else { return Ok(None) };
        let token = match first {
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|'
            | b'}' => {
                self.offset += 1;
                Token::Punctuator(first)
            }
            b'.' if self.rest().starts_with("...") => {
                self.offset += 3;
                Token::Spread
            }
            b'"' => self.string()?,
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                Token::Name(self.take_while(|b| b.is_ascii_alphanumeric() || b == b'_'))
            }
            b'-' | b'0'..=b'9' => {
                // The parser checks the number; here its extent is enough.
                self.take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
                Token::Literal
            }
            _ => return Err(self.unreadable("a character that starts no token")),
        };
        Ok(Some(token))
    }

    /// White space, commas, comments and byte order marks.
    fn skip_ignored(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r' | b',') => self.offset += 1,
                Some(b'#') => {
                    self.take_while(|b| b != b'\n' && b != b'\r');
                }
                Some(0xEF) if self.rest().starts_with('\u{feff}') => self.offset += 3,
                _ => return,
            }
        }
    }

    fn string(&mut self) -> Result<Token<'d>, LexError> {
        let rest = self.rest();
        let length = match rest.strip_prefix("\"\"\"") {
            Some(inner) => block_string(inner).map(|length| length + 3),
            None => rest.strip_prefix('"').and_then(string).map(|length| length + 1),
        };
        let length = length.ok_or_else(|| self.unreadable("a string without an end"))?;
        self.offset += length;
        Ok(Token::Literal)
    }

    fn take_while(&mut self, of_it: impl Fn(u8) -> bool) -> &'d str {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !of_it(byte)).unwrap_or(rest.len());
        self.offset += length;
        // Only ASCII is ever taken or stops a run, so this is a boundary between characters.
        rest.get(..length).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.document.as_bytes().get(self.offset).copied()
    }

    fn rest(&self) -> &'d str {
        self.document.get(self.offset..).unwrap_or_default()
    }

    fn unreadable(&self, message: &'static str) -> LexError {
        LexError::Unreadable { message, offset: self.offset }
    }
}

/// The length of a string's inside and its closing quote.
fn string(inner: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'\n' | b'\r' => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The length of a block string's inside and its closing quotes.
fn block_string(inner: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + inner.get(from..)?.find("\"\"\"")?;
        // Quotes after a backslash are text.
        if !inner.get(..at)?.ends_with('\\') {
            return Some(at + 3);
        }
        from = at + 3;
    }
}
