//! What is simulated.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The token of the demo.
pub const DEMO_TOKEN: &str = "demo-token";
/// The project of the documented example.
pub(super) const EXAMPLE_PROJECT: &str = "089b2f9a3d80d3062f24c00ca4ed5cbd";

/// What is simulated.
#[derive(Clone)]
pub struct SimulatorConfig {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Recordings there are at the start; from then on a new one begins every minute.
    pub records: usize,
    /// Time before every answer.
    pub latency: Duration,
    /// Equal seeds give equal recordings.
    pub seed: u64,
    /// Projects of the recordings; any other is forbidden.
    pub projects: Vec<String>,
    /// Tokens that are accepted.
    pub tokens: Vec<String>,
    /// Access keys and their secrets.
    pub access_keys: Vec<(String, String)>,
    /// Users that IAM issues tokens to.
    pub iam_users: Vec<IamUser>,
    /// How long such a token lives.
    pub token_life: Duration,
    /// The most rows of a page: 1,000 or 100, as the upstream's two documents say.
    pub largest_page: usize,
    /// Faults among ordinary answers.
    pub faults: FaultPlan,
}

/// Faults among ordinary answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// Share of requests that fail in mixed ways, from 0 to 1.
    pub rate: f64,
    /// Requests a second before 429; `None` for no limit.
    pub requests_per_second: Option<u32>,
}

/// A user, and the account it belongs to.
#[derive(Clone)]
pub struct IamUser {
    /// Name of the user.
    pub name: String,
    /// Password of the user.
    pub password: String,
    /// Name of the account.
    pub domain: String,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8090).into(),
            records: 250,
            latency: Duration::ZERO,
            seed: 1,
            projects: vec![EXAMPLE_PROJECT.to_owned()],
            tokens: Vec::new(),
            access_keys: Vec::new(),
            iam_users: Vec::new(),
            token_life: Duration::from_hours(24),
            largest_page: 1000,
            faults: FaultPlan::default(),
        }
    }
}

/// The project of the demo's second region.
const SECOND_PROJECT: &str = "0f5c3b7d9a1e4c62b8d7e6f50a1b2c3d";

impl SimulatorConfig {
    /// The two regions of the demo: on free ports, with the demo's token, and with one project each.
    pub fn for_demo() -> [Self; 2] {
        [(EXAMPLE_PROJECT, 1), (SECOND_PROJECT, 2)].map(|(project, seed)| Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            projects: vec![project.to_owned()],
            seed,
            tokens: vec![DEMO_TOKEN.to_owned()],
            latency: Duration::from_millis(20),
            ..Self::default()
        })
    }
}
