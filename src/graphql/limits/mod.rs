//! What an operation costs, and what a request may cost.
//!
//! - **What is executed**, fragments expanded, of the selected operation: depth, aliases, directives, root
//!   fields, entities and complexity. `@skip` and `@include` are not evaluated: what they may leave out
//!   still counts.
//! - **What is parsed**: tokens of the whole document.
//! - **Introspection** counts neither towards depth nor as lists; it has a budget of its own.
//!
//! The limits apply to a whole HTTP request: all its operations together. The cost of a fragment is
//! computed once, however often it is spread, so the work is linear in the document. All sums saturate.

use std::collections::HashMap;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::ast::Value;
use apollo_compiler::executable::{Field, Operation, Selection, SelectionSet};
use async_graphql::{Value as ConstValue, Variables};

use crate::config::LimitsConfig;

/// How deep brackets may nest, and selection sets with fragments expanded. All code that walks a
/// document recurses no deeper, and a stack of 2 MiB holds that several times over in a debug build.
pub(crate) const MAX_NESTING: usize = 64;
/// The longest name in a document. The path of each error repeats the names of its fields, and there may
/// be thousands of errors.
pub(crate) const MAX_NAME_BYTES: usize = 256;
/// What introspection may cost: about three times the fullest query of the usual tools.
const MAX_INTROSPECTION: usize = 100_000;
/// Selections that the operations of a document may expand to for each token that
/// `limits.max_tokens` allows.
pub(crate) const SELECTIONS_PER_TOKEN: usize = 5;
/// The type of the list that is as long as the settings make it.
const PROJECT: &str = "Project";
/// The longest part of a list that `first` may ask for.
const LONGEST_LIST: usize = 1000;
/// The lists without `first`, by the type of their items, at a typical length.
const LISTS: &[(&str, usize)] = &[("ScreenRecordStatisticsGroup", 100)];
/// Typical lengths of introspection's lists. They nest without end (the fields of the type of
/// the fields of …), so they have to multiply.
const INTROSPECTION_LISTS: &[(&str, usize)] = &[
    ("types", 32),
    ("fields", 8),
    ("inputFields", 4),
    ("args", 2),
    ("enumValues", 4),
    ("directives", 8),
    ("interfaces", 2),
    ("possibleTypes", 2),
];

/// A request that exceeds a limit: what it has, at least so much where counting stopped early, and what is
/// allowed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LimitExceeded(String);

/// Something that is limited.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// The setting, or what limits it where no setting does.
    name: &'static str,
    /// What the request has of it, as a clause with `{}` for the number.
    amount: &'static str,
}

impl Limit {
    pub(crate) const TOKENS: Self = Self::new("limits.max_tokens", "has {} tokens");
    const DEPTH: Self = Self::new("limits.max_depth", "has a depth of {}");
    const ALIASES: Self = Self::new("limits.max_aliases", "has {} aliases");
    const DIRECTIVES: Self = Self::new("limits.max_directives", "has {} directives");
    const COMPLEXITY: Self = Self::new("limits.max_complexity", "has a complexity of {}");
    const ROOT_FIELDS: Self = Self::new("limits.max_root_fields", "has {} root fields");
    const REPRESENTATIONS: Self = Self::new("limits.max_representations", "asks for {} entities");
    const INTROSPECTION: Self = Self::new(THE_GATEWAY, "has introspection that costs {}");
    /// Bytes of a name, an alias for example.
    pub(crate) const NAMES: Self = Self::new(THE_GATEWAY, "has a name of {} bytes");
    /// Nesting of brackets, and of selection sets with fragments expanded.
    pub(crate) const NESTING: Self = Self::new(THE_GATEWAY, "nests selections or brackets {} deep");
    /// Selections that all operations of a document expand to.
    pub(crate) const SELECTIONS: Self =
        Self::new("five times limits.max_tokens", "expands to {} selections");
    pub(crate) const OPERATIONS: Self = Self::new(THE_GATEWAY, "has a document with {} operations");

    const fn new(name: &'static str, amount: &'static str) -> Self {
        Self { name, amount }
    }

    /// Checks an amount against what is allowed.
    pub(crate) fn check(self, sent: usize, allowed: usize) -> Result<(), LimitExceeded> {
        if sent <= allowed {
            return Ok(());
        }
        let amount = self.amount.replace("{}", &sent.to_string());
        Err(LimitExceeded(format!("the request {amount}: {} allows {allowed}", self.name)))
    }
}

/// The name of limits that no setting changes.
const THE_GATEWAY: &str = "the gateway";

/// What one operation costs, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueryCost {
    /// Lexical tokens of the document.
    pub(crate) tokens: usize,
    /// Levels of fields that are executed, without introspection.
    pub(crate) depth: usize,
    /// Aliased fields that are executed.
    pub(crate) aliases: usize,
    /// Directives on what is executed.
    pub(crate) directives: usize,
    /// Fields that are executed, each taken as often as the lists around it may be long.
    pub(crate) complexity: usize,
    /// Fields of the root that are executed.
    pub(crate) root_fields: usize,
    /// Cost of introspection, lists taken at a typical length.
    pub(crate) introspection: usize,
    /// Keys that entities are asked for by.
    pub(crate) representations: usize,
}

impl QueryCost {
    /// Both together, as two operations of one request.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            depth: self.depth.max(other.depth),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            complexity: self.complexity.saturating_add(other.complexity),
            root_fields: self.root_fields.saturating_add(other.root_fields),
            introspection: self.introspection.saturating_add(other.introspection),
            representations: self.representations.saturating_add(other.representations),
        }
    }
}

/// Checks what all operations of one HTTP request cost together.
pub(crate) fn check(sent: QueryCost, allowed: &LimitsConfig) -> Result<(), LimitExceeded> {
    let checks = [
        (Limit::TOKENS, sent.tokens, allowed.max_tokens),
        (Limit::DEPTH, sent.depth, allowed.max_depth),
        (Limit::ALIASES, sent.aliases, allowed.max_aliases),
        (Limit::DIRECTIVES, sent.directives, allowed.max_directives),
        (Limit::COMPLEXITY, sent.complexity, allowed.max_complexity),
        (Limit::ROOT_FIELDS, sent.root_fields, allowed.max_root_fields),
        (Limit::REPRESENTATIONS, sent.representations, allowed.max_representations),
        (Limit::INTROSPECTION, sent.introspection, MAX_INTROSPECTION),
    ];
    checks.into_iter().try_for_each(|(limit, sent, allowed)| limit.check(sent, allowed))
}

/// What an operation of a valid document costs with these values of its variables, without tokens. `projects`
/// is the length of the list of projects.
pub(crate) fn cost(
    document: &ExecutableDocument,
    operation: &Operation,
    variables: &Variables,
    projects: usize,
) -> QueryCost {
    let mut costs = Costs { document, variables, projects, fragments: HashMap::new() };
    costs.set(&operation.selection_set)
}

struct Costs<'d> {
    document: &'d ExecutableDocument,
    variables: &'d Variables,
    projects: usize,
    fragments: HashMap<&'d str, QueryCost>,
}

impl<'d> Costs<'d> {
    /// What a selection set costs, fragments expanded.
    fn set(&mut self, set: &'d SelectionSet) -> QueryCost {
        set.selections.iter().fold(QueryCost::default(), |sum, selection| {
            let cost = match selection {
                Selection::Field(field) => self.field(field, &set.ty),
                Selection::InlineFragment(inline) => self.set(&inline.selection_set),
                Selection::FragmentSpread(spread) => self.fragment(&spread.fragment_name),
            };
            let directives = cost.directives.saturating_add(selection.directives().len());
            sum.and(QueryCost { directives, ..cost })
        })
    }

    fn fragment(&mut self, name: &'d str) -> QueryCost {
        if let Some(cost) = self.fragments.get(name) {
            return *cost;
        }
        let Some(fragment) = self.document.fragments.get(name) else { return QueryCost::default() };
        let cost = self.set(&fragment.selection_set);
        self.fragments.insert(name, cost);
        cost
    }

    fn field(&mut self, field: &'d Field, parent: &str) -> QueryCost {
        let children = self.set(&field.selection_set);
        let is_introspection = [parent, field.definition.ty.inner_named_type()]
            .into_iter()
            .any(|ty| ty.starts_with("__"));
        let (depth, introspection) = if is_introspection {
            let length = length_among(INTROSPECTION_LISTS, &field.name);
            (0, children.introspection.saturating_mul(length).saturating_add(1))
        } else {
            (children.depth.saturating_add(1), 0)
        };
        QueryCost {
            tokens: 0,
            depth,
            aliases: children.aliases.saturating_add(usize::from(field.alias.is_some())),
            directives: children.directives,
            complexity: children.complexity.saturating_mul(self.length(field)).saturating_add(1),
            root_fields: 1,
            introspection,
            representations: self.representations(field),
        }
    }

    /// How long the list of a field may get, at least 1.
    fn length(&self, field: &Field) -> usize {
        let Some(first) = field.definition.argument_by_name("first") else {
            return match &**field.definition.ty.inner_named_type() {
                PROJECT => self.projects.max(1),
                item => length_among(LISTS, item),
            };
        };
        let sent = field.specified_argument_by_name("first").and_then(|sent| self.integer(sent));
        let first = sent.or_else(|| self.integer(first.default_value.as_deref()?));
        let length = first.map_or(LONGEST_LIST, |first| usize::try_from(first).unwrap_or(0));
        length.clamp(1, LONGEST_LIST)
    }

    fn integer(&self, value: &Value) -> Option<i64> {
        match value {
            Value::Int(digits) => digits.as_str().parse().ok(),
            Value::Variable(name) => match self.variables.get(name.as_str())? {
                ConstValue::Number(number) => number.as_i64(),
                _ => None,
            },
            _ => None,
        }
    }

    /// How many entities a field asks for.
    fn representations(&self, field: &Field) -> usize {
        let Some(sent) = field.specified_argument_by_name("representations") else { return 0 };
        match (&**sent, sent.as_variable().and_then(|name| self.variables.get(name.as_str()))) {
            (Value::List(items), _) => items.len(),
            (_, Some(ConstValue::List(items))) => items.len(),
            _ => 1,
        }
    }
}

/// The length of a list, 1 for what is none.
fn length_among(lists: &[(&str, usize)], name: &str) -> usize {
    lists.iter().find(|(list, _)| *list == name).map_or(1, |(_, length)| *length)
}

#[cfg(test)]
mod tests;
