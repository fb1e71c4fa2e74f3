//! What the guard knows of the schema: which fields are lists and how long they may be.

/// A field that answers a list whose length its argument `first` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListField {
    /// Name of the field, whatever type it is on.
    pub name: &'static str,
    /// Its length where `first` is absent.
    pub default: usize,
    /// The most that the schema lets `first` be.
    pub maximum: usize,
}

/// The schema's list fields.
pub const LIST_FIELDS: &[ListField] = &[
    ListField { name: "screenRecords", default: 50, maximum: 1000 },
    ListField { name: "operations", default: 50, maximum: 1000 },
];

/// Types of the schema that a variable may have. The library behind the guard panics on a default
/// value for a list of items whose type the schema lacks, so this must name none that it lacks.
pub const INPUT_TYPES: &[&str] = &[
    "_Any",
    "Boolean",
    "DateTime",
    "DesktopOperationFilter",
    "DesktopOperationLevel",
    "DesktopOperationType",
    "Float",
    "ID",
    "Int",
    "Long",
    "OrderDirection",
    "ScreenRecordFilter",
    "ScreenRecordOrder",
    "ScreenRecordOrderField",
    "ScreenRecordStatus",
    "ScreenRecordType",
    "String",
];

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

pub(super) fn list_field(name: &str) -> Option<&'static ListField> {
    LIST_FIELDS.iter().find(|list| list.name == name)
}

/// The field that routers ask entities with.
const ENTITIES: &str = "_entities";

/// The argument that says how many a field answers.
pub(super) fn sized_by(field: &str) -> &'static str {
    if is_entities(field) { "representations" } else { "first" }
}

pub(super) fn is_entities(field: &str) -> bool {
    field == ENTITIES
}

pub(super) fn introspection_length(name: &str) -> usize {
    INTROSPECTION_LISTS.iter().find(|(list, _)| *list == name).map_or(1, |(_, length)| *length)
}

pub(super) fn is_introspection(name: &str) -> bool {
    matches!(name, "__schema" | "__type")
}
