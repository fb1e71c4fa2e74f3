//! `[projects.<id>]`: the projects that the settings file names, each with its region.

use jiff::tz::TimeZone;
use url::Url;

use super::iam::{IamAddress, LoginTarget, ProjectScope};
use super::settings::{
    Optional, Parsed, RawValue, Role, Setting, SettingSpec, SettingsLoader, setting,
};
use super::sources::{FileTable, PROJECTS};
use super::target::{AddressKeys, ENDPOINT, REGION, TIME_ZONE, Target};
use super::web_address::may_hold_secret;
use crate::domain::ProjectId;

const SERVE: &[Role] = &[Role::Serve];
/// The longest name of a project, in characters.
const LONGEST_NAME: usize = 100;
const PROJECT_NAME: Parsed<String> = Parsed {
    allowed: "a text of 1 to 100 characters without control characters",
    placeholder: "NAME",
    parse: name,
};

const NAME: Setting<Option<String>> = setting(&Optional(PROJECT_NAME)).named(
    "name",
    " what clients see as the project's name",
    SERVE,
);
const REGION_OF_PROJECT: Setting<Option<String>> = setting(&Optional(REGION)).named(
    "region",
    " region of the project, as in `upstream.region`",
    SERVE,
);
const ENDPOINT_OF_PROJECT: Setting<Option<Url>> =
    setting(&Optional(ENDPOINT)).secret_if(may_hold_secret).named(
        "endpoint",
        " base address of the upstream; with a region as well, this is called and the region is shown",
        SERVE,
    );
const TIME_ZONE_OF_PROJECT: Setting<Option<TimeZone>> = setting(&Optional(TIME_ZONE)).named(
    "time_zone",
    " time zone of upstream timestamps that name none; by default `upstream.time_zone`",
    SERVE,
);

/// The keys of a table.
pub(super) const KEYS: [&SettingSpec; 4] =
    [&NAME.spec, &REGION_OF_PROJECT.spec, &ENDPOINT_OF_PROJECT.spec, &TIME_ZONE_OF_PROJECT.spec];

/// A project that the settings file names.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectConfig {
    /// Its id, as the file has it.
    pub id: ProjectId,
    /// What clients see as its name.
    pub name: Option<String>,
    /// Where its recordings are.
    pub target: Target,
}

/// What tables leave out.
pub(super) struct ProjectDefaults<'d> {
    /// Of projects that no table names.
    pub(super) target: Option<&'d Target>,
    pub(super) time_zone: &'d TimeZone,
    /// Where the gateway logs in, with `upstream.credentials=password`.
    pub(super) iam: Option<&'d IamAddress>,
    /// Whether the address of the default target was refused.
    pub(super) is_refused: bool,
}

/// The projects of the settings file, in its order.
pub(super) fn load(
    loader: &mut SettingsLoader<'_>,
    defaults: &ProjectDefaults<'_>,
) -> Vec<ProjectConfig> {
    let tables = loader.tables(PROJECTS);
    if !tables.is_empty() {
        loader.note_content(PROJECTS, content(&tables));
    }
    let mut projects: Vec<ProjectConfig> = Vec::new();
    for table in &tables {
        let Some(project) = read(loader, table, defaults) else { continue };
        match projects.iter().find(|other| other.id == project.id) {
            Some(other) => loader.add_problem(format!(
                "{} ({}) is the project of {PROJECTS}.{} again: case and dashes of ids do not count",
                table.key(), table.origin, other.id,
            )),
            None => projects.push(project),
        }
    }
    projects
}

/// All values, to compare with those of another file.
fn content(tables: &[FileTable]) -> RawValue {
    let lines = tables.iter().flat_map(|table| {
        let values = table.values.iter().map(|value| format!("{} = {}", value.key, value.raw));
        std::iter::once(table.key()).chain(values)
    });
    RawValue::List(lines.collect())
}

/// Reads a table. `None` after a refusal.
fn read(
    loader: &mut SettingsLoader<'_>,
    table: &FileTable,
    defaults: &ProjectDefaults<'_>,
) -> Option<ProjectConfig> {
    loader.refuse_unknown_keys(table, &KEYS);
    let id = ProjectId::parse(&table.name).ok();
    if id.is_none() {
        loader.add_problem(format!(
            "{} ({}) names no project: must be an id of 1 to 64 letters, digits, - and _",
            table.key(),
            table.origin,
        ));
    }
    let name = loader.read_in(table, &NAME);
    let region = loader.read_in(table, &REGION_OF_PROJECT);
    let endpoint = loader.read_in(table, &ENDPOINT_OF_PROJECT);
    let time_zone = loader.read_in(table, &TIME_ZONE_OF_PROJECT);
    let (id, name, time_zone) = (id?, name.ok()?, time_zone.ok()?);
    let address = Address { region: region.ok()?, endpoint: endpoint.ok()? };
    let address = address.or(table, defaults, loader)?;
    let time_zone = time_zone.unwrap_or_else(|| defaults.time_zone.clone());
    let region_key = format!("{}.{}", table.key(), REGION_OF_PROJECT.key);
    let Address { region, endpoint } = address;
    let endpoint = match (endpoint, &region) {
        (Some(endpoint), _) => endpoint,
        (None, region) => {
            let endpoint_key = format!("{}.{}", table.key(), ENDPOINT_OF_PROJECT.key);
            let (region_key, endpoint_key) = (&region_key, &endpoint_key);
            let setting = &ENDPOINT_OF_PROJECT.spec;
            let keys = AddressKeys { region: region_key, endpoint: endpoint_key, setting };
            keys.of_region(loader, region.as_deref()?)?
        }
    };
    let login = match defaults.iam {
        Some(iam) => {
            let endpoint = iam.of_region(loader, region.as_deref(), &region_key)?;
            Some(LoginTarget { endpoint, scope: ProjectScope::Id(id.as_str().to_owned()) })
        }
        None => None,
    };
    Some(ProjectConfig { id, name, target: Target { region, endpoint, time_zone, login } })
}

/// What names the address of a project.
struct Address {
    region: Option<String>,
    endpoint: Option<Url>,
}

impl Address {
    /// The same, or the default's where a table names no address. `None` after a refusal.
    fn or(
        self,
        table: &FileTable,
        defaults: &ProjectDefaults<'_>,
        loader: &mut SettingsLoader<'_>,
    ) -> Option<Self> {
        if self.region.is_some() || self.endpoint.is_some() {
            return Some(self);
        }
        if let Some(Target { region, endpoint, .. }) = defaults.target {
            return Some(Self { region: region.clone(), endpoint: Some(endpoint.clone()) });
        }
        if !defaults.is_refused {
            loader.add_problem(format!(
                "{} ({}) has neither region nor endpoint: set one, or upstream.region or \
                 upstream.endpoint for all projects without",
                table.key(),
                table.origin,
            ));
        }
        None
    }
}

fn name(text: &str) -> Option<String> {
    let is_name = !text.trim().is_empty()
        && text.chars().count() <= LONGEST_NAME
        && !text.contains(char::is_control);
    is_name.then(|| text.to_owned())
}
