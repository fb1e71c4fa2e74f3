//! The settings: one struct per section, each with its defaults.
//!
//! Only this area reads flags, the environment and the settings file. Everything else is handed
//! the section it needs. [`settings`] is the one table that flags, environment names, help, errors
//! and documentation are made of; [`sources`] lays the sources over each other; [`load`] reads typed
//! values and collects every problem before it gives up.

mod upstream;
mod cache;
mod inbound;
mod limits;
mod graphql;
mod log;
mod settings;
mod sources;
mod reader;
mod profile;
mod load;

use std::net::SocketAddr;

pub use cache::CacheConfig;
pub use graphql::GraphqlConfig;
pub use inbound::InboundConfig;
pub use limits::LimitsConfig;
pub use load::{Loaded, Purpose, load};
pub use log::{LogConfig, LogFormat};
pub use settings::{SETTINGS, Setting};
pub use sources::{Environment, Flags, Refusals, environment};
pub use upstream::{AccessKey, CredentialsMode, UpstreamConfig};

/// All settings of the gateway, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `listen`: address of the GraphQL listener; port 0 picks a free one.
    pub listen: SocketAddr,
    /// `admin_listen`: address of health and metrics; port 0 picks a free one.
    pub admin_listen: SocketAddr,
    /// `upstream.*`
    pub upstream: UpstreamConfig,
    /// `cache.*`
    pub cache: CacheConfig,
    /// `inbound.*`
    pub inbound: InboundConfig,
    /// `limits.*`
    pub limits: LimitsConfig,
    /// `graphql.*`, `cors.*`
    pub graphql: GraphqlConfig,
    /// `log`, `log_format`
    pub log: LogConfig,
}
