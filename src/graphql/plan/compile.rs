//! Makes the plan of an operation. The document is valid; a selection that is not handled here has no plan.

use apollo_compiler::executable::{DirectiveList, Operation, SelectionSet};
use async_graphql::Name;

use super::{Plan, PlannedField, PlannedRecord, RecordField};
use crate::domain::{RecordText, RecordTime};
use crate::graphql::document::Document;
use crate::graphql::fields::{FieldGroups, collect_fields};

/// The plan of an operation; `None` where plans do not support one of its selections.
pub(crate) fn compile(document: &Document, operation: &Operation) -> Option<Plan> {
    if !operation.is_query() {
        return None;
    }
    let roots = fields(document, [&operation.selection_set])?;
    let records = roots.into_iter().map(|(key, same)| {
        let root = same.first().filter(|root| root.name == "screenRecord")?;
        let selected = fields(document, same.iter().map(|field| &field.selection_set))?;
        let selected = selected.into_iter().map(|(key, same)| {
            let selected = same.first()?;
            let field = RecordField::named(&selected.name)?;
            let at = document.position(selected.location());
            Some(PlannedField { key: Name::new(key), at, field })
        });
        Some(PlannedRecord {
            key: Name::new(key),
            at: document.position(root.location()),
            project: root.specified_argument_by_name("projectId")?.clone(),
            id: root.specified_argument_by_name("id")?.clone(),
            fields: selected.collect::<Option<_>>()?,
        })
    });
    Some(Plan { records: records.collect::<Option<_>>()? })
}

/// The fields of an object. `None` where a directive may leave one out.
fn fields<'d>(
    document: &'d Document,
    sets: impl IntoIterator<Item = &'d SelectionSet>,
) -> Option<FieldGroups<'d>> {
    let is_included = |directives: &DirectiveList| directives.is_empty().then_some(true).ok_or(());
    collect_fields(&document.executable, sets, &is_included).ok()
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
