//! The guard before the parser: weighs a document in linear time and refuses what is over a limit.
//!
//! The GraphQL library expands fragments while it checks its own limits, so that a kilobyte of
//! fragments which each spread the next one twice costs it minutes and gigabytes. Here every
//! fragment is weighed once and its weight is reused where it is spread, so the work is
//! proportional to the bytes that were sent, whatever they say.
//!
//! What is weighed, and against what:
//!
//! - **What would be executed**, fragments expanded, of the selected operation: depth, aliases,
//!   directives, root fields, entities and complexity, against the settings of the same names. Where no operation can be
//!   selected nothing is executed, and the largest of all operations counts.
//! - **What would be parsed**: tokens of the whole document, against `limits.max_tokens`.
//! - **What would be validated**, which is every operation and every fragment of the document:
//!   the steps of validation, against [`STEPS_PER_TOKEN`] times `limits.max_tokens`.
//! - **Introspection** counts neither towards depth nor as lists; it has a budget of its own.
//!
//! The limits are of a whole HTTP request: [`Guard::measure`] weighs one document, and
//! [`Guard::admit`] checks the sum of all.
//!
//! The guard reads all of GraphQL's executable grammar and lets nothing through that it does not
//! understand, so that the parser behind it never sees a text which the two could read apart.
//! `@skip` and `@include` are not evaluated: what they may leave out still counts.

pub(in crate::graphql) mod lexer;
mod limit;
mod outline;
mod reader;
mod shape;
mod variables;
mod weight;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

use async_graphql::Variables;

use crate::config::LimitsConfig;
pub(in crate::graphql) use limit::Positions;
pub use limit::{Limit, Refusal};
use outline::{Operation, Outline};
pub use shape::{INPUT_TYPES, LIST_FIELDS, ListField};
use variables::VariableTable;
use weight::{Weight, weigh_all};

/// How deep brackets may nest, and selection sets with fragments expanded. The recursion of the
/// parser, of validation and of execution stays this shallow, which a 2 MiB stack holds several
/// times over even in a debug build.
pub const MAX_NESTING: usize = 64;
/// How many bytes a name or a number may have.
pub const MAX_WORD_BYTES: usize = 128;
/// How many arguments one field or directive may have.
pub const MAX_ARGUMENTS: usize = 100;
/// How many operations one document may define.
pub const MAX_OPERATIONS: usize = 50;
/// How many variables one operation may define.
pub const MAX_VARIABLES: usize = 500;
/// What introspection may cost: about three times the fullest query of the usual tools.
pub const MAX_INTROSPECTION: usize = 100_000;
/// Steps of validation allowed for each token that `limits.max_tokens` allows.
pub const STEPS_PER_TOKEN: usize = 5;

/// Weighs documents before anything else reads them. Its fields are the settings' limits.
#[derive(Clone, Debug)]
pub struct Guard {
    depth: usize,
    complexity: usize,
    aliases: usize,
    directives: usize,
    tokens: usize,
    root_fields: usize,
    representations: usize,
}

/// What one document asks for, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Lexical tokens of the document.
    pub tokens: usize,
    /// Levels of fields that would be executed, without introspection.
    pub depth: usize,
    /// Aliased fields that would be executed.
    pub aliases: usize,
    /// Directives on what would be executed.
    pub directives: usize,
    /// Fields that would be executed, each taken as often as the lists around it may be long.
    pub complexity: usize,
    /// Fields that would be executed, lists taken as one item.
    pub fields: usize,
    /// Fields of the root that would be executed.
    pub root_fields: usize,
    /// Cost of introspection, lists taken at a typical length.
    pub introspection: usize,
    /// Keys that entities are asked for by.
    pub representations: usize,
    /// Steps that validation needs for the whole document.
    pub validation: usize,
}

impl Measure {
    /// Both together, as two operations of one request.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            depth: self.depth.max(other.depth),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            complexity: self.complexity.saturating_add(other.complexity),
            fields: self.fields.saturating_add(other.fields),
            root_fields: self.root_fields.saturating_add(other.root_fields),
            introspection: self.introspection.saturating_add(other.introspection),
            representations: self.representations.saturating_add(other.representations),
            validation: self.validation.saturating_add(other.validation),
        }
    }
}

impl Guard {
    /// A guard that holds requests to these limits.
    pub fn new(limits: &LimitsConfig) -> Self {
        Self {
            depth: limits.max_depth,
            complexity: limits.max_complexity,
            aliases: limits.max_aliases,
            directives: limits.max_directives,
            tokens: limits.max_tokens,
            root_fields: limits.max_root_fields,
            representations: limits.max_representations,
        }
    }

    /// Weighs one document. Refuses what is not GraphQL, what has cyclic fragments, and what no
    /// request could hold; the settings' other limits are checked by [`Self::admit`].
    pub fn measure(
        &self,
        document: &str,
        operation_name: Option<&str>,
        variables: &Variables,
    ) -> Result<Measure, Refusal> {
        self.measure_counting(document, operation_name, variables, &mut 0)
    }

    /// Checks what all operations of one HTTP request ask for together.
    pub fn admit(&self, measures: &[Measure]) -> Result<(), Refusal> {
        let sent = measures.iter().copied().fold(Measure::default(), Measure::and);
        let checks = [
            (Limit::Tokens, sent.tokens, self.tokens),
            (Limit::Depth, sent.depth, self.depth),
            (Limit::Aliases, sent.aliases, self.aliases),
            (Limit::Directives, sent.directives, self.directives),
            (Limit::Complexity, sent.complexity, self.complexity),
            (Limit::RootFields, sent.root_fields, self.root_fields),
            (Limit::Representations, sent.representations, self.representations),
            (Limit::Introspection, sent.introspection, MAX_INTROSPECTION),
            (Limit::Validation, sent.validation, self.tokens.saturating_mul(STEPS_PER_TOKEN)),
        ];
        checks.into_iter().try_for_each(|(limit, sent, allowed)| limit.check(sent, allowed))
    }

    /// As [`Self::measure`]; adds what it cost, in tokens read and nodes weighed, to `steps`.
    fn measure_counting(
        &self,
        document: &str,
        operation_name: Option<&str>,
        variables: &Variables,
        steps: &mut usize,
    ) -> Result<Measure, Refusal> {
        let outline = reader::read(document, self.tokens, steps)?;
        let selected = outline.select(operation_name);
        let table = VariableTable::new(variables, selected, &outline, steps);
        let weighed = weigh_all(&outline, &table, document, steps)?;

        let executed = match selected {
            Some(operation) => weighed.of_operation(operation),
            None => weighed.largest_operation(),
        };
        Ok(measure_of(&outline, executed, weighed.validation))
    }
}

fn measure_of(outline: &Outline<'_>, executed: Weight, validation: usize) -> Measure {
    Measure {
        tokens: outline.tokens,
        depth: executed.root_depth,
        aliases: executed.aliases,
        directives: executed.directives,
        complexity: executed.complexity,
        fields: executed.fields,
        root_fields: executed.root_fields,
        introspection: executed.introspection,
        representations: executed.representations,
        validation,
    }
}

impl<'a> Outline<'a> {
    /// The operation that would be executed, if there is one.
    fn select(&self, name: Option<&str>) -> Option<&Operation<'a>> {
        match name {
            Some(name) => self.operations.iter().find(|operation| operation.name == Some(name)),
            None => match self.operations.as_slice() {
                [only] => Some(only),
                _ => None,
            },
        }
    }
}
