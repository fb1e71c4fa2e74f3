//! Makes the plan of an operation. The document is valid; a selection that is not handled here has no plan.

use apollo_compiler::Node;
use apollo_compiler::ast::Value;
use apollo_compiler::executable::{Field, Operation, Selection, SelectionSet};

use super::{IdArgument, Plan, RecordField, RootField, Selected};
use crate::domain::{RecordText, RecordTime};
use crate::graphql::document::{Document, position_or_start};

/// Selections that a plan may have, fragments expanded.
const MOST_SELECTIONS: usize = 2_000;

/// The plan of an operation; `None` where plans do not support one of its selections.
pub(crate) fn compile(document: &Document, operation: &Operation) -> Option<Plan> {
    if !operation.is_query() {
        return None;
    }
    let mut compiler = Compiler { document, selections: 0 };
    let roots = compiler.fields(&operation.selection_set, Compiler::root)?;
    let bytes = size_of::<Plan>() + compiler.selections * 2 * size_of::<Selected<RecordField>>();
    Some(Plan { roots, bytes })
}

struct Compiler<'d> {
    document: &'d Document,
    /// Selections that were looked at.
    selections: usize,
}

impl<'d> Compiler<'d> {
    /// The fields of an object, fragments expanded, each response key once.
    fn fields<T>(
        &mut self,
        set: &'d SelectionSet,
        compile: impl Fn(&mut Self, &'d Field) -> Option<T>,
    ) -> Option<Vec<Selected<T>>> {
        let mut fields = Vec::with_capacity(set.selections.len());
        self.expand(set, &mut fields)?;
        let selected = fields.into_iter().map(|field| {
            let what = compile(self, field)?;
            let key = format!(",\"{}\":", field.response_key()).into();
            let offset = field.location().map(|span| span.offset());
            Some(Selected { key, at: position_or_start(self.document.positions(), offset), what })
        });
        selected.collect()
    }

    fn expand(&mut self, set: &'d SelectionSet, into: &mut Vec<&'d Node<Field>>) -> Option<()> {
        for selection in &set.selections {
            self.selections += 1;
            if self.selections > MOST_SELECTIONS || !selection.directives().is_empty() {
                return None;
            }
            match selection {
                Selection::Field(field) => add(field, into)?,
                Selection::InlineFragment(inline) => {
                    is_on(inline.type_condition.as_ref(), set)?;
                    self.expand(&inline.selection_set, into)?;
                }
                Selection::FragmentSpread(spread) => {
                    let fragments = &self.document.executable().fragments;
                    let fragment = fragments.get(&spread.fragment_name)?;
                    is_on(Some(fragment.type_condition()), set)?;
                    self.expand(&fragment.selection_set, into)?;
                }
            }
        }
        Some(())
    }

    fn root(&mut self, field: &'d Field) -> Option<RootField> {
        match field.name.as_str() {
            "__typename" => Some(RootField::Typename),
            "screenRecord" => Some(RootField::Record {
                project: id_argument(field, "projectId")?,
                id: id_argument(field, "id")?,
                fields: self
                    .fields(&field.selection_set, |_, field| RecordField::named(&field.name))?,
            }),
            _ => None,
        }
    }
}

/// Fragments on the type itself only: there is no other type for an object.
fn is_on(condition: Option<&apollo_compiler::Name>, set: &SelectionSet) -> Option<()> {
    condition.is_none_or(|condition| *condition == set.ty).then_some(())
}

/// Adds a field, unless the same one is there. What would have to be merged has no plan.
fn add<'d>(field: &'d Node<Field>, into: &mut Vec<&'d Node<Field>>) -> Option<()> {
    if !into.iter().any(|first| first.response_key() == field.response_key()) {
        into.push(field);
        return Some(());
    }
    field.selection_set.is_empty().then_some(())
}

fn id_argument(field: &Field, name: &str) -> Option<IdArgument> {
    Some(match &**field.specified_argument_by_name(name)? {
        Value::String(text) => IdArgument::Literal(text.as_str().into()),
        Value::Int(digits) => IdArgument::Literal(digits.as_str().into()),
        Value::Variable(name) => IdArgument::Variable(name.as_str().into()),
        _ => return None,
    })
}

impl RecordField {
    /// The field of a name.
    fn named(name: &str) -> Option<Self> {
        let text = || RecordText::ALL.into_iter().find(|of| of.schema_name() == name);
        let time = || RecordTime::ALL.into_iter().find(|of| of.schema_name() == name);
        match name {
            "__typename" => Some(Self::Typename),
            "id" => Some(Self::Id),
            "projectId" => Some(Self::ProjectId),
            "size" => Some(Self::Size),
            "duration" => Some(Self::Duration),
            "type" => Some(Self::Type),
            "status" => Some(Self::Status),
            _ => text().map(Self::Text).or_else(|| time().map(Self::Time)),
        }
    }
}
