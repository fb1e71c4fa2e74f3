//! `simulator.*`: what the simulated upstream serves, to whom, and how badly.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use super::LogConfig;
use super::form::{Address, Count, ListOf, Parsed, Share, Span};
use super::setting::{Role, Row, Setting};
use super::values::Values;
use crate::domain::{ProjectId, Secret};

const ROLES: &[Role] = &[Role::Simulate];

static LISTEN: Setting<Address> = Setting::new(
    "simulator.listen",
    Address,
    "address of the simulated upstream; port 0 picks a free one, and the address is printed",
)
.or("127.0.0.1:8090")
.with_flag("listen")
.only_for(ROLES);
static RECORDS: Setting<Count> =
    Setting::new("simulator.records", Count { least: 0, most: 1_000_000 }, "how many records")
        .or("250")
        .with_flag("records")
        .only_for(ROLES);
static LATENCY: Setting<Span> = Setting::new(
    "simulator.latency",
    Span { least: Duration::ZERO, most: Duration::from_mins(1) },
    "how long every answer takes",
)
.or("20ms")
.with_flag("latency")
.only_for(ROLES);
static SEED: Setting<Count> = Setting::new(
    "simulator.seed",
    Count { least: 0, most: u64::MAX },
    "where the records come from: equal seeds give equal records",
)
.or("1")
.with_flag("seed")
.only_for(ROLES);
static PROJECTS: Setting<ListOf<Parsed<ProjectId>>> = Setting::new(
    "simulator.projects",
    ListOf(Parsed {
        allowed: "a project id of 1 to 64 letters, digits, - and _",
        placeholder: "PROJECT",
        parse: |text| ProjectId::parse(text).ok(),
    }),
    "the projects that records belong to; any other is answered 403",
)
.or("089b2f9a3d80d3062f24c00ca4ed5cbd")
.with_flag("project")
.only_for(ROLES);
static TOKENS: Setting<ListOf<Parsed<Secret>>> = Setting::new(
    "simulator.tokens",
    ListOf(Parsed {
        allowed: "a token of visible ASCII characters",
        placeholder: "TOKEN",
        parse: token,
    }),
    "values of X-Auth-Token that are let in",
)
.with_flag("token")
.secret()
.only_for(ROLES);
static ACCESS_KEYS: Setting<ListOf<Parsed<(Secret, Secret)>>> = Setting::new(
    "simulator.access_keys",
    ListOf(Parsed {
        allowed: "an access key and its secret key, written AK:SK",
        placeholder: "AK:SK",
        parse: access_key,
    }),
    "key pairs whose signatures are let in",
)
.with_flag("access-key")
.secret()
.only_for(ROLES);
static IAM_USERS: Setting<ListOf<Parsed<(String, Secret, String)>>> = Setting::new(
    "simulator.iam_users",
    ListOf(Parsed {
        allowed: "a user's name, password and account, written NAME:PASSWORD:DOMAIN",
        placeholder: "NAME:PASSWORD:DOMAIN",
        parse: iam_user,
    }),
    "users that the simulated IAM issues tokens to",
)
.with_flag("iam-user")
.secret()
.only_for(ROLES);
static TOKEN_LIFE: Setting<Span> = Setting::new(
    "simulator.token_life",
    Span { least: Duration::from_secs(1), most: Duration::from_hours(24) },
    "how long tokens of the simulated IAM live",
)
.or("24h")
.with_flag("token-life")
.only_for(ROLES);
static FAULT_RATE: Setting<Share> = Setting::new(
    "simulator.fault_rate",
    Share,
    "share of the requests that are answered with an error that passes",
)
.or("0")
.with_flag("fault-rate")
.only_for(ROLES);
static RATE_LIMIT: Setting<Count> = Setting::new(
    "simulator.rate_limit",
    Count { least: 1, most: 1_000_000 },
    "requests in one second; more are answered 429",
)
.with_flag("rate-limit")
.only_for(ROLES);

pub(super) static ROWS: &[&dyn Row] = &[
    &LISTEN,
    &RECORDS,
    &LATENCY,
    &SEED,
    &PROJECTS,
    &TOKENS,
    &ACCESS_KEYS,
    &IAM_USERS,
    &TOKEN_LIFE,
    &FAULT_RATE,
    &RATE_LIMIT,
];

/// The settings of `simulate`.
#[derive(Clone, Debug)]
pub struct SimulateArgs {
    /// `simulator.listen`; port 0 picks a free one.
    pub listen: SocketAddr,
    /// `simulator.records`
    pub records: usize,
    /// `simulator.latency`
    pub latency: Duration,
    /// `simulator.seed`
    pub seed: u64,
    /// `simulator.projects`
    pub projects: Vec<String>,
    /// `simulator.tokens`
    pub tokens: Vec<Secret>,
    /// `simulator.access_keys`: access key and secret key.
    pub access_keys: Vec<(Secret, Secret)>,
    /// `simulator.iam_users`: name, password and account.
    pub iam_users: Vec<(String, Secret, String)>,
    /// `simulator.token_life`
    pub token_life: Duration,
    /// `simulator.fault_rate`, from 0 to 1.
    pub fault_rate: f64,
    /// `simulator.rate_limit`: requests in one second.
    pub rate_limit: Option<NonZeroU32>,
    /// `log`, `log_format`
    pub log: LogConfig,
}

impl SimulateArgs {
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        let projects = values.read_or(&PROJECTS, Vec::new());
        Self {
            listen: values.read_or(&LISTEN, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            records: values.read_size(&RECORDS, 0),
            latency: values.read_or(&LATENCY, Duration::ZERO),
            seed: values.read_or(&SEED, 0),
            projects: projects.iter().map(|project| project.as_str().to_owned()).collect(),
            tokens: values.read_or(&TOKENS, Vec::new()),
            access_keys: values.read_or(&ACCESS_KEYS, Vec::new()),
            iam_users: values.read_or(&IAM_USERS, Vec::new()),
            token_life: values.read_or(&TOKEN_LIFE, Duration::from_hours(24)),
            fault_rate: values.read_or(&FAULT_RATE, 0.0),
            rate_limit: values
                .read(&RATE_LIMIT)
                .and_then(|count| u32::try_from(count).ok())
                .and_then(NonZeroU32::new),
            log: LogConfig::read(values),
        }
    }
}

fn iam_user(text: &str) -> Option<(String, Secret, String)> {
    let (name, rest) = text.split_once(':')?;
    let (password, domain) = rest.rsplit_once(':')?;
    let parts = [name, password, domain];
    let are_texts = parts.iter().all(|part| !part.is_empty() && !part.contains(char::is_control));
    are_texts.then(|| (name.to_owned(), Secret::new(password), domain.to_owned()))
}

fn token(text: &str) -> Option<Secret> {
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| Secret::new(text))
}

fn access_key(text: &str) -> Option<(Secret, Secret)> {
    let (access, secret) = text.split_once(':')?;
    Some((token(access)?, token(secret)?))
}
