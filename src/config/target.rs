//! Where recordings are: the regions and addresses of `upstream.*` and of the tables `[projects.<id>]`.

use jiff::tz::TimeZone;
use url::Url;

use super::iam::LoginTarget;
use super::settings::{SERVE, Setting, SettingsLoader, one_line, settings, text, web_address};
use super::sources::Table;
use crate::domain::ProjectId;

const REGION_OF_EXAMPLES: &str = "https://workspace.ap-southeast-1.myhuaweicloud.com";

settings! {
    /// The settings of projects that no table names.
    pub(super) struct DefaultTarget in "upstream." for SERVE {
        /// region whose public endpoint is used, for projects that no table `[projects.<id>]` names:
        /// `https://workspace.{region}.myhuaweicloud.com`
        region: Option<String> = regions().optional(),
        /// base address of the upstream; wins over the region
        endpoint: Option<Url> =
            web_address(REGION_OF_EXAMPLES).optional().shown_when_unset("that of the region"),
        /// time zone of upstream timestamps that name none
        time_zone: TimeZone = time_zones().default("UTC"),
    }
}

settings! {
    /// The settings of a table.
    pub(super) struct ProjectSettings in "projects.<id>." for SERVE {
        /// what clients see as the project's name
        name: Option<String> =
            text("NAME", "a text of 1 to 100 characters without control characters", 100)
            .optional().reloadable(),
        /// region of the project, as in `upstream.region`
        region: Option<String> = regions().optional().reloadable(),
        /// base address of the upstream; with a region as well, this is called and the region is shown
        endpoint: Option<Url> = web_address(REGION_OF_EXAMPLES).optional().reloadable(),
        /// time zone of upstream timestamps that name none; by default `upstream.time_zone`
        time_zone: Option<TimeZone> = time_zones().optional().reloadable(),
    }
}

/// Where the recordings of a project are.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The region's name, if the settings have one.
    pub region: Option<String>,
    /// Base address of the API.
    pub endpoint: Url,
    /// Time zone of timestamps that name none.
    pub time_zone: TimeZone,
    /// Where the gateway logs in; only with `upstream.credentials=password`.
    pub login: Option<LoginTarget>,
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

impl Target {
    /// At an address, without a region, in UTC.
    pub fn at(endpoint: Url) -> Self {
        Self { region: None, endpoint, time_zone: TimeZone::UTC, login: None }
    }

    /// What two targets must have in common to have the same recordings.
    pub fn identity(&self) -> [String; 2] {
        let zone = self.time_zone.iana_name().unwrap_or_default().to_owned();
        [self.endpoint.to_string(), zone]
    }

    /// The target of projects that no table names. `None` if it is left out, and after a refusal.
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Option<Self> {
        let DefaultTarget { region, endpoint, time_zone } = DefaultTarget::read(loader);
        if region.is_none() && endpoint.is_none() && loader.sources.tables.is_empty() {
            let problem = "set upstream.region (--upstream-region, GATEWAY_UPSTREAM__REGION), for \
                           example to ap-southeast-1, or upstream.endpoint (--upstream-endpoint, \
                           GATEWAY_UPSTREAM__ENDPOINT); without an account, try the command `demo`";
            loader.refuse(&[&DefaultTarget::region(), &DefaultTarget::endpoint()], problem);
        }
        let endpoint = endpoint
            .or_else(|| endpoint_of(loader, region.as_deref()?, &DefaultTarget::endpoint()))?;
        let login = LoginTarget::load(loader, region.as_deref(), None, &DefaultTarget::region());
        Some(Self { region, endpoint, time_zone, login })
    }
}

impl ProjectConfig {
    /// The projects of the settings file, in its order.
    pub(super) fn load_all(loader: &mut SettingsLoader<'_>, default: Option<&Target>) -> Vec<Self> {
        let mut projects: Vec<Self> = Vec::new();
        for table in loader.sources.tables.clone() {
            loader.table.clone_from(&table.name);
            let Some(project) = Self::load(loader, &table, default) else { continue };
            match projects.iter().find(|other| other.id == project.id) {
                Some(other) => loader.sources.problems.push(format!(
                    "projects.{} ({}) is the project of projects.{} again: case and dashes of ids do \
                     not count",
                    table.name, table.origin, other.id,
                )),
                None => projects.push(project),
            }
        }
        projects
    }

    /// Reads a table. `None` after a refusal.
    fn load(
        loader: &mut SettingsLoader<'_>,
        table: &Table,
        default: Option<&Target>,
    ) -> Option<Self> {
        let ProjectSettings { name, region, endpoint, time_zone } = ProjectSettings::read(loader);
        let Ok(id) = ProjectId::parse(&table.name) else {
            loader.sources.problems.push(format!(
                "projects.{} ({}) names no project: must be an id of 1 to 64 letters, digits, - and _",
                one_line(&table.name),
                table.origin,
            ));
            return None;
        };
        let default = default.filter(|_| region.is_none() && endpoint.is_none());
        let region = region.or_else(|| default?.region.clone());
        let setting = ProjectSettings::endpoint();
        let endpoint = endpoint
            .or_else(|| Some(default?.endpoint.clone()))
            .or_else(|| endpoint_of(loader, region.as_deref()?, &setting));
        if endpoint.is_none() {
            let upstream = [DefaultTarget::region().spec, DefaultTarget::endpoint().spec];
            let [upstream_region, upstream_endpoint] = &upstream;
            let problem = "the project has neither region nor endpoint: set one, or \
                           upstream.region or upstream.endpoint for all projects without";
            let region = ProjectSettings::region();
            loader.refuse(&[&region, &setting, upstream_region, upstream_endpoint], problem);
        }
        let login =
            LoginTarget::load(loader, region.as_deref(), Some(&id), &ProjectSettings::region());
        let time_zone = time_zone.unwrap_or_else(|| loader.read(&DefaultTarget::time_zone()));
        let endpoint = endpoint?;
        Some(Self { id, name, target: Target { region, endpoint, time_zone, login } })
    }
}

/// The address of a region: the official SDKs' own, else the public one. `None` after a refusal.
fn endpoint_of(
    loader: &mut SettingsLoader<'_>,
    region: &str,
    setting: &Setting<Option<Url>>,
) -> Option<Url> {
    let suffix = region.replace('-', "_").to_ascii_uppercase();
    let variable = format!("HUAWEICLOUD_SDK_REGION_WORKSPACE_{suffix}");
    // The official SDKs try the addresses of this list in turn; the gateway takes the first.
    let own = loader.variable(&variable).and_then(|addresses| addresses.split(',').next());
    let public = format!("https://workspace.{region}.myhuaweicloud.com");
    let (address, origin) = own.map_or((&*public, "the region"), |own| (own, &*variable));
    loader.read_text(setting, address, origin)?
}

fn regions() -> Setting<String> {
    Setting::new("REGION", "a region's name in lower case, such as ap-southeast-1", region)
}

fn time_zones() -> Setting<TimeZone> {
    Setting::new("ZONE", "an IANA time zone, such as UTC or Asia/Shanghai", |name| {
        TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())
    })
}

/// Any well-formed name: new regions come faster than new versions of the gateway.
fn region(text: &str) -> Option<String> {
    let is_name = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let is_region = (1..=63).contains(&text.len())
        && text.chars().all(|character| is_name(character) || character == '-')
        && text.starts_with(is_name)
        && text.ends_with(is_name);
    is_region.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_well_formed_whether_known_or_not() {
        for (text, is_region) in [
            ("ap-southeast-1", true),
            ("zz-nowhere-99", true),
            ("CN-North-4", false),
            ("cn_north_4", false),
            ("-a", false),
            ("a-", false),
            ("evil.example/", false),
            ("", false),
        ] {
            assert_eq!(region(text).is_some(), is_region, "of {text:?}");
        }
    }
}
