//! Where recordings are: the address of a region's API, and how its answers are read.

use std::ffi::OsStr;

use jiff::tz::TimeZone;
use url::Url;

use super::iam::LoginTarget;
use super::settings::{Parsed, RawValue, SettingSpec, SettingsLoader};
use super::sources::Origin;
use super::web_address::base_address;

pub(super) const REGION: Parsed<String> = Parsed {
    allowed: "a region's name in lower case, such as ap-southeast-1",
    placeholder: "REGION",
    parse: region,
};
pub(super) const ENDPOINT: Parsed<Url> = Parsed {
    allowed: "an http or https address without user, query and fragment, such as \
              https://workspace.ap-southeast-1.myhuaweicloud.com",
    placeholder: "URL",
    parse: base_address,
};
pub(super) const TIME_ZONE: Parsed<TimeZone> = Parsed {
    allowed: "an IANA time zone, such as UTC or Asia/Shanghai",
    placeholder: "ZONE",
    parse: time_zone,
};

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
    /// The address of a region, which is shown as the endpoint. `None` after a refusal.
    pub(super) fn of_region(&self, loader: &mut SettingsLoader<'_>, region: &str) -> Option<Url> {
        let RegionAddress { address, origin } = RegionAddress::find(loader, region, self.region);
        let shown = self.setting.shown(&RawValue::Text(address.clone()));
        let url = base_address(&address);
        if url.is_none() {
            let allowed = self.setting.allowed();
            loader.add_problem(format!("{origin} is {shown}: must be {allowed}"));
        }
        loader.show(self.endpoint, &shown, origin);
        url
    }
}

/// The address of a region, and where it came from.
struct RegionAddress {
    address: String,
    origin: Origin,
}

impl RegionAddress {
    /// The public address, unless the official SDKs' own variable for the region has another. They try the
    /// addresses of its list in turn; the gateway takes the first.
    fn find(loader: &SettingsLoader<'_>, region: &str, region_key: &str) -> Self {
        let suffix = region.replace('-', "_").to_ascii_uppercase();
        let variable = format!("HUAWEICLOUD_SDK_REGION_WORKSPACE_{suffix}");
        let Some(addresses) = loader.variable(&variable).map(OsStr::to_string_lossy) else {
            let address = format!("https://workspace.{region}.myhuaweicloud.com");
            return Self { address, origin: Origin::Derived(region_key.to_owned()) };
        };
        let first = addresses.split(',').next().unwrap_or_default().trim();
        Self { address: first.to_owned(), origin: Origin::Environment(variable) }
    }
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

fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())
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
