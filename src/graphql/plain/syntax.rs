//! Reads the part of GraphQL's syntax that plain selections are written in: one query and its fragments.
//!
//! `None` for anything else. The guard has read the whole document before, so nesting is bounded.

use super::super::guard::lexer::{Lexer, Token};

/// A document of one query.
#[derive(Debug, Default)]
pub(super) struct Syntax<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) variables: Vec<Declared<'a>>,
    pub(super) selections: Vec<Selection<'a>>,
    pub(super) fragments: Vec<Fragment<'a>>,
}

/// `$name: Type!`
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub(super) name: &'a str,
    pub(super) needs: &'a str,
}

#[derive(Debug)]
pub(super) struct Fragment<'a> {
    pub(super) name: &'a str,
    pub(super) on: &'a str,
    pub(super) selections: Vec<Selection<'a>>,
}

#[derive(Debug)]
pub(super) enum Selection<'a> {
    Field(Field<'a>),
    Spread(&'a str),
    Inline { on: Option<&'a str>, selections: Vec<Self> },
}

#[derive(Debug)]
pub(super) struct Field<'a> {
    /// Offset of the alias or, where there is none, the name.
    pub(super) at: usize,
    pub(super) key: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: Vec<(&'a str, Value<'a>)>,
    pub(super) conditions: Vec<Condition<'a>>,
    pub(super) selections: Vec<Selection<'a>>,
}

/// `@include(if: …)`, where true is wanted, or `@skip(if: …)`.
#[derive(Debug)]
pub(super) struct Condition<'a> {
    pub(super) wanted: bool,
    pub(super) value: Value<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A string without escapes.
    Text(&'a str),
    Variable(&'a str),
    Boolean(bool),
}

impl<'a> Syntax<'a> {
    pub(super) fn read(document: &'a str) -> Option<Self> {
        let mut reader = Reader { lexer: Lexer::new(document), token: Token::End, at: 0, end: 0 };
        reader.advance()?;
        reader.document()
    }
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    token: Token<'a>,
    /// Where the token begins and ends.
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Option<Syntax<'a>> {
        let mut syntax = Syntax::default();
        while self.token != Token::End {
            match self.token {
                Token::Name("fragment") => {
                    self.advance()?;
                    syntax.fragments.push(self.fragment()?);
                }
                Token::Name("query") if syntax.selections.is_empty() => {
                    self.advance()?;
                    if matches!(self.token, Token::Name(_)) {
                        syntax.name = Some(self.name()?);
                    }
                    syntax.variables = self.declarations()?;
                    syntax.selections = self.selections()?;
                }
                Token::Punctuator(b'{') if syntax.selections.is_empty() => {
                    syntax.selections = self.selections()?;
                }
                _ => return None,
            }
        }
        (!syntax.selections.is_empty()).then_some(syntax)
    }

    fn fragment(&mut self) -> Option<Fragment<'a>> {
        let name = self.name()?;
        self.word("on")?;
        Some(Fragment { name, on: self.name()?, selections: self.selections()? })
    }

    fn declarations(&mut self) -> Option<Vec<Declared<'a>>> {
        let mut declared = Vec::new();
        if !self.takes(b'(')? {
            return Some(declared);
        }
        while !self.takes(b')')? {
            self.punctuator(b'$')?;
            let name = self.name()?;
            self.punctuator(b':')?;
            declared.push(Declared { name, needs: self.name()? });
            self.punctuator(b'!')?;
        }
        Some(declared)
    }

    fn selections(&mut self) -> Option<Vec<Selection<'a>>> {
        self.punctuator(b'{')?;
        let mut selections = Vec::new();
        while !self.takes(b'}')? {
            selections.push(self.selection()?);
        }
        Some(selections)
    }

    fn selection(&mut self) -> Option<Selection<'a>> {
        if self.token != Token::Spread {
            return self.field().map(Selection::Field);
        }
        self.advance()?;
        match self.token {
            Token::Name("on") => {
                self.advance()?;
                let on = Some(self.name()?);
                Some(Selection::Inline { on, selections: self.selections()? })
            }
            Token::Name(_) => self.name().map(Selection::Spread),
            _ => Some(Selection::Inline { on: None, selections: self.selections()? }),
        }
    }

    fn field(&mut self) -> Option<Field<'a>> {
        let at = self.at;
        let key = self.name()?;
        let name = if self.takes(b':')? { self.name()? } else { key };
        let arguments = self.arguments()?;
        let mut conditions = Vec::new();
        while self.takes(b'@')? {
            conditions.push(self.condition()?);
        }
        let has_fields = self.token == Token::Punctuator(b'{');
        let selections = if has_fields { self.selections()? } else { Vec::new() };
        Some(Field { at, key, name, arguments, conditions, selections })
    }

    fn condition(&mut self) -> Option<Condition<'a>> {
        let wanted = match self.name()? {
            "include" => true,
            "skip" => false,
            _ => return None,
        };
        match self.arguments()?.as_slice() {
            [("if", value)] => Some(Condition { wanted, value: *value }),
            _ => None,
        }
    }

    fn arguments(&mut self) -> Option<Vec<(&'a str, Value<'a>)>> {
        let mut arguments = Vec::new();
        if !self.takes(b'(')? {
            return Some(arguments);
        }
        while !self.takes(b')')? {
            let name = self.name()?;
            self.punctuator(b':')?;
            arguments.push((name, self.value()?));
        }
        Some(arguments)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let value = match self.token {
            Token::Punctuator(b'$') => {
                self.advance()?;
                return self.name().map(Value::Variable);
            }
            Token::Name("true") => Value::Boolean(true),
            Token::Name("false") => Value::Boolean(false),
            Token::Text => Value::Text(self.text()?),
            _ => return None,
        };
        self.advance()?;
        Some(value)
    }

    /// What stands between the quotation marks, where that is what it means.
    fn text(&self) -> Option<&'a str> {
        let written = self.lexer.document().get(self.at..self.end)?;
        let inner = written.strip_prefix('"')?.strip_suffix('"')?;
        (!inner.contains(['"', '\\'])).then_some(inner)
    }

    fn name(&mut self) -> Option<&'a str> {
        let Token::Name(name) = self.token else { return None };
        self.advance()?;
        Some(name)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        (self.name()? == word).then_some(())
    }

    fn punctuator(&mut self, punctuator: u8) -> Option<()> {
        self.takes(punctuator)?.then_some(())
    }

    fn takes(&mut self, punctuator: u8) -> Option<bool> {
        let is_next = self.token == Token::Punctuator(punctuator);
        if is_next {
            self.advance()?;
        }
        Some(is_next)
    }

    fn advance(&mut self) -> Option<()> {
        (self.token, self.at) = self.lexer.next().ok()?;
        self.end = self.lexer.at();
        Some(())
    }
}
