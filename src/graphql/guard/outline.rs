//! The outline of a document: what each definition holds itself, and where it spreads fragments.

use std::collections::HashMap;

use super::lexer::Token;
use super::{Measure, Refusal};

/// How many fragments may spread each other in a row, so that expanding them cannot run out of stack.
const MAX_FRAGMENTS: usize = 200;

/// A document's definitions.
#[derive(Debug, Default)]
pub(super) struct Outline<'d> {
    pub(super) operations: Vec<Definition<'d>>,
    pub(super) fragments: HashMap<&'d str, Definition<'d>>,
}

/// An operation or a fragment.
#[derive(Debug, Default)]
pub(super) struct Definition<'d> {
    /// What it holds without the fragments it spreads.
    pub(super) own: Measure,
    pub(super) spreads: Vec<Spread<'d>>,
}

/// A fragment spread.
#[derive(Debug)]
pub(super) struct Spread<'d> {
    pub(super) fragment: &'d str,
    /// How deep it stands.
    pub(super) depth: u64,
    /// How often introspection repeats what stands here; zero outside of it.
    pub(super) introspection_factor: u64,
}

/// Reads tokens in order. Where they make no sense it gives up, and the parser has the word: it sees
/// only documents of a bounded number of tokens and a bounded nesting.
struct Reader<'t, 'd> {
    tokens: &'t [Token<'d>],
    nesting: usize,
    max_nesting: usize,
}

/// Where in a selection the reader stands.
#[derive(Clone, Copy)]
struct Place {
    depth: u64,
    introspection_factor: u64,
}

impl<'d> Outline<'d> {
    /// Reads the outline.
    pub(super) fn of(tokens: &[Token<'d>], max_nesting: usize) -> Result<Self, Refusal> {
        check_nesting(tokens, max_nesting)?;
        let mut reader = Reader { tokens, nesting: 0, max_nesting };
        let mut outline = Self::default();
        while !reader.tokens.is_empty() {
            let mut definition = Definition::default();
            let name = reader.definition(&mut definition)?;
            match name {
                Some(name) => {
                    outline.fragments.insert(name, definition);
                }
                None => outline.operations.push(definition),
            }
        }
        if outline.fragments.len() > MAX_FRAGMENTS {
            return Err(Refusal::OutOfBounds(format!(
                "the document defines {} fragments: {MAX_FRAGMENTS} are allowed",
                outline.fragments.len()
            )));
        }
        Ok(outline)
    }
}

fn check_nesting(tokens: &[Token<'_>], most: usize) -> Result<(), Refusal> {
    let mut nesting = 0_usize;
    for token in tokens {
        match token {
            Token::Punctuator(b'(' | b'[' | b'{') => nesting += 1,
            Token::Punctuator(b')' | b']' | b'}') => nesting = nesting.saturating_sub(1),
            Token::Punctuator(_) | Token::Spread | Token::Name(_) | Token::Literal => {}
        }
        if nesting > most {
            return Err(Refusal::OutOfBounds(format!(
                "brackets nest more than {most} deep, which is the most that is read"
            )));
        }
    }
    Ok(())
}

impl<'d> Reader<'_, 'd> {
    /// One definition; the name of a fragment, `None` for an operation.
    fn definition(&mut self, into: &mut Definition<'d>) -> Result<Option<&'d str>, Refusal> {
        let fragment = match self.tokens {
            [Token::Name("fragment"), Token::Name(name), ..] => Some(*name),
            _ => None,
        };
        // Whatever stands before the selection: names, variables, types, directives.
        while !self.at(b'{') {
            match self.tokens.split_first() {
                Some((Token::Punctuator(b'('), _)) => self.skip_brackets(into),
                Some((token, rest)) => {
                    into.own.directives += u64::from(*token == Token::Punctuator(b'@'));
                    self.tokens = rest;
                }
                None => return Err(unfinished()),
            }
        }
        self.selection_set(into, Place { depth: 0, introspection_factor: 0 })?;
        Ok(fragment)
    }

    fn selection_set(&mut self, into: &mut Definition<'d>, place: Place) -> Result<(), Refusal> {
        self.nesting += 1;
        if self.nesting > self.max_nesting || !self.take(b'{') {
            return Err(unfinished());
        }
        while !self.take(b'}') {
            self.selection(into, place)?;
        }
        self.nesting -= 1;
        Ok(())
    }

    fn selection(&mut self, into: &mut Definition<'d>, place: Place) -> Result<(), Refusal> {
        match self.tokens {
            [Token::Spread, Token::Name(name), rest @ ..] if *name != "on" => {
                self.tokens = rest;
                let Place { depth, introspection_factor } = place;
                into.spreads.push(Spread { fragment: name, depth, introspection_factor });
                self.directives(into);
                Ok(())
            }
            [Token::Spread, rest @ ..] => {
                self.tokens = rest;
                if let [Token::Name("on"), Token::Name(_), rest @ ..] = rest {
                    self.tokens = rest;
                }
                self.directives(into);
                self.selection_set(into, place)
            }
            [Token::Name(_), Token::Punctuator(b':'), Token::Name(name), rest @ ..] => {
                self.tokens = rest;
                into.own.aliases += 1;
                self.field(name, into, place)
            }
            [Token::Name(name), rest @ ..] => {
                self.tokens = rest;
                self.field(name, into, place)
            }
            _ => Err(unfinished()),
        }
    }

    fn field(
        &mut self,
        name: &str,
        into: &mut Definition<'d>,
        place: Place,
    ) -> Result<(), Refusal> {
        let inside = place.into_field(name);
        if inside.introspection_factor > 0 {
            let cost = place.introspection_factor.max(1);
            into.own.introspection = into.own.introspection.saturating_add(cost);
        } else {
            into.own.complexity += 1;
            into.own.depth = into.own.depth.max(inside.depth);
        }
        if self.at(b'(') {
            self.skip_brackets(into);
        }
        self.directives(into);
        if self.at(b'{') { self.selection_set(into, inside) } else { Ok(()) }
    }

    fn directives(&mut self, into: &mut Definition<'d>) {
        while let [Token::Punctuator(b'@'), Token::Name(_), rest @ ..] = self.tokens {
            self.tokens = rest;
            into.own.directives += 1;
            if self.at(b'(') {
                self.skip_brackets(into);
            }
        }
    }

    /// Passes over arguments or variable definitions, which may hold directives themselves.
    fn skip_brackets(&mut self, into: &mut Definition<'d>) {
        let mut open = 0_usize;
        while let Some((token, rest)) = self.tokens.split_first() {
            self.tokens = rest;
            match token {
                Token::Punctuator(b'(' | b'[' | b'{') => open += 1,
                Token::Punctuator(b')' | b']' | b'}') => open = open.saturating_sub(1),
                Token::Punctuator(b'@') => into.own.directives += 1,
                Token::Punctuator(_) | Token::Spread | Token::Name(_) | Token::Literal => {}
            }
            if open == 0 {
                return;
            }
        }
    }

    fn at(&self, punctuator: u8) -> bool {
        self.tokens.first() == Some(&Token::Punctuator(punctuator))
    }

    fn take(&mut self, punctuator: u8) -> bool {
        let there = self.at(punctuator);
        if let (true, Some((_, rest))) = (there, self.tokens.split_first()) {
            self.tokens = rest;
        }
        there
    }
}

impl Place {
    /// The place inside a field.
    fn into_field(self, name: &str) -> Self {
        let introspection_factor = match (self.introspection_factor, name) {
            (0, "__schema" | "__type") => 1,
            (0, _) => 0,
            (factor, name) => factor.saturating_mul(members(name)),
        };
        Self { depth: self.depth.saturating_add(1), introspection_factor }
    }
}

/// How many members the lists of introspection are taken to have.
fn members(field: &str) -> u64 {
    match field {
        "types" => 32,
        "fields" | "inputFields" | "enumValues" | "directives" => 8,
        "args" | "interfaces" | "possibleTypes" | "locations" => 4,
        _ => 1,
    }
}

fn unfinished() -> Refusal {
    Refusal::Syntax { message: "the document is not complete GraphQL".to_owned(), offset: 0 }
}
