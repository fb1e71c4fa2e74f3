//! Makes the plan of an operation. The document is valid; a selection that is not handled here has no plan.

use apollo_compiler::ast::Value;
use apollo_compiler::executable::{DirectiveList, Field, Operation, Selection, SelectionSet};

use super::{
    Condition, ConditionValue, DesktopField, IdArgument, Plan, RecordField, RootField, ScalarField,
    Selected,
};
use crate::domain::{RecordText, RecordTime};
use crate::graphql::document::{Document, position_or_start};

/// Selections that a plan may have, fragments expanded.
const MOST_SELECTIONS: usize = 2_000;

/// The plan of an operation; `None` where plans do not support one of its selections.
pub(crate) fn compile(document: &Document, operation: &Operation) -> Option<Plan> {
    if !operation.is_query() {
        return None;
    }
    let mut compiler = Compiler { document, selections: 0, condition_variables: Vec::new() };
    let roots = compiler.fields(&operation.selection_set, Compiler::root)?;
    let own = size_of::<Selected<RecordField>>() + 2 * size_of::<Condition>();
    let Compiler { selections, condition_variables, .. } = compiler;
    let bytes = size_of::<Plan>() + selections * own + condition_variables.len() * 64;
    Some(Plan { roots, condition_variables, bytes })
}

/// A field and the conditions of the fragments around it.
struct Occurrence<'d> {
    field: &'d Field,
    offset: Option<usize>,
    conditions: Vec<Condition>,
}

struct Compiler<'d> {
    document: &'d Document,
    /// Selections that were looked at.
    selections: usize,
    condition_variables: Vec<Box<str>>,
}

impl<'d> Compiler<'d> {
    /// The fields of an object, fragments expanded, each response key once.
    fn fields<T>(
        &mut self,
        set: &'d SelectionSet,
        compile: impl Fn(&mut Self, &'d Field) -> Option<T>,
    ) -> Option<Vec<Selected<T>>> {
        let mut occurrences = Vec::with_capacity(set.selections.len());
        self.expand(set, &[], &mut occurrences)?;
        let mut fields = Vec::with_capacity(occurrences.len());
        for Occurrence { field, offset, conditions } in occurrences {
            let what = compile(self, field)?;
            let key = format!(",\"{}\":", field.response_key()).into();
            let at = position_or_start(self.document.positions(), offset);
            fields.push(Selected { key, at, conditions, what });
        }
        Some(fields)
    }

    fn expand(
        &mut self,
        set: &'d SelectionSet,
        around: &[Condition],
        into: &mut Vec<Occurrence<'d>>,
    ) -> Option<()> {
        for selection in &set.selections {
            self.selections += 1;
            if self.selections > MOST_SELECTIONS {
                return None;
            }
            let mut conditions = around.to_vec();
            conditions.extend(self.conditions(selection.directives())?);
            match selection {
                Selection::Field(field) => {
                    let offset = field.location().map(|span| span.offset());
                    add(Occurrence { field, offset, conditions }, into)?;
                }
                Selection::InlineFragment(inline) => {
                    is_on(inline.type_condition.as_ref(), set)?;
                    self.expand(&inline.selection_set, &conditions, into)?;
                }
                Selection::FragmentSpread(spread) => {
                    let fragments = &self.document.executable().fragments;
                    let fragment = fragments.get(&spread.fragment_name)?;
                    is_on(Some(fragment.type_condition()), set)?;
                    self.expand(&fragment.selection_set, &conditions, into)?;
                }
            }
        }
        Some(())
    }

    fn conditions(&mut self, directives: &'d DirectiveList) -> Option<Vec<Condition>> {
        let mut conditions = Vec::with_capacity(directives.len());
        for directive in directives {
            let wanted = match directive.name.as_str() {
                "include" => true,
                "skip" => false,
                _ => return None,
            };
            let value = match &**directive.specified_argument_by_name("if")? {
                Value::Boolean(value) => ConditionValue::Literal(*value),
                Value::Variable(name) => {
                    self.condition_variables.push(name.as_str().into());
                    ConditionValue::Variable(name.as_str().into())
                }
                _ => return None,
            };
            conditions.push(Condition { wanted, value });
        }
        Some(conditions)
    }

    fn root(&mut self, field: &'d Field) -> Option<RootField> {
        match field.name.as_str() {
            "__typename" => Some(RootField::Typename),
            "screenRecord" => Some(RootField::Record {
                project: id_argument(field, "projectId")?,
                id: id_argument(field, "id")?,
                fields: self.fields(&field.selection_set, Self::record_field)?,
            }),
            _ => None,
        }
    }

    fn record_field(&mut self, field: &'d Field) -> Option<RecordField> {
        if field.name == "desktop" {
            let fields = self.fields(&field.selection_set, |_, field| desktop_field(field))?;
            return Some(RecordField::Desktop(fields));
        }
        ScalarField::named(&field.name).map(RecordField::Scalar)
    }
}

/// Fragments on the type itself only: there is no other type for an object.
fn is_on(condition: Option<&apollo_compiler::Name>, set: &SelectionSet) -> Option<()> {
    condition.is_none_or(|condition| *condition == set.ty).then_some(())
}

/// Adds a field, unless the same one is there. What would have to be merged has no plan.
fn add<'d>(occurrence: Occurrence<'d>, into: &mut Vec<Occurrence<'d>>) -> Option<()> {
    let key = occurrence.field.response_key();
    let Some(first) = into.iter().find(|first| first.field.response_key() == key) else {
        into.push(occurrence);
        return Some(());
    };
    // A leaf that is always in the answer is there already.
    (first.conditions.is_empty() && occurrence.field.selection_set.is_empty()).then_some(())
}

fn id_argument(field: &Field, name: &str) -> Option<IdArgument> {
    Some(match &**field.specified_argument_by_name(name)? {
        Value::String(text) => IdArgument::Literal(text.as_str().into()),
        Value::Int(digits) => IdArgument::Literal(digits.as_str().into()),
        Value::Variable(name) => IdArgument::Variable(name.as_str().into()),
        _ => return None,
    })
}

fn desktop_field(field: &Field) -> Option<DesktopField> {
    match field.name.as_str() {
        "__typename" => Some(DesktopField::Typename),
        "id" => Some(DesktopField::Id),
        _ => None,
    }
}

impl ScalarField {
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
