//! Weighs an outline: every selection set once, every fragment before the first set it is spread
//! in, so that its weight is there to be reused. No recursion; all sums saturate.

use std::collections::HashMap;
use std::ops::Range;

use super::outline::{Extras, Fragment, Item, ItemKind, Operation, Outline};
use super::variables::VariableTable;
use super::{Limit, MAX_NESTING, Refusal, shape};

/// What a selection set asks for, fragments expanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) fields: usize,
    pub(super) root_fields: usize,
    pub(super) aliases: usize,
    pub(super) directives: usize,
    pub(super) complexity: usize,
    /// Levels of fields.
    depth: usize,
    /// Levels of fields, introspection left out, if the set is the root's.
    pub(super) root_depth: usize,
    /// Cost of introspection, if the set is the root's.
    pub(super) introspection: usize,
    /// Keys that entities are asked for by, if the set is the root's.
    pub(super) representations: usize,
    /// Cost, if the set is a part of introspection.
    described: usize,
    /// Levels of selection sets.
    nesting: usize,
    /// Selections with their arguments, each as often as it is expanded.
    visits: usize,
    /// Fields and fragments that are compared with one another, as they answer side by side.
    siblings: usize,
}

/// The weights of a document's parts.
#[derive(Debug)]
pub(super) struct Weighed<'a> {
    outline: &'a Outline<'a>,
    /// By index in [`Outline::sets`].
    sets: Vec<Weight>,
    /// Steps that validation needs for the whole document.
    pub(super) validation: usize,
}

/// Weighs all definitions; adds what that cost to `steps`.
pub(super) fn weigh_all<'a>(
    outline: &'a Outline<'a>,
    variables: &'a VariableTable<'a>,
    document: &'a str,
    steps: &mut usize,
) -> Result<Weighed<'a>, Refusal> {
    let fragments = Fragments::index(outline, document)?;
    let mut scale = Scale {
        outline,
        variables,
        fragments: &fragments,
        sets: vec![Weight::default(); outline.sets.len()],
        steps,
    };
    for index in fragments.in_order(outline, document, scale.steps)? {
        if let Some(fragment) = outline.fragments.get(index) {
            scale.definition(&fragment.sets, &fragment.extras)?;
        }
    }
    for operation in &outline.operations {
        scale.definition(&operation.sets, &operation.extras)?;
    }
    let validation = scale.validation();
    Ok(Weighed { outline, sets: scale.sets, validation })
}

impl Weighed<'_> {
    pub(super) fn of_operation(&self, operation: &Operation<'_>) -> Weight {
        own_set(&self.sets, operation.sets.end).copied().unwrap_or_default()
    }

    /// The most of each among all operations.
    pub(super) fn largest_operation(&self) -> Weight {
        let weights = self.outline.operations.iter().map(|operation| self.of_operation(operation));
        weights.fold(Weight::default(), Weight::most)
    }
}

/// The weight of a definition's own set, the last of its part.
fn own_set(sets: &[Weight], end: usize) -> Option<&Weight> {
    sets.get(end.checked_sub(1)?)
}

impl Weight {
    /// Puts a selection's weight to those beside it.
    fn add(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            root_fields: self.root_fields.saturating_add(other.root_fields),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            complexity: self.complexity.saturating_add(other.complexity),
            depth: self.depth.max(other.depth),
            root_depth: self.root_depth.max(other.root_depth),
            introspection: self.introspection.saturating_add(other.introspection),
            representations: self.representations.saturating_add(other.representations),
            described: self.described.saturating_add(other.described),
            nesting: self.nesting.max(other.nesting),
            visits: self.visits.saturating_add(other.visits),
            siblings: self.siblings.saturating_add(other.siblings),
        }
    }

    fn most(self, other: Self) -> Self {
        Self {
            fields: self.fields.max(other.fields),
            root_fields: self.root_fields.max(other.root_fields),
            aliases: self.aliases.max(other.aliases),
            directives: self.directives.max(other.directives),
            complexity: self.complexity.max(other.complexity),
            introspection: self.introspection.max(other.introspection),
            representations: self.representations.max(other.representations),
            ..self.add(other)
        }
    }
}

/// Weighs sets, each after those it consists of.
struct Scale<'a, 's> {
    outline: &'a Outline<'a>,
    variables: &'a VariableTable<'a>,
    fragments: &'s Fragments<'a>,
    sets: Vec<Weight>,
    steps: &'s mut usize,
}

impl<'a> Scale<'a, '_> {
    /// Weighs a definition: its sets, and on its own set what comes along with the definition.
    fn definition(&mut self, sets: &Range<usize>, extras: &Extras) -> Result<(), Refusal> {
        self.sets_of(sets.clone())?;
        let visits = self.extras(extras);
        let own = sets.end.checked_sub(1).and_then(|index| self.sets.get_mut(index));
        if let Some(own) = own {
            own.directives = own.directives.saturating_add(extras.directives);
            own.visits = own.visits.saturating_add(visits);
        }
        Ok(())
    }

    fn sets_of(&mut self, sets: Range<usize>) -> Result<(), Refusal> {
        for index in sets {
            let items = self.outline.sets.get(index).map(Vec::as_slice).unwrap_or_default();
            let mut weight = Weight::default();
            for item in items {
                *self.steps += 1 + item.extras.usages.len();
                weight = weight.add(self.item(item));
            }
            weight.nesting += 1;
            Limit::Nesting.check(weight.nesting, MAX_NESTING)?;
            if let Some(place) = self.sets.get_mut(index) {
                *place = weight;
            }
        }
        Ok(())
    }

    fn item(&self, item: &Item<'a>) -> Weight {
        let children = item.children.and_then(|index| self.sets.get(index)).copied();
        let children = children.unwrap_or_default();
        let mut weight = match item.kind {
            ItemKind::Field { .. } => self.field(item, children),
            ItemKind::Inline => children,
            ItemKind::Spread { fragment, .. } => self.spread(fragment),
        };
        if !matches!(item.kind, ItemKind::Field { .. }) {
            weight.siblings = weight.siblings.saturating_add(1);
        }
        weight.directives = weight.directives.saturating_add(item.extras.directives);
        weight.visits = weight.visits.saturating_add(1).saturating_add(self.extras(&item.extras));
        weight
    }

    fn field(&self, item: &Item<'a>, children: Weight) -> Weight {
        let ItemKind::Field { name, is_aliased, first } = item.kind else {
            return children;
        };
        let list = shape::list_field(name);
        let length = list.map_or(1, |list| self.variables.length(list, first));
        let described_length = shape::introspection_length(name);
        let described = children.described.saturating_mul(described_length).saturating_add(1);
        let depth = children.depth.saturating_add(1);
        let is_introspection = shape::is_introspection(name);
        Weight {
            fields: children.fields.saturating_add(1),
            root_fields: 1,
            aliases: children.aliases.saturating_add(usize::from(is_aliased)),
            complexity: children.complexity.saturating_mul(length).saturating_add(1),
            depth,
            root_depth: if is_introspection { 0 } else { depth },
            introspection: if is_introspection { described } else { 0 },
            representations: if shape::is_entities(name) {
                self.variables.representations(first)
            } else {
                0
            },
            described,
            siblings: 1,
            ..children
        }
    }

    fn spread(&self, name: &str) -> Weight {
        let fragment = self.fragments.get(self.outline, name);
        let own = fragment.and_then(|fragment| own_set(&self.sets, fragment.sets.end));
        own.copied().unwrap_or_default()
    }

    /// What arguments and directives add to each visit.
    fn extras(&self, extras: &Extras) -> usize {
        let usages = self.outline.usages.get(extras.usages.clone()).unwrap_or_default();
        let values = usages.iter().map(|name| self.variables.weight(name));
        let own = extras.directives.saturating_add(extras.tokens);
        values.fold(own, usize::saturating_add)
    }

    /// Every operation is visited with its fragments expanded, and in every set the siblings are
    /// compared.
    fn validation(&self) -> usize {
        let operations = self.outline.operations.iter();
        let own_sets = operations.filter_map(|operation| own_set(&self.sets, operation.sets.end));
        let visits = own_sets.map(|set| set.visits);
        let comparisons = self.sets.iter().map(|set| set.siblings);
        visits.chain(comparisons).fold(0, usize::saturating_add)
    }
}

/// The fragments of a document by name.
struct Fragments<'a> {
    by_name: HashMap<&'a str, usize>,
}

impl<'a> Fragments<'a> {
    fn index(outline: &'a Outline<'a>, document: &str) -> Result<Self, Refusal> {
        let mut by_name = HashMap::with_capacity(outline.fragments.len());
        for (index, fragment) in outline.fragments.iter().enumerate() {
            if by_name.insert(fragment.name, index).is_some() {
                let message = format!("there is more than one fragment \"{}\"", fragment.name);
                return Err(Refusal::invalid(document, fragment.at, message));
            }
        }
        Ok(Self { by_name })
    }

    fn get(&self, outline: &'a Outline<'a>, name: &str) -> Option<&'a Fragment<'a>> {
        outline.fragments.get(*self.by_name.get(name)?)
    }

    /// The fragments' indices, each after those it spreads, or the refusal of a cycle.
    fn in_order(
        &self,
        outline: &'a Outline<'a>,
        document: &str,
        steps: &mut usize,
    ) -> Result<Vec<usize>, Refusal> {
        let mut order = Vec::with_capacity(outline.fragments.len());
        let mut states = vec![State::New; outline.fragments.len()];
        for start in 0..outline.fragments.len() {
            let mut path = Vec::new();
            enter(start, &mut states, &mut path, self.spreads(outline, start));
            while let Some((index, spreads)) = path.last_mut() {
                *steps += 1;
                let Some((next, at)) = spreads.next() else {
                    set_state(&mut states, *index, State::Done);
                    order.push(*index);
                    path.pop();
                    continue;
                };
                if states.get(next) == Some(&State::Open) {
                    let open: Vec<usize> = path.iter().map(|(index, _)| *index).collect();
                    return Err(Refusal::invalid(document, at, cycle(outline, &open, next)));
                }
                enter(next, &mut states, &mut path, self.spreads(outline, next));
            }
        }
        Ok(order)
    }

    /// What a fragment spreads: index of the fragment and offset of the spread.
    fn spreads<'f>(
        &'f self,
        outline: &'a Outline<'a>,
        index: usize,
    ) -> impl Iterator<Item = (usize, usize)> + use<'a, 'f> {
        let range = outline.fragments.get(index).map(|fragment| fragment.sets.clone());
        let sets = outline.sets.get(range.unwrap_or_default()).unwrap_or_default();
        sets.iter().flatten().filter_map(|item| match item.kind {
            ItemKind::Spread { fragment, at } => Some((*self.by_name.get(fragment)?, at)),
            ItemKind::Field { .. } | ItemKind::Inline => None,
        })
    }
}

/// How far the ordering of fragments is with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// Puts a fragment on the path, unless it was there before.
fn enter<I>(index: usize, states: &mut [State], path: &mut Vec<(usize, I)>, spreads: I) {
    if states.get(index) == Some(&State::New) {
        set_state(states, index, State::Open);
        path.push((index, spreads));
    }
}

fn set_state(states: &mut [State], index: usize, state: State) {
    if let Some(place) = states.get_mut(index) {
        *place = state;
    }
}

/// Names of a cycle that are written out.
const SHOWN_NAMES: usize = 8;

/// Says which fragments spread one another, from the one that is met again.
fn cycle(outline: &Outline<'_>, path: &[usize], again: usize) -> String {
    let round = path.iter().skip_while(|index| **index != again).chain([&again]);
    let names: Vec<&str> =
        round.filter_map(|index| outline.fragments.get(*index)).map(|found| found.name).collect();
    let shown = match names.as_slice() {
        [start @ .., last] if start.len() > SHOWN_NAMES => {
            let start: Vec<&str> = start.iter().take(SHOWN_NAMES).copied().collect();
            format!("{} -> ... -> {last}", start.join(" -> "))
        }
        all => all.join(" -> "),
    };
    format!("fragments spread themselves in a cycle: {shown}")
}
