//! `simulator.*`: what the simulated upstream serves, to which callers, and with which faults.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::log::LogConfig;
use super::settings::{
    Role, Setting, SettingsLoader, duration, listen_address, number, project_id, settings, share,
};
use crate::domain::{ProjectId, Secret};

const SIMULATE: &[Role] = &[Role::Simulate];

settings! {
    /// The settings of `simulate`.
    #[derive(Clone, Debug)]
    pub struct SimulateArgs in "simulator." for SIMULATE {
        /// address of the simulated upstream; port 0 picks a free one, and the address is printed
        pub listen: SocketAddr = listen_address().default("127.0.0.1:8090"),
        /// number of records
        pub records: usize = number(0..=1_000_000).default("250"),
        /// time that each answer takes
        pub latency: Duration = duration(Duration::ZERO..=Duration::from_mins(1)).default("20ms"),
        /// seed of the random records: equal seeds give equal records
        pub seed: u64 = number(0..=u64::MAX).default("1"),
        /// projects that records belong to; any other is answered with 403
        pub projects: Vec<ProjectId> = project_id().list()
            .default("089b2f9a3d80d3062f24c00ca4ed5cbd")
            .with_flag("project"),
        /// further regions: each serves a project of its own at an address of its own, and has all else in common
        /// with the first
        pub regions: Vec<SimulatedRegion> = regions().list().with_flag("region"),
        /// accepted values of X-Auth-Token
        pub tokens: Vec<Secret> = tokens().list().with_flag("token").secret(),
        /// key pairs whose signatures are accepted
        pub access_keys: Vec<SimulatedKey> = key_pairs().list().with_flag("access-key").secret(),
        /// users that the simulated IAM issues tokens to
        pub iam_users: Vec<SimulatedUser> = users().list().with_flag("iam-user").secret(),
        /// lifetime of the tokens of the simulated IAM
        pub token_life: Duration = duration(Duration::from_secs(1)..=Duration::from_hours(24))
            .default("24h"),
        /// most rows of a page: 1000 or 100, as the upstream's two documents say; a page without a
        /// limit has a tenth of it
        pub largest_page: usize = number(10..=1000).default("1000"),
        /// share of requests that are answered with a temporary error
        pub fault_rate: f64 = share(0.0).default("0"),
        /// requests per second; further ones are answered with 429
        pub rate_limit: Option<NonZeroU32> = number(1..=1_000_000).optional(),
    } and {
        /// `log`, `log_format`
        pub log: LogConfig = LogConfig::default(),
    }
}

/// A further region.
#[derive(Clone, Debug)]
pub struct SimulatedRegion {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The only project.
    pub project: ProjectId,
}

/// A key pair that the simulated upstream accepts.
#[derive(Clone, Debug)]
pub struct SimulatedKey {
    /// Access key id.
    pub access: Secret,
    /// Secret key.
    pub secret: Secret,
}

/// A user of the simulated IAM.
#[derive(Clone, Debug)]
pub struct SimulatedUser {
    /// The user's name.
    pub name: String,
    /// The user's password.
    pub password: Secret,
    /// The user's account.
    pub domain: String,
}

impl SimulateArgs {
    pub(super) fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let args = Self::read(loader);
        Self { log: LogConfig::read(loader), ..args }
    }
}

fn regions() -> Setting<SimulatedRegion> {
    let allowed = "an IP address with a port and a project, written ADDRESS=PROJECT";
    Setting::new("ADDRESS=PROJECT", allowed, |text| {
        let (address, project) = text.split_once('=')?;
        let project = ProjectId::parse(project).ok()?;
        Some(SimulatedRegion { listen: address.parse().ok()?, project })
    })
}

fn users() -> Setting<SimulatedUser> {
    let allowed = "a user's name, password and account, written NAME:PASSWORD:DOMAIN";
    Setting::new("NAME:PASSWORD:DOMAIN", allowed, |text| {
        let (name, rest) = text.split_once(':')?;
        let (password, domain) = rest.rsplit_once(':')?;
        let is_text = |part: &&str| !part.is_empty() && !part.contains(char::is_control);
        [name, password, domain].iter().all(is_text).then(|| SimulatedUser {
            name: name.to_owned(),
            password: Secret::new(password),
            domain: domain.to_owned(),
        })
    })
}

fn tokens() -> Setting<Secret> {
    Setting::new("TOKEN", "a token of visible ASCII characters", token)
}

fn key_pairs() -> Setting<SimulatedKey> {
    Setting::new("AK:SK", "an access key and its secret key, written AK:SK", |text| {
        let (access, secret) = text.split_once(':')?;
        Some(SimulatedKey { access: token(access)?, secret: token(secret)? })
    })
}

fn token(text: &str) -> Option<Secret> {
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| Secret::new(text))
}
