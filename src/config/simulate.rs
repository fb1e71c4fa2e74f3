//! `simulator.*`: what the simulated upstream serves, to which callers, and with which faults.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::log::LogConfig;
use super::settings::{
    DurationRange, LISTEN_ADDRESS, ListOf, NumberRange, Optional, Parsed, Ratio, Role,
    SettingsLoader, setting, settings,
};
use crate::domain::{ProjectId, Secret};

const SIMULATE: &[Role] = &[Role::Simulate];

const LATENCY: DurationRange = DurationRange(Duration::ZERO..=Duration::from_mins(1));
const TOKEN_LIFE: DurationRange = DurationRange(Duration::from_secs(1)..=Duration::from_hours(24));
const PROJECT: Parsed<ProjectId> = Parsed {
    allowed: "a project id of 1 to 64 letters, digits, - and _",
    placeholder: "PROJECT",
    parse: |text| ProjectId::parse(text).ok(),
};
const TOKEN: Parsed<Secret> =
    Parsed { allowed: "a token of visible ASCII characters", placeholder: "TOKEN", parse: token };
const ACCESS_KEY: Parsed<SimulatedKey> = Parsed {
    allowed: "an access key and its secret key, written AK:SK",
    placeholder: "AK:SK",
    parse: access_key,
};
const IAM_USER: Parsed<SimulatedUser> = Parsed {
    allowed: "a user's name, password and account, written NAME:PASSWORD:DOMAIN",
    placeholder: "NAME:PASSWORD:DOMAIN",
    parse: iam_user,
};

settings! {
    /// The settings of `simulate`.
    #[derive(Clone, Debug)]
    pub struct SimulateArgs in "simulator." for SIMULATE {
        /// address of the simulated upstream; port 0 picks a free one, and the address is printed
        pub listen: SocketAddr = setting(&LISTEN_ADDRESS)
            .default("127.0.0.1:8090")
            .with_flag("listen"),
        /// number of records
        pub records: usize = setting(&NumberRange(0..=1_000_000))
            .default("250")
            .with_flag("records"),
        /// time that each answer takes
        pub latency: Duration = setting(&LATENCY).default("20ms").with_flag("latency"),
        /// seed of the random records: equal seeds give equal records
        pub seed: u64 = setting(&NumberRange(0..=u64::MAX)).default("1").with_flag("seed"),
        /// projects that records belong to; any other is answered with 403
        pub projects: Vec<ProjectId> = setting(&ListOf(PROJECT))
            .default("089b2f9a3d80d3062f24c00ca4ed5cbd")
            .with_flag("project"),
        /// accepted values of X-Auth-Token
        pub tokens: Vec<Secret> = setting(&ListOf(TOKEN)).with_flag("token").secret(),
        /// key pairs whose signatures are accepted
        pub access_keys: Vec<SimulatedKey> =
            setting(&ListOf(ACCESS_KEY)).with_flag("access-key").secret(),
        /// users that the simulated IAM issues tokens to
        pub iam_users: Vec<SimulatedUser> =
            setting(&ListOf(IAM_USER)).with_flag("iam-user").secret(),
        /// lifetime of the tokens of the simulated IAM
        pub token_life: Duration = setting(&TOKEN_LIFE).default("24h").with_flag("token-life"),
        /// share of requests that are answered with a temporary error
        pub fault_rate: f64 = setting(&Ratio).default("0").with_flag("fault-rate"),
        /// requests per second; further ones are answered with 429
        pub rate_limit: Option<NonZeroU32> = setting(&Optional(NumberRange(1..=1_000_000)))
            .with_flag("rate-limit"),
    } and {
        /// `log`, `log_format`
        pub log: LogConfig = LogConfig::default(),
    }
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

fn iam_user(text: &str) -> Option<SimulatedUser> {
    let (name, rest) = text.split_once(':')?;
    let (password, domain) = rest.rsplit_once(':')?;
    let parts = [name, password, domain];
    let are_texts = parts.iter().all(|part| !part.is_empty() && !part.contains(char::is_control));
    are_texts.then(|| SimulatedUser {
        name: name.to_owned(),
        password: Secret::new(password),
        domain: domain.to_owned(),
    })
}

fn token(text: &str) -> Option<Secret> {
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| Secret::new(text))
}

fn access_key(text: &str) -> Option<SimulatedKey> {
    let (access, secret) = text.split_once(':')?;
    Some(SimulatedKey { access: token(access)?, secret: token(secret)? })
}
