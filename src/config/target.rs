//! Where recordings are: the address of a region's API, and how its answers are read.

use jiff::tz::TimeZone;
use url::Url;

use super::iam::LoginTarget;
use super::settings::{Format, SettingSpec, SettingsLoader};
use super::web_address::base_address;

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
}

/// The keys, in full, of the settings that name an address.
pub(super) struct AddressKeys<'s> {
    pub(super) region: &'s str,
    pub(super) endpoint: &'s str,
    /// What an endpoint may be.
    pub(super) setting: &'s SettingSpec,
}

impl AddressKeys<'_> {
    /// The address: the endpoint if it is set, else that of the region. `None` if neither is, and after a
    /// refusal.
    pub(super) fn address(
        &self,
        loader: &mut SettingsLoader<'_>,
        endpoint: Option<Url>,
        region: Option<&str>,
    ) -> Option<Url> {
        endpoint.or_else(|| self.of_region(loader, region?))
    }

    /// The address of a region, which is shown as the endpoint. `None` after a refusal.
    fn of_region(&self, loader: &mut SettingsLoader<'_>, region: &str) -> Option<Url> {
        let suffix = region.replace('-', "_").to_ascii_uppercase();
        let variable = format!("HUAWEICLOUD_SDK_REGION_WORKSPACE_{suffix}");
        // The official SDKs try the addresses of this list in turn; the gateway takes the first.
        let own = loader.variable(&variable);
        let own = own.and_then(|addresses| addresses.split(',').next()).map(str::trim);
        let origin = if own.is_some() { &variable } else { self.region };
        let public = format!("https://workspace.{region}.myhuaweicloud.com");
        let address = own.unwrap_or(&public);
        let (shown, url) = (self.setting.shown(address), base_address(address));
        if url.is_none() {
            let allowed = &self.setting.allowed;
            loader.add_problem(format!("{origin} is {shown}: must be {allowed}"));
        }
        loader.show(self.endpoint, &shown, origin);
        url
    }
}

pub(super) fn regions() -> Format<String> {
    Format::new("REGION", "a region's name in lower case, such as ap-southeast-1", region)
}

pub(super) fn endpoints() -> Format<Url> {
    let allowed = "an http or https address without user, query and fragment, such as \
                   https://workspace.ap-southeast-1.myhuaweicloud.com";
    Format::new("URL", allowed, base_address)
}

pub(super) fn time_zones() -> Format<TimeZone> {
    Format::new("ZONE", "an IANA time zone, such as UTC or Asia/Shanghai", |name| {
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
