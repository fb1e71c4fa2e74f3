//! `[projects.<id>]`: the projects that the settings file names, each with its region.

use jiff::tz::TimeZone;
use url::Url;

use super::iam::{IamAddress, LoginTarget, ProjectScope};
use super::settings::{Format, SERVE, Setting, SettingSpec, SettingsLoader, setting};
use super::sources::{FileTable, PROJECTS};
use super::target::{AddressKeys, Target, endpoints, regions, time_zones};
use super::web_address::may_hold_secret;
use crate::domain::ProjectId;

/// The settings of a table.
struct TableSettings {
    name: Setting<Option<String>>,
    region: Setting<Option<String>>,
    endpoint: Setting<Option<Url>>,
    time_zone: Setting<Option<TimeZone>>,
}

impl TableSettings {
    fn new() -> Self {
        Self {
            name: setting(names().optional()).named(
                "name",
                "what clients see as the project's name",
                SERVE,
            ),
            region: setting(regions().optional()).named(
                "region",
                "region of the project, as in `upstream.region`",
                SERVE,
            ),
            endpoint: setting(endpoints().optional()).secret_if(may_hold_secret).named(
                "endpoint",
                "base address of the upstream; with a region as well, this is called and the region \
                 is shown",
                SERVE,
            ),
            time_zone: setting(time_zones().optional()).named(
                "time_zone",
                "time zone of upstream timestamps that name none; by default `upstream.time_zone`",
                SERVE,
            ),
        }
    }
}

/// The keys of a table.
pub(super) fn table_specs() -> [SettingSpec; 4] {
    let TableSettings { name, region, endpoint, time_zone } = TableSettings::new();
    [name.spec, region.spec, endpoint.spec, time_zone.spec]
}

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
fn content(tables: &[FileTable]) -> String {
    let lines = tables.iter().flat_map(|table| {
        let values = table.values.iter().map(|value| format!("{} = {}", value.key, value.text));
        std::iter::once(table.key()).chain(values)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Reads a table. `None` after a refusal.
fn read(
    loader: &mut SettingsLoader<'_>,
    table: &FileTable,
    defaults: &ProjectDefaults<'_>,
) -> Option<ProjectConfig> {
    loader.refuse_unknown_keys(table, &table_specs());
    let settings = TableSettings::new();
    let id = ProjectId::parse(&table.name).ok();
    if id.is_none() {
        loader.add_problem(format!(
            "{} ({}) names no project: must be an id of 1 to 64 letters, digits, - and _",
            table.key(),
            table.origin,
        ));
    }
    let name = loader.read_in(table, &settings.name);
    let region = loader.read_in(table, &settings.region);
    let endpoint = loader.read_in(table, &settings.endpoint);
    let time_zone = loader.read_in(table, &settings.time_zone);
    let (id, name, time_zone) = (id?, name.ok()?, time_zone.ok()?);
    let address = Address { region: region.ok()?, endpoint: endpoint.ok()? };
    let address = address.or(table, defaults, loader)?;
    let time_zone = time_zone.unwrap_or_else(|| defaults.time_zone.clone());
    let region_key = format!("{}.{}", table.key(), settings.region.key);
    let Address { region, endpoint } = address;
    let endpoint_key = format!("{}.{}", table.key(), settings.endpoint.key);
    let setting = &settings.endpoint.spec;
    let keys = AddressKeys { region: &region_key, endpoint: &endpoint_key, setting };
    let endpoint = keys.address(loader, endpoint, region.as_deref())?;
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

fn names() -> Format<String> {
    const LONGEST: usize = 100;
    let allowed = "a text of 1 to 100 characters without control characters";
    Format::new("NAME", allowed, |text| {
        let is_name =
            !text.is_empty() && text.chars().count() <= LONGEST && !text.contains(char::is_control);
        is_name.then(|| text.to_owned())
    })
}
