//! The guard before the parser: one linear pass that measures a document and refuses what is over a
//! limit before anything expensive looks at it.
//!
//! The executor's own limits come too late. They are checked by walking the document with its
//! fragments expanded, and thirty fragments that each spread the next one twice expand to a billion
//! fields out of 900 bytes. Here every fragment is measured once and its measure is multiplied, so the
//! work grows with the length of the document and not with what it expands to.
//!
//! What is measured is what would be executed: fragments count wherever they are spread. Of several
//! operations in a document the largest counts, because all of them are validated.

mod lexer;
mod outline;

use std::collections::HashMap;

use self::lexer::LexError;
use self::outline::{Definition, Outline, Spread};
use crate::config::LimitsConfig;

/// How deep brackets of any kind may nest beyond `limits.max_depth`, so that the parser, which
/// recurses, cannot run out of stack. Introspection as GraphiQL sends it nests 16 deep.
const SPARE_NESTING: usize = 54;
/// What introspection may cost, in fields of the schema that it is estimated to touch. The complete
/// introspection of graphql-js costs about 50,000.
const MAX_INTROSPECTION: u64 = 100_000;

/// How large a document is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Lexical tokens.
    pub tokens: u64,
    /// How deep fields nest, introspection left out.
    pub depth: u64,
    /// Fields, with fragments expanded.
    pub complexity: u64,
    /// Aliased fields, with fragments expanded.
    pub aliases: u64,
    /// Directives, with fragments expanded.
    pub directives: u64,
    /// Estimated fields of introspection, zero where the document does none.
    pub introspection: u64,
}

/// Why a document goes no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is larger than a setting allows.
    #[error("the request has {sent} {what}: {limit} allows {allowed}")]
    OverLimit {
        /// What was counted.
        what: &'static str,
        /// Name of the setting.
        limit: &'static str,
        /// Its value.
        allowed: u64,
        /// What was sent; the least that is known where counting stopped early.
        sent: u64,
    },
    /// It nests or introspects beyond what any setting allows.
    #[error("{0}")]
    OutOfBounds(String),
    /// Fragments spread each other in a circle.
    #[error("fragment {0:?} spreads itself")]
    FragmentCycle(String),
    /// It is not GraphQL.
    #[error("{message}")]
    Syntax {
        /// What is wrong.
        message: String,
        /// Where, as a byte offset.
        offset: usize,
    },
}

/// The limits.
#[derive(Clone, Debug)]
pub struct Guard {
    limits: LimitsConfig,
}

impl Guard {
    /// A guard with the configured limits.
    pub fn new(limits: &LimitsConfig) -> Self {
        Self { limits: limits.clone() }
    }

    /// Measures a document in time linear in its length.
    ///
    /// # Errors
    /// [`Refusal`] as soon as a limit is passed, and for what cannot be GraphQL.
    pub fn measure(&self, document: &str) -> Result<Measure, Refusal> {
        let max_tokens = self.limits.max_tokens;
        let tokens = lexer::tokens(document, max_tokens).map_err(|error| match error {
            LexError::TooMany => over("tokens", "limits.max_tokens", max_tokens, max_tokens + 1),
            LexError::Unreadable { message, offset } => {
                Refusal::Syntax { message: message.to_owned(), offset }
            }
        })?;
        let outline = Outline::of(&tokens, self.limits.max_depth + SPARE_NESTING)?;
        let mut measure = Expansion::new(&outline).largest_operation()?;
        measure.tokens = tokens.len() as u64;
        self.admit(&[measure])?;
        Ok(measure)
    }

    /// Checks the documents of a whole request against the limits.
    ///
    /// # Errors
    /// [`Refusal::OverLimit`] or [`Refusal::OutOfBounds`].
    pub fn admit(&self, request: &[Measure]) -> Result<(), Refusal> {
        let LimitsConfig {
            max_depth, max_complexity, max_aliases, max_directives, max_tokens, ..
        } = self.limits;
        let sum = |part: fn(&Measure) -> u64| request.iter().map(part).fold(0, u64::saturating_add);
        let depth = request.iter().map(|measure| measure.depth).max().unwrap_or_default();
        for (what, limit, allowed, sent) in [
            ("tokens", "limits.max_tokens", max_tokens, sum(|measure| measure.tokens)),
            ("levels of fields", "limits.max_depth", max_depth, depth),
            ("aliases", "limits.max_aliases", max_aliases, sum(|measure| measure.aliases)),
            ("directives", "limits.max_directives", max_directives, sum(|m| m.directives)),
            ("fields", "limits.max_complexity", max_complexity, sum(|m| m.complexity)),
        ] {
            if sent > allowed as u64 {
                let allowed = allowed as u64;
                return Err(Refusal::OverLimit { what, limit, allowed, sent });
            }
        }
        let introspection = sum(|measure| measure.introspection);
        if introspection > MAX_INTROSPECTION {
            return Err(Refusal::OutOfBounds(format!(
                "the introspection would touch about {introspection} fields: \
                 {MAX_INTROSPECTION} are allowed"
            )));
        }
        Ok(())
    }
}

fn over(what: &'static str, limit: &'static str, allowed: usize, sent: usize) -> Refusal {
    Refusal::OverLimit { what, limit, allowed: allowed as u64, sent: sent as u64 }
}

/// Expands fragments, each of them once.
struct Expansion<'d> {
    outline: &'d Outline<'d>,
    fragments: HashMap<&'d str, State>,
}

/// How far a fragment's measure is.
#[derive(Clone, Copy)]
enum State {
    UnderWay,
    Known(Measure),
}

impl<'d> Expansion<'d> {
    fn new(outline: &'d Outline<'d>) -> Self {
        Self { outline, fragments: HashMap::new() }
    }

    fn largest_operation(mut self) -> Result<Measure, Refusal> {
        // Fragments that nobody spreads are validated as well, so circles among them count too.
        for name in self.outline.fragments.keys() {
            self.fragment(name)?;
        }
        let mut largest = Measure::default();
        for operation in &self.outline.operations {
            let measure = self.definition(operation)?;
            largest = largest.larger_of_each(&measure);
        }
        Ok(largest)
    }

    fn definition(&mut self, definition: &'d Definition<'d>) -> Result<Measure, Refusal> {
        let mut measure = definition.own;
        for spread in &definition.spreads {
            let expanded = self.fragment(spread.fragment)?;
            measure.add_spread(spread, &expanded);
        }
        Ok(measure)
    }

    /// Recursion is as deep as the longest chain of fragments, so chains are bounded in the outline.
    fn fragment(&mut self, name: &'d str) -> Result<Measure, Refusal> {
        match self.fragments.get(name) {
            Some(State::Known(measure)) => return Ok(*measure),
            Some(State::UnderWay) => return Err(Refusal::FragmentCycle(name.to_owned())),
            None => {}
        }
        // A spread of what is not there is for the validation to refuse; it expands to nothing.
        let Some(definition) = self.outline.fragments.get(name) else {
            return Ok(Measure::default());
        };
        self.fragments.insert(name, State::UnderWay);
        let measure = self.definition(definition)?;
        self.fragments.insert(name, State::Known(measure));
        Ok(measure)
    }
}

impl Measure {
    fn add_spread(&mut self, spread: &Spread<'_>, fragment: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        if spread.introspection_factor > 0 {
            let fields = fragment.complexity.saturating_add(fragment.introspection);
            add(&mut self.introspection, fields.saturating_mul(spread.introspection_factor));
        } else {
            self.depth = self.depth.max(spread.depth.saturating_add(fragment.depth));
            add(&mut self.complexity, fragment.complexity);
            add(&mut self.introspection, fragment.introspection);
        }
        add(&mut self.aliases, fragment.aliases);
        add(&mut self.directives, fragment.directives);
    }

    fn larger_of_each(&self, other: &Self) -> Self {
        Self {
            tokens: self.tokens.max(other.tokens),
            depth: self.depth.max(other.depth),
            complexity: self.complexity.max(other.complexity),
            aliases: self.aliases.max(other.aliases),
            directives: self.directives.max(other.directives),
            introspection: self.introspection.max(other.introspection),
        }
    }
}

#[cfg(test)]
mod tests;
