//! What variables stand for: how much data, and how long a list.

use std::collections::HashMap;

use async_graphql::{Value, Variables};

use super::outline::{First, Operation, Outline};
use super::shape::ListField;

/// Bytes of a text that weigh as much as one value.
const BYTES_PER_STEP: usize = 64;

/// The variables of a request as its document uses them.
#[derive(Debug)]
pub(super) struct VariableTable<'a> {
    values: &'a Variables,
    selected: Option<&'a Operation<'a>>,
    /// What one use of a variable weighs: its value is copied and checked at each.
    weights: HashMap<&'a str, usize>,
}

impl<'a> VariableTable<'a> {
    pub(super) fn new(
        values: &'a Variables,
        selected: Option<&'a Operation<'a>>,
        outline: &'a Outline<'a>,
        steps: &mut usize,
    ) -> Self {
        let mut weights = HashMap::new();
        for (name, value) in values.iter() {
            weights.insert(name.as_str(), weigh(value, steps));
        }
        for definition in outline.operations.iter().flat_map(|operation| &operation.variables) {
            let weight = weights.entry(definition.name).or_default();
            *weight = definition.default_tokens.max(*weight);
            *steps += 1;
        }
        Self { values, selected, weights }
    }

    /// What one use of a variable weighs.
    pub(super) fn weight(&self, name: &str) -> usize {
        self.weights.get(name).copied().unwrap_or_default()
    }

    /// How long a list may get, at least 1.
    pub(super) fn length(&self, list: &ListField, first: First<'_>) -> usize {
        let length = match first {
            First::Absent => list.default,
            First::Literal(length) => length,
            First::Variable(name) => self.length_of_variable(name, list),
            First::List(_) | First::Other => list.maximum,
        };
        length.clamp(1, list.maximum)
    }

    /// How many keys a router asks entities for.
    pub(super) fn representations(&self, given: First<'_>) -> usize {
        match given {
            First::List(length) => length,
            First::Variable(name) => match self.values.get(name) {
                Some(Value::List(items)) => items.len(),
                Some(_) => 1,
                // A default value has no more items than tokens.
                None => self.weight(name),
            },
            First::Absent | First::Literal(_) | First::Other => 1,
        }
    }

    fn length_of_variable(&self, name: &str, list: &ListField) -> usize {
        match self.values.get(name) {
            Some(Value::Number(number)) if number.as_i64().is_some_and(i64::is_negative) => 0,
            Some(Value::Number(number)) => number
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(list.maximum),
            Some(Value::Null) => list.default,
            Some(_) => list.maximum,
            None => self.default_length(name).unwrap_or(list.default),
        }
    }

    fn default_length(&self, name: &str) -> Option<usize> {
        let definitions = &self.selected?.variables;
        definitions.iter().find(|definition| definition.name == name)?.default_length
    }
}

/// Values within a value, and its bytes in proportion.
fn weigh(value: &Value, steps: &mut usize) -> usize {
    let mut weight = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        weight += 1;
        match value {
            Value::List(items) => open.extend(items),
            Value::Object(fields) => {
                weight += fields.keys().map(|key| key.len() / BYTES_PER_STEP).sum::<usize>();
                open.extend(fields.values());
            }
            Value::String(text) => weight += text.len() / BYTES_PER_STEP,
            Value::Binary(bytes) => weight += bytes.len() / BYTES_PER_STEP,
            Value::Null | Value::Number(_) | Value::Boolean(_) | Value::Enum(_) => {}
        }
    }
    *steps += weight;
    weight
}
