//! The settings: one struct per section, declared by the macro `settings!`.
//!
//! Only this area reads flags, the environment and the settings file. Every other area is handed the
//! section it needs. `sources` finds the value of a setting; `settings` reads it into its type and collects
//! everything that is wrong.

mod settings;
mod sources;
mod web_address;
mod target;
mod projects;
mod upstream;
mod access_key;
mod cache;
mod redis;
mod iam;
mod inbound;
mod audit;
mod tls;
mod limits;
mod graphql;
mod subscriptions;
mod log;
mod traces;
mod simulate;
mod command_line;
mod completions;
mod invocation;
mod live;
mod reload;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use audit::AuditSettings;
use cache::SharedCacheSettings;
use iam::IamSettings;
use inbound::AuthSettings;
use limits::RateSettings;
use settings::{FailedLoad, LISTEN_ADDRESS, SettingSpec, SettingsLoader, setting, settings};
use sources::{Inputs, RawSettings};
use tls::TlsSettings;
use upstream::{CredentialsKind, UpstreamTarget};

pub use crate::proxies::Proxies;
pub use access_key::AccessKey;
pub use audit::{AuditConfig, AuditSink};
pub(crate) use cache::CacheBudget;
pub use cache::{CacheConfig, SharedCacheConfig};
pub use graphql::GraphqlConfig;
pub use iam::{IamLogin, LoginTarget, ProjectScope};
pub use inbound::{GrantClaims, InboundAuth, InboundConfig, JwksSource, JwtConfig};
pub use invocation::{Invocation, UsageError};
pub use limits::{LimitsConfig, Rate};
pub use live::Live;
pub use log::{LogConfig, LogFormat};
pub use projects::ProjectConfig;
pub use redis::{RedisKind, RedisNode, RedisServers};
pub use reload::{ActiveSettings, FailedReload, ReloadedSettings, SettingsSource};
pub use settings::{Loaded, SettingsError, ShownSetting};
pub use simulate::{SimulateArgs, SimulatedKey, SimulatedUser};
pub use sources::{Environment, FileStates, Origin};
pub(crate) use sources::{LARGEST_FILE, read_bounded};
pub use subscriptions::SubscriptionsConfig;
pub use target::Target;
pub use tls::{TlsConfig, ca_certificates_of};
pub use traces::TracesConfig;
pub use upstream::{BreakerConfig, CredentialsMode, MetadataService, UpstreamConfig};

settings! {
    /// All settings of the gateway, checked.
    #[derive(Clone, Debug)]
    pub struct Config in "" {
        /// address of the GraphQL listener; port 0 picks a free one, and the address is printed
        pub listen: SocketAddr = setting(&LISTEN_ADDRESS).default("127.0.0.1:8080"),
        /// address of health, metrics and purge
        pub admin_listen: SocketAddr = setting(&LISTEN_ADDRESS).default("127.0.0.1:8081"),
    } and {
        /// `upstream.*`
        pub upstream: UpstreamConfig = UpstreamConfig::default(),
        /// `cache.*`
        pub cache: CacheConfig = CacheConfig::default(),
        /// `inbound.*`
        pub inbound: InboundConfig = InboundConfig::default(),
        /// `audit.*`
        pub audit: AuditConfig = AuditConfig::default(),
        /// `tls.*`: the GraphQL listener's; `None` for HTTP without TLS.
        pub tls: Option<TlsConfig> = None,
        /// `limits.*`
        pub limits: LimitsConfig = LimitsConfig::default(),
        /// `graphql.*`, `web.*`, `cors.*`
        pub graphql: GraphqlConfig = GraphqlConfig::default(),
        /// `subscriptions.*`
        pub subscriptions: SubscriptionsConfig = SubscriptionsConfig::default(),
        /// `log`, `log_format`
        pub log: LogConfig = LogConfig::default(),
        /// OpenTelemetry's own variables; `None` if traces are off.
        pub traces: Option<TracesConfig> = None,
    }
}

/// Every setting, in the order in which they are documented.
fn all_settings() -> Vec<&'static SettingSpec> {
    [
        Config::SPECS,
        UpstreamTarget::SPECS,
        UpstreamConfig::SPECS,
        BreakerConfig::SPECS,
        CacheConfig::SPECS,
        SharedCacheSettings::SPECS,
        IamSettings::SPECS,
        AuthSettings::SPECS,
        InboundConfig::SPECS,
        AuditSettings::SPECS,
        TlsSettings::SPECS,
        LimitsConfig::SPECS,
        RateSettings::SPECS,
        SubscriptionsConfig::SPECS,
        GraphqlConfig::SPECS,
        LogConfig::SPECS,
        SimulateArgs::SPECS,
    ]
    .concat()
}

/// Reads all sources. Settings that need a restart keep their pinned values, if there are any.
fn load<T>(
    inputs: &Inputs,
    pinned: Option<&RawSettings>,
    read: fn(&mut SettingsLoader<'_>) -> T,
) -> Result<Loaded<T>, FailedLoad> {
    let mut loader = SettingsLoader::new(inputs, &all_settings(), pinned);
    let settings = read(&mut loader);
    loader.finish(settings)
}

/// The settings of the demo, whose upstreams have no addresses before they run.
#[derive(Clone, Debug)]
pub struct DemoConfig(Config);

impl DemoConfig {
    /// The gateway's settings, once a simulated upstream serves each of these projects. The first one's
    /// also answers for projects that are not there. They accept the same tokens.
    pub fn against(mut self, projects: Vec<ProjectConfig>) -> Config {
        let Config { upstream, limits, .. } = &mut self.0;
        upstream.default = projects.first().map(|first| first.target.clone());
        upstream.tokens_are_for_all_projects = true;
        limits.projects = projects.len();
        upstream.projects = projects;
        self.0
    }

    /// `log`, `log_format`
    pub fn log(&self) -> &LogConfig {
        &self.0.log
    }

    /// The export of traces, if they are on.
    pub fn traces(&self) -> Option<&TracesConfig> {
        self.0.traces.as_ref()
    }

    fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let upstream = UpstreamConfig::load_limits(loader);
        let config = Config::load_around(loader, upstream, CredentialsKind::Passthrough);
        let listeners: [(&SettingSpec, SocketAddr); 2] =
            [(&Config::listen, config.listen), (&Config::admin_listen, config.admin_listen)];
        for (setting, address) in listeners {
            if loader.are_valid(&[setting]) && !is_loopback(address) {
                let problem = "must be a loopback address, such as 127.0.0.1:8080: the demo is for \
                               this machine alone";
                loader.refuse(setting, problem);
            }
        }
        Self(config)
    }
}

impl Config {
    fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let target = UpstreamTarget::read(loader);
        let credentials = target.credentials;
        let upstream = UpstreamConfig::load(loader, target);
        let config = Self::load_around(loader, upstream, credentials);
        config.refuse_open_proxy(loader, credentials);
        config
    }

    fn load_around(
        loader: &mut SettingsLoader<'_>,
        upstream: UpstreamConfig,
        credentials: CredentialsKind,
    ) -> Self {
        let listeners = Self::read(loader);
        let projects = upstream.projects.len();
        let cache = CacheConfig::load(loader, credentials);
        let inbound = InboundConfig::load(loader);
        let config = Self {
            upstream,
            cache,
            audit: AuditConfig::load(loader, &inbound),
            inbound,
            tls: TlsConfig::load(loader),
            limits: LimitsConfig { projects, ..LimitsConfig::load(loader) },
            graphql: GraphqlConfig::load(loader, credentials),
            subscriptions: SubscriptionsConfig::read(loader),
            log: LogConfig::read(loader),
            traces: TracesConfig::load(loader),
            ..listeners
        };
        config.refuse_one_port_for_both(loader);
        config
    }

    /// Whether every program on this machine may call the upstream with the gateway's own credentials.
    pub fn trusts_this_machine(&self) -> bool {
        let are_own = !matches!(self.upstream.credentials, CredentialsMode::Passthrough);
        let is_anybody = !self.inbound.allow_anonymous && !self.inbound.asks_who();
        are_own && is_anybody && is_loopback(self.listen)
    }

    /// Whether the admin listener is for programs of this machine.
    pub fn admin_is_on_loopback(&self) -> bool {
        is_loopback(self.admin_listen)
    }

    fn refuse_one_port_for_both(&self, loader: &mut SettingsLoader<'_>) {
        let (listen, admin) = (self.listen, self.admin_listen);
        let are_equal = listen.ip().to_canonical() == admin.ip().to_canonical();
        let overlap = are_equal || listen.ip().is_unspecified() || admin.ip().is_unspecified();
        let is_one_port = listen.port() == admin.port() && listen.port() != 0;
        if is_one_port && overlap && loader.are_valid(&[&Self::listen, &Self::admin_listen]) {
            let problem = format!("must be another port than that of listen, which is {listen}");
            loader.refuse(&Self::admin_listen, &problem);
        }
    }

    /// Everybody who can connect would act with the gateway's own credentials.
    fn refuse_open_proxy(&self, loader: &mut SettingsLoader<'_>, credentials: CredentialsKind) {
        let is_open = credentials.are_the_gateways()
            && !is_loopback(self.listen)
            && !self.inbound.allow_anonymous
            && !self.inbound.asks_who();
        let are_valid =
            loader.are_valid(&[&Self::listen]) && loader.are_valid(InboundConfig::AUTH_SPECS);
        if is_open && are_valid {
            let problem = format!(
                "under upstream.credentials={} anybody who can connect would use the gateway's own \
                 credentials: must be a loopback address, such as 127.0.0.1:8080, {}",
                credentials.word(),
                InboundConfig::remedies()
            );
            loader.refuse(&Self::listen, &problem);
        }
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
