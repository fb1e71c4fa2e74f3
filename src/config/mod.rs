//! The settings: one struct per section, declared by the macro `settings!`.
//!
//! Only this area reads flags, the environment and the settings file. Every other area is handed the
//! section it needs. `sources` finds the value of a setting; `settings` reads it into its type and collects
//! everything that is wrong.

mod settings;
mod sources;
mod web_address;
mod project_id;
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
use std::sync::LazyLock;

use audit::AuditSettings;
use cache::SharedCacheSettings;
use iam::IamSettings;
use inbound::AuthSettings;
use limits::RateSettings;
use settings::{Role, SettingSpec, SettingsLoader, listen_address, setting, settings};
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
pub use invocation::{Invocation, SchemaText, UsageError};
pub use limits::{LimitsConfig, Rate};
pub use live::Live;
pub use log::{LogConfig, LogFormat};
pub use projects::ProjectConfig;
pub use redis::{RedisKind, RedisNode, RedisServers};
pub use reload::ReloadedSettings;
pub use settings::{FailedLoad, Loaded, SettingsError, ShownSetting};
pub use simulate::{SimulateArgs, SimulatedKey, SimulatedRegion, SimulatedUser};
pub use sources::{Environment, FileStates};
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
        pub listen: SocketAddr = setting(listen_address()).default("127.0.0.1:8080"),
        /// address of health, metrics and purge
        pub admin_listen: SocketAddr = setting(listen_address()).default("127.0.0.1:8081"),
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
fn all_settings() -> &'static [SettingSpec] {
    static ALL: LazyLock<Vec<SettingSpec>> = LazyLock::new(|| {
        let sections = [
            Config::specs(),
            UpstreamTarget::specs(),
            UpstreamConfig::specs(),
            BreakerConfig::specs(),
            CacheConfig::specs(),
            SharedCacheSettings::specs(),
            IamSettings::specs(),
            AuthSettings::specs(),
            GrantClaims::specs(),
            InboundConfig::specs(),
            AuditSettings::specs(),
            TlsSettings::specs(),
            LimitsConfig::specs(),
            RateSettings::specs(),
            SubscriptionsConfig::specs(),
            GraphqlConfig::specs(),
            LogConfig::specs(),
            SimulateArgs::specs(),
        ];
        sections.into_iter().flatten().collect()
    });
    &ALL
}

/// Reads all sources. Settings that need a restart keep their pinned values, if there are any.
fn load<T>(
    inputs: &Inputs,
    pinned: Option<&RawSettings>,
    read: fn(&mut SettingsLoader<'_>) -> T,
) -> Result<Loaded<T>, FailedLoad> {
    let mut loader = SettingsLoader::new(inputs, all_settings(), pinned);
    let settings = read(&mut loader);
    loader.finish(settings)
}

impl Config {
    fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let config = match loader.role() {
            Role::Demo => Self::load_demo(loader),
            Role::Serve | Role::Simulate => Self::load_served(loader),
        };
        config.for_each_named_file(|file| loader.watch(file));
        config
    }

    fn load_served(loader: &mut SettingsLoader<'_>) -> Self {
        let target = UpstreamTarget::read(loader);
        let credentials = target.credentials;
        let upstream = UpstreamConfig::load(loader, target);
        let config = Self::load_around(loader, upstream, credentials);
        config.refuse_open_proxy(loader, credentials);
        config
    }

    fn load_demo(loader: &mut SettingsLoader<'_>) -> Self {
        let upstream = UpstreamConfig::load_limits(loader);
        let config = Self::load_around(loader, upstream, CredentialsKind::Passthrough);
        for (setting, address) in
            [(Self::listen(), config.listen), (Self::admin_listen(), config.admin_listen)]
        {
            if loader.are_valid(&[&setting]) && !is_loopback(address) {
                let problem = "must be a loopback address, such as 127.0.0.1:8080: the demo is for \
                               this machine alone";
                loader.refuse(&setting, problem);
            }
        }
        config
    }

    /// Makes a simulated upstream serve each of these projects. The first one's also answers for projects that are
    /// not there. They accept the same tokens.
    fn serve_simulated(&mut self, projects: Vec<ProjectConfig>) {
        self.upstream.default = projects.first().map(|first| first.target.clone());
        self.upstream.tokens_are_for_all_projects = true;
        self.limits.projects = projects.len();
        self.upstream.projects = projects;
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
        if is_one_port && overlap && loader.are_valid(&[&Self::listen(), &Self::admin_listen()]) {
            let problem = format!("must be another port than that of listen, which is {listen}");
            loader.refuse(&Self::admin_listen(), &problem);
        }
    }

    /// Everybody who can connect would act with the gateway's own credentials.
    fn refuse_open_proxy(&self, loader: &mut SettingsLoader<'_>, credentials: CredentialsKind) {
        let is_open = credentials.are_the_gateways()
            && !is_loopback(self.listen)
            && !self.inbound.allow_anonymous
            && !self.inbound.asks_who();
        let mut judged = InboundConfig::auth_specs();
        judged.push(Self::listen().spec);
        if is_open && loader.are_valid(&judged.iter().collect::<Vec<_>>()) {
            let problem = format!(
                "under upstream.credentials={} anybody who can connect would use the gateway's own \
                 credentials: must be a loopback address, such as 127.0.0.1:8080, {}",
                credentials.word(),
                InboundConfig::remedies()
            );
            loader.refuse(&Self::listen(), &problem);
        }
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
