//! From syntax to a plan: every rule of validation that plain selections could break is checked here, and
//! what breaks one has no plan, so that the library says what is wrong.

use async_graphql::Pos;

use super::syntax::{self, Declared, Field, Fragment, Selection, Syntax};
use super::{
    Condition, DesktopField, Id, Kind, Plain, Plan, RecordField, Root, Selected, Switch, Variable,
};
use crate::domain::{RecordText, RecordTime};
use crate::graphql::guard::Positions;

/// Selections that are looked at, fragments expanded; a larger document is the library's.
const MOST_STEPS: usize = 2_000;

/// The plan of a document.
pub(super) fn plan<'a>(document: &'a str, syntax: &'a Syntax<'a>) -> Option<Plan> {
    let mut compiler = Compiler {
        positions: Positions::new(document),
        syntax,
        used_variables: vec![false; syntax.variables.len()],
        used_fragments: vec![false; syntax.fragments.len()],
        steps: 0,
    };
    let variables = variables(&syntax.variables)?;
    let fields = compiler.fields("Query", &syntax.selections)?;
    let roots = fields
        .into_iter()
        .map(|field| compiler.selected(field, Compiler::root))
        .collect::<Option<Vec<_>>>()?;
    // An unused variable or fragment is an error.
    let all_used = compiler.used_variables.iter().chain(&compiler.used_fragments).all(|used| *used);
    let bytes = size_of::<Plan>()
        + variables.len() * size_of::<Variable>()
        + compiler.steps * (size_of::<Selected<RecordField>>() + 16)
        + document.len();
    all_used.then(|| Plan { name: syntax.name.map(Box::from), variables, roots, bytes })
}

fn variables(declared: &[Declared<'_>]) -> Option<Vec<Variable>> {
    let mut variables: Vec<Variable> = Vec::with_capacity(declared.len());
    for Declared { name, needs } in declared {
        let kind = match *needs {
            "ID" => Kind::Id,
            "Boolean" => Kind::Boolean,
            _ => return None,
        };
        if variables.iter().any(|variable| *variable.name == **name) {
            return None;
        }
        variables.push(Variable { name: Box::from(*name), kind });
    }
    Some(variables)
}

struct Compiler<'a> {
    positions: Positions<'a>,
    syntax: &'a Syntax<'a>,
    used_variables: Vec<bool>,
    used_fragments: Vec<bool>,
    steps: usize,
}

impl<'a> Compiler<'a> {
    /// The fields of an object, fragments expanded, each response key once.
    fn fields(&mut self, of: &str, selections: &'a [Selection<'a>]) -> Option<Vec<&'a Field<'a>>> {
        let mut fields = Vec::with_capacity(selections.len());
        self.expand(of, selections, &mut fields)?;
        Some(fields)
    }

    fn expand(
        &mut self,
        of: &str,
        selections: &'a [Selection<'a>],
        into: &mut Vec<&'a Field<'a>>,
    ) -> Option<()> {
        for selection in selections {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return None;
            }
            match selection {
                Selection::Field(field) => add(field, into)?,
                Selection::Spread(name) => {
                    let fragment = self.fragment(name)?;
                    if fragment.on != of {
                        return None;
                    }
                    self.expand(of, &fragment.selections, into)?;
                }
                Selection::Inline { on, selections } => {
                    if on.is_some_and(|on| on != of) || selections.is_empty() {
                        return None;
                    }
                    self.expand(of, selections, into)?;
                }
            }
        }
        Some(())
    }

    /// A fragment of this name, where there is just one. The guard has seen that none spreads itself.
    fn fragment(&mut self, name: &str) -> Option<&'a Fragment<'a>> {
        let syntax = self.syntax;
        let mut found = syntax.fragments.iter().enumerate().filter(|(_, own)| own.name == name);
        let (Some((index, fragment)), None) = (found.next(), found.next()) else { return None };
        *self.used_fragments.get_mut(index)? = true;
        Some(fragment)
    }

    fn selected<T>(
        &mut self,
        field: &'a Field<'a>,
        what: impl FnOnce(&mut Self, &'a Field<'a>) -> Option<T>,
    ) -> Option<Selected<T>> {
        let (line, column) = self.positions.of(field.at);
        Some(Selected {
            key: format!(",\"{}\":", field.key).into(),
            at: Pos { line, column },
            conditions: self.conditions(&field.conditions)?,
            what: what(self, field)?,
        })
    }

    fn conditions(&mut self, given: &[syntax::Condition<'_>]) -> Option<Vec<Condition>> {
        let mut conditions: Vec<Condition> = Vec::with_capacity(given.len());
        for syntax::Condition { wanted, value } in given {
            // A directive may not stand twice in one place.
            if conditions.iter().any(|condition| condition.wanted == *wanted) {
                return None;
            }
            let value = match value {
                syntax::Value::Boolean(value) => Switch::Literal(*value),
                syntax::Value::Variable(name) => Switch::Variable(self.variable(name, "Boolean")?),
                syntax::Value::Text(_) => return None,
            };
            conditions.push(Condition { wanted: *wanted, value });
        }
        Some(conditions)
    }

    /// The index of a variable, where it is declared to be what is needed.
    fn variable(&mut self, name: &str, needs: &str) -> Option<usize> {
        let declared = &self.syntax.variables;
        let index = declared.iter().position(|variable| variable.name == name)?;
        *self.used_variables.get_mut(index)? = true;
        (declared.get(index)?.needs == needs).then_some(index)
    }

    fn root(&mut self, field: &'a Field<'a>) -> Option<Root> {
        match (field.name, field.arguments.as_slice()) {
            ("__typename", []) => field.selections.is_empty().then_some(Root::Typename),
            (
                "screenRecord",
                [("projectId", project), ("id", id)] | [("id", id), ("projectId", project)],
            ) => {
                let (project, id) = (self.id(*project)?, self.id(*id)?);
                let fields = self.fields("ScreenRecord", &field.selections)?;
                let fields: Option<Vec<_>> = fields
                    .into_iter()
                    .map(|field| self.selected(field, Self::record_field))
                    .collect();
                // An object without a selection is an error.
                let fields = fields.filter(|fields| !fields.is_empty())?;
                Some(Root::Record { project, id, fields })
            }
            _ => None,
        }
    }

    fn id(&mut self, value: syntax::Value<'_>) -> Option<Id> {
        match value {
            syntax::Value::Text(text) => Some(Id::Literal(text.into())),
            syntax::Value::Variable(name) => self.variable(name, "ID").map(Id::Variable),
            syntax::Value::Boolean(_) => None,
        }
    }

    fn record_field(&mut self, field: &'a Field<'a>) -> Option<RecordField> {
        if !field.arguments.is_empty() {
            return None;
        }
        if field.name != "desktop" {
            let plain = Plain::named(field.name).filter(|_| field.selections.is_empty());
            return plain.map(RecordField::Plain);
        }
        let fields = self.fields("Desktop", &field.selections)?;
        let fields: Option<Vec<_>> =
            fields.into_iter().map(|field| self.selected(field, Self::desktop_field)).collect();
        fields.filter(|fields| !fields.is_empty()).map(RecordField::Desktop)
    }

    fn desktop_field(_: &mut Self, field: &'a Field<'a>) -> Option<DesktopField> {
        if !field.arguments.is_empty() || !field.selections.is_empty() {
            return None;
        }
        match field.name {
            "__typename" => Some(DesktopField::Typename),
            "id" => Some(DesktopField::Id),
            _ => None,
        }
    }
}

/// Adds a field, unless the same one is there. What would have to be merged is not for a plan.
fn add<'a>(field: &'a Field<'a>, into: &mut Vec<&'a Field<'a>>) -> Option<()> {
    let Some(other) = into.iter().find(|other| other.key == field.key) else {
        into.push(field);
        return Some(());
    };
    let is_bare = |field: &Field<'_>| {
        field.arguments.is_empty() && field.conditions.is_empty() && field.selections.is_empty()
    };
    (other.name == field.name && is_bare(other) && is_bare(field)).then_some(())
}

impl Plain {
    /// The field of a name.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "__typename" => Self::Typename,
            "id" => Self::Id,
            "projectId" => Self::ProjectId,
            "desktopId" => Self::Text(RecordText::DesktopId),
            "desktopName" => Self::Text(RecordText::DesktopName),
            "desktopPoolId" => Self::Text(RecordText::DesktopPoolId),
            "username" => Self::Text(RecordText::Username),
            "size" => Self::Size,
            "duration" => Self::Duration,
            "type" => Self::Type,
            "rawType" => Self::Text(RecordText::Type),
            "status" => Self::Status,
            "rawStatus" => Self::Text(RecordText::Status),
            "policyId" => Self::Text(RecordText::PolicyId),
            "obsBucket" => Self::Text(RecordText::ObsBucket),
            "fileDirectory" => Self::Text(RecordText::FileDirectory),
            "videoFilename" => Self::Text(RecordText::VideoFilename),
            "videoFileSha256" => Self::Text(RecordText::VideoFileSha256),
            "eventFilename" => Self::Text(RecordText::EventFilename),
            "eventFileSha256" => Self::Text(RecordText::EventFileSha256),
            "startTime" => Self::Time(RecordTime::Start),
            "endTime" => Self::Time(RecordTime::End),
            "updateTime" => Self::Time(RecordTime::Update),
            "uploadType" => Self::Text(RecordText::UploadType),
            "siteType" => Self::Text(RecordText::SiteType),
            _ => return None,
        })
    }
}
