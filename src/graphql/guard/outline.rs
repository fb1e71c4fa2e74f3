//! What the guard keeps of a document: selections, spreads and counts, but no values.

use std::ops::Range;

/// A document, outlined.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    pub(super) tokens: usize,
    pub(super) operations: Vec<Operation<'a>>,
    pub(super) fragments: Vec<Fragment<'a>>,
    /// Every selection set. Those of one definition stand together, inner ones before the ones
    /// they are in, so that going through them in order meets no set before its parts.
    pub(super) sets: Vec<Vec<Item<'a>>>,
    /// Names of the variables that values refer to, in the order of the document.
    pub(super) usages: Vec<&'a str>,
}

#[derive(Debug)]
pub(super) struct Operation<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) variables: Vec<VariableDefinition<'a>>,
    pub(super) extras: Extras,
    /// The operation's part of [`Outline::sets`]; the last one is its own.
    pub(super) sets: Range<usize>,
}

#[derive(Debug)]
pub(super) struct Fragment<'a> {
    pub(super) name: &'a str,
    /// Offset of the name.
    pub(super) at: usize,
    pub(super) extras: Extras,
    /// The fragment's part of [`Outline::sets`]; the last one is its own.
    pub(super) sets: Range<usize>,
}

#[derive(Debug)]
pub(super) struct VariableDefinition<'a> {
    pub(super) name: &'a str,
    /// Tokens of the default value, 0 where there is none.
    pub(super) default_tokens: usize,
    /// The default value, where it is an integer literal.
    pub(super) default_length: Option<usize>,
}

/// One selection.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) kind: ItemKind<'a>,
    pub(super) extras: Extras,
    /// Index in [`Outline::sets`] of the selections below.
    pub(super) children: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum ItemKind<'a> {
    Field {
        name: &'a str,
        is_aliased: bool,
        first: First<'a>,
    },
    Spread {
        fragment: &'a str,
        /// Offset of the name.
        at: usize,
    },
    Inline,
}

/// The argument that says how many a field answers: `first`, or the list of what is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum First<'a> {
    #[default]
    Absent,
    /// An integer, 0 where it is negative.
    Literal(usize),
    Variable(&'a str),
    /// A list of so many items.
    List(usize),
    /// Anything else; validation will have its say.
    Other,
}

/// What comes along with a selection or a definition.
#[derive(Clone, Debug, Default)]
pub(super) struct Extras {
    pub(super) directives: usize,
    /// Tokens of arguments, those of directives too.
    pub(super) tokens: usize,
    /// The variables among them, as a part of [`Outline::usages`].
    pub(super) usages: Range<usize>,
}

/// Reads an integer literal as a length: negative is 0, beyond reach is as large as can be.
pub(super) fn length(literal: &str) -> usize {
    if literal.starts_with('-') { 0 } else { literal.parse().unwrap_or(usize::MAX) }
}
