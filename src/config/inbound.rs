//! `inbound.*`: who may ask for what.

use std::collections::BTreeSet;

use super::form::{ListOf, Parsed, Switch};
use super::setting::{Role, Row, Setting};
use super::values::Values;
use crate::domain::ProjectId;

/// The demo has one project and no credentials of its own to guard.
const ROLES: &[Role] = &[Role::Serve];

static PROJECTS: Setting<ListOf<Parsed<ProjectId>>> = Setting::new(
    "inbound.projects",
    ListOf(Parsed {
        allowed: "a project id of 1 to 64 letters, digits, - and _",
        placeholder: "PROJECT",
        parse: |text| ProjectId::parse(text).ok(),
    }),
    "the projects that are served; others get FORBIDDEN without an upstream call",
)
.or_unset("all")
.only_for(ROLES);
pub(super) static ALLOW_ANONYMOUS: Setting<Switch> = Setting::new(
    "inbound.allow_anonymous",
    Switch,
    "lets anybody who can connect use the gateway's own credentials; without it, `listen` has to \
     be a loopback address under such credentials",
)
.or("false")
.only_for(ROLES);

pub(super) static ROWS: &[&dyn Row] = &[&PROJECTS, &ALLOW_ANONYMOUS];

/// Who is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboundConfig {
    /// `inbound.projects`: the projects that are served; `None` serves all.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// `inbound.allow_anonymous`: lets anybody who can connect use the gateway's own credentials.
    pub allow_anonymous: bool,
}

impl InboundConfig {
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        Self {
            projects: projects(values),
            allow_anonymous: values.read_or(&ALLOW_ANONYMOUS, false),
        }
    }
}

fn projects(values: &mut Values<'_>) -> Option<BTreeSet<ProjectId>> {
    let projects = values.read(&PROJECTS)?;
    if projects.is_empty() {
        values.refuse(&PROJECTS, "must name a project; leave it out to serve all");
    }
    Some(projects.into_iter().collect())
}
