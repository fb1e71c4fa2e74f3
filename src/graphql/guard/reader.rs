//! GraphQL's executable grammar: tokens to an outline. Recursion ends at [`MAX_NESTING`].

use super::lexer::{Lexer, Token};
use super::outline::{
    Extras, First, Fragment, Item, ItemKind, Operation, Outline, VariableDefinition, length,
};
use super::shape::{self, INPUT_TYPES};
use super::{Limit, MAX_ARGUMENTS, MAX_NESTING, MAX_OPERATIONS, MAX_VARIABLES, Refusal};

/// Outlines a document of no more than so many tokens; adds the tokens read to `steps`.
pub(super) fn read<'a>(
    document: &'a str,
    max_tokens: usize,
    steps: &mut usize,
) -> Result<Outline<'a>, Refusal> {
    let mut reader = Reader {
        lexer: Lexer::new(document),
        token: Token::End,
        at: 0,
        max_tokens,
        nesting: 0,
        outline: Outline::default(),
    };
    let outcome = reader.document();
    *steps += reader.outline.tokens;
    outcome.map(|()| reader.outline)
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    /// The token that is to be read next, and its offset.
    token: Token<'a>,
    at: usize,
    max_tokens: usize,
    /// Brackets that are open.
    nesting: usize,
    outline: Outline<'a>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<(), Refusal> {
        self.advance()?;
        if self.token == Token::End {
            return Err(self.expected("an operation"));
        }
        while self.token != Token::End {
            self.definition()?;
        }
        Ok(())
    }

    fn definition(&mut self) -> Result<(), Refusal> {
        match self.token {
            Token::Punctuator(b'{') => self.operation(),
            Token::Name("query" | "mutation" | "subscription") => {
                self.advance()?;
                self.operation()
            }
            Token::Name("fragment") => {
                self.advance()?;
                self.fragment()
            }
            _ => Err(self.expected("an operation or a fragment")),
        }
    }

    /// An operation after its keyword, if it has one.
    fn operation(&mut self) -> Result<(), Refusal> {
        let name = self.optional_name()?;
        let mut extras = self.extras();
        let variables = self.variable_definitions(&mut extras)?;
        self.directives(&mut extras)?;
        let start = self.outline.sets.len();
        self.selection_set()?;

        let sets = start..self.outline.sets.len();
        self.outline.operations.push(Operation { name, variables, extras, sets });
        Limit::Operations.check(self.outline.operations.len(), MAX_OPERATIONS)
    }

    /// A fragment after its keyword.
    fn fragment(&mut self) -> Result<(), Refusal> {
        let at = self.at;
        if self.token == Token::Name("on") {
            return Err(self.expected("a fragment's name"));
        }
        let name = self.name()?;
        if !self.takes_name("on")? {
            return Err(self.expected("\"on\""));
        }
        self.name()?;
        let mut extras = self.extras();
        self.directives(&mut extras)?;
        let start = self.outline.sets.len();
        self.selection_set()?;

        let sets = start..self.outline.sets.len();
        self.outline.fragments.push(Fragment { name, at, extras, sets });
        Ok(())
    }

    fn variable_definitions(
        &mut self,
        extras: &mut Extras,
    ) -> Result<Vec<VariableDefinition<'a>>, Refusal> {
        let mut definitions = Vec::new();
        if !self.opens(b'(')? {
            return Ok(definitions);
        }
        while !self.closes(b')')? {
            definitions.push(self.variable_definition(extras)?);
            Limit::Variables.check(definitions.len(), MAX_VARIABLES)?;
        }
        Ok(definitions)
    }

    /// A variable's definition. The specification has directives after the default value, the
    /// parser behind the guard has them before it; both are read.
    fn variable_definition(
        &mut self,
        extras: &mut Extras,
    ) -> Result<VariableDefinition<'a>, Refusal> {
        self.punctuator(b'$')?;
        let name = self.name()?;
        self.punctuator(b':')?;
        let type_at = self.at;
        let listed_type = self.listed_type()?;
        self.directives(extras)?;
        let mut definition = VariableDefinition { name, default_tokens: 0, default_length: None };
        if self.takes(b'=')? {
            if let Some(name) = listed_type.filter(|name| !INPUT_TYPES.contains(name)) {
                return Err(self.invalid(type_at, format!("unknown input type \"{name}\"")));
            }
            let before = self.outline.tokens;
            if let Token::Int(literal) = self.token {
                definition.default_length = Some(length(literal));
            }
            self.value()?;
            definition.default_tokens = self.outline.tokens - before;
        }
        self.directives(extras)?;
        Ok(definition)
    }

    /// A type; answers the name of the items' type where it is a list's.
    fn listed_type(&mut self) -> Result<Option<&'a str>, Refusal> {
        let mut listed = None;
        if self.opens(b'[')? {
            let outer = self.token;
            listed = self.listed_type()?;
            if let (None, Token::Name(name)) = (listed, outer) {
                listed = Some(name);
            }
            if !self.closes(b']')? {
                return Err(self.expected("\"]\""));
            }
        } else {
            self.name()?;
        }
        self.takes(b'!')?;
        Ok(listed)
    }

    /// A selection set, down to its last part; answers its index.
    fn selection_set(&mut self) -> Result<usize, Refusal> {
        if !self.opens(b'{')? {
            return Err(self.expected("\"{\""));
        }
        let mut items = vec![self.selection()?];
        while !self.closes(b'}')? {
            items.push(self.selection()?);
        }
        self.outline.sets.push(items);
        Ok(self.outline.sets.len() - 1)
    }

    fn selection(&mut self) -> Result<Item<'a>, Refusal> {
        match self.token {
            Token::Name(name) => {
                self.advance()?;
                self.field(name)
            }
            Token::Spread => {
                self.advance()?;
                self.spread()
            }
            _ => Err(self.expected("a field or \"...\"")),
        }
    }

    /// A field after its alias or name.
    fn field(&mut self, alias_or_name: &'a str) -> Result<Item<'a>, Refusal> {
        let is_aliased = self.takes(b':')?;
        let name = if is_aliased { self.name()? } else { alias_or_name };
        let mut extras = self.extras();
        let first = self.arguments(&mut extras, shape::sized_by(name))?;
        self.directives(&mut extras)?;
        let children = self.optional_selection_set()?;
        Ok(Item { kind: ItemKind::Field { name, is_aliased, first }, extras, children })
    }

    /// A fragment spread or an inline fragment after its dots.
    fn spread(&mut self) -> Result<Item<'a>, Refusal> {
        let at = self.at;
        let mut extras = self.extras();
        if let Token::Name(fragment) = self.token
            && fragment != "on"
        {
            self.advance()?;
            self.directives(&mut extras)?;
            return Ok(Item { kind: ItemKind::Spread { fragment, at }, extras, children: None });
        }
        if self.takes_name("on")? {
            self.name()?;
        }
        self.directives(&mut extras)?;
        let children = Some(self.selection_set()?);
        Ok(Item { kind: ItemKind::Inline, extras, children })
    }

    fn optional_selection_set(&mut self) -> Result<Option<usize>, Refusal> {
        if self.token != Token::Punctuator(b'{') {
            return Ok(None);
        }
        self.selection_set().map(Some)
    }

    fn directives(&mut self, extras: &mut Extras) -> Result<(), Refusal> {
        while self.takes(b'@')? {
            self.name()?;
            self.arguments(extras, "")?;
            extras.directives += 1;
        }
        Ok(())
    }

    /// Arguments, if there are any; answers the one that is named `sized_by`.
    fn arguments(&mut self, extras: &mut Extras, sized_by: &str) -> Result<First<'a>, Refusal> {
        let mut first = First::Absent;
        if !self.opens(b'(')? {
            return Ok(first);
        }
        let before = self.outline.tokens;
        let mut count = 0;
        loop {
            let name = self.name()?;
            self.punctuator(b':')?;
            let value = self.value()?;
            if name == sized_by {
                first = value;
            }
            count += 1;
            Limit::Arguments.check(count, MAX_ARGUMENTS)?;
            if self.closes(b')')? {
                break;
            }
        }
        extras.tokens += self.outline.tokens - before;
        extras.usages.end = self.outline.usages.len();
        Ok(first)
    }

    /// A value, as it would be understood as a length.
    fn value(&mut self) -> Result<First<'a>, Refusal> {
        match self.token {
            Token::Int(literal) => {
                self.advance()?;
                return Ok(First::Literal(length(literal)));
            }
            Token::Punctuator(b'$') => {
                self.advance()?;
                let name = self.name()?;
                self.outline.usages.push(name);
                return Ok(First::Variable(name));
            }
            Token::Name("null") => {
                self.advance()?;
                return Ok(First::Absent);
            }
            Token::Name(_) | Token::Float(_) | Token::Text => self.advance()?,
            Token::Punctuator(b'[') => return self.list().map(First::List),
            Token::Punctuator(b'{') => self.object()?,
            Token::Punctuator(_) | Token::Spread | Token::End => {
                return Err(self.expected("a value"));
            }
        }
        Ok(First::Other)
    }

    /// A list; answers its length.
    fn list(&mut self) -> Result<usize, Refusal> {
        self.opens(b'[')?;
        let mut length = 0;
        while !self.closes(b']')? {
            self.value()?;
            length += 1;
        }
        Ok(length)
    }

    fn object(&mut self) -> Result<(), Refusal> {
        self.opens(b'{')?;
        while !self.closes(b'}')? {
            self.name()?;
            self.punctuator(b':')?;
            self.value()?;
        }
        Ok(())
    }

    fn extras(&self) -> Extras {
        let used = self.outline.usages.len();
        Extras { directives: 0, tokens: 0, usages: used..used }
    }

    fn optional_name(&mut self) -> Result<Option<&'a str>, Refusal> {
        if matches!(self.token, Token::Name(_)) { self.name().map(Some) } else { Ok(None) }
    }

    fn name(&mut self) -> Result<&'a str, Refusal> {
        let Token::Name(name) = self.token else {
            return Err(self.expected("a name"));
        };
        self.advance()?;
        Ok(name)
    }

    fn takes_name(&mut self, name: &str) -> Result<bool, Refusal> {
        let is_next = matches!(self.token, Token::Name(found) if found == name);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn takes(&mut self, punctuator: u8) -> Result<bool, Refusal> {
        let is_next = self.token == Token::Punctuator(punctuator);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn punctuator(&mut self, punctuator: u8) -> Result<(), Refusal> {
        if self.takes(punctuator)? {
            return Ok(());
        }
        Err(self.expected(&Token::Punctuator(punctuator).describe()))
    }

    fn opens(&mut self, bracket: u8) -> Result<bool, Refusal> {
        let is_open = self.takes(bracket)?;
        if is_open {
            self.nesting += 1;
            Limit::Nesting.check(self.nesting, MAX_NESTING)?;
        }
        Ok(is_open)
    }

    fn closes(&mut self, bracket: u8) -> Result<bool, Refusal> {
        let is_closed = self.takes(bracket)?;
        if is_closed {
            self.nesting -= 1;
        }
        Ok(is_closed)
    }

    /// Goes on to the next token, or ends the reading where there are too many.
    fn advance(&mut self) -> Result<(), Refusal> {
        (self.token, self.at) = self.lexer.next()?;
        if self.token == Token::End {
            return Ok(());
        }
        self.outline.tokens += 1;
        if self.outline.tokens > self.max_tokens {
            self.count_rest();
            return Limit::Tokens.check(self.outline.tokens, self.max_tokens);
        }
        Ok(())
    }

    /// Counts the tokens that are left, to be able to say how many were sent.
    fn count_rest(&mut self) {
        while let Ok((token, _)) = self.lexer.next()
            && token != Token::End
        {
            self.outline.tokens += 1;
        }
    }

    fn expected(&self, what: &str) -> Refusal {
        let message = format!("expected {what}, found {}", self.token.describe());
        Refusal::syntax(self.lexer.document(), self.at, message)
    }

    fn invalid(&self, at: usize, message: String) -> Refusal {
        Refusal::invalid(self.lexer.document(), at, message)
    }
}
