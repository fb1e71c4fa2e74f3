//! The settings: one struct per section, declared by the macro `settings!`.
//!
//! Only this area reads flags, the environment and the settings file. Every other area is handed the
//! section it needs. `inputs` is what they are read from; `sources` finds the value of each setting there, and
//! `settings` reads it into its type and collects everything that is wrong.

mod settings;
mod inputs;
mod sources;
mod proxies;
mod credentials;
mod upstream;
mod cache;
mod redis;
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
mod reload;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::LazyLock;

use credentials::CredentialsSettings;
use settings::{Role, SERVE_AND_DEMO, SettingSpec, SettingsLoader, listen_address, settings};
use upstream::{DefaultTarget, ProjectSettings};

pub use audit::{AuditConfig, AuditSink};
pub(crate) use cache::CacheBudget;
pub use cache::{CacheConfig, SharedCacheConfig};
pub use command_line::{Invocation, UsageError};
pub use credentials::{
    AccessKey, CredentialsMode, IamLogin, LoginTarget, MetadataService, ProjectScope,
};
pub use graphql::GraphqlConfig;
pub use inbound::{GrantClaims, InboundAuth, InboundConfig, JwksSource, JwtConfig};
pub use inputs::{Environment, FileStates};
pub(crate) use inputs::{LARGEST_FILE, read_bounded};
pub use limits::{LimitsConfig, Rate};
pub use log::{LogConfig, LogFormat};
pub use proxies::Proxies;
pub use redis::{RedisKind, RedisNode, RedisServers};
pub use reload::Live;
pub use settings::{Loaded, SettingsError, ShownSetting};
pub use simulate::{SimulateArgs, SimulatedKey, SimulatedRegion, SimulatedUser};
pub use subscriptions::SubscriptionsConfig;
pub use tls::{TlsConfig, certificates_of};
pub use traces::TracesConfig;
pub use upstream::{BreakerConfig, ProjectConfig, Target, UpstreamConfig};

settings! {
    /// All settings of the gateway, checked.
    #[derive(Clone, Debug)]
    pub struct Config in "" for SERVE_AND_DEMO {
        /// address of the GraphQL listener; port 0 picks a free one, and the address is printed
        pub listen: SocketAddr = listen_address().default("127.0.0.1:8080").needs_restart(),
        /// address of health, metrics and purge
        pub admin_listen: SocketAddr = listen_address().default("127.0.0.1:8081").needs_restart(),
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
static ALL_SETTINGS: LazyLock<Vec<SettingSpec>> = LazyLock::new(|| {
    let sections = [
        Config::specs(),
        DefaultTarget::specs(),
        CredentialsSettings::specs(),
        UpstreamConfig::specs(),
        BreakerConfig::specs(),
        CacheConfig::specs(),
        SharedCacheConfig::specs(),
        IamLogin::specs(),
        InboundConfig::specs(),
        JwtConfig::specs(),
        GrantClaims::specs(),
        AuditConfig::specs(),
        TlsConfig::specs(),
        LimitsConfig::specs(),
        SubscriptionsConfig::specs(),
        GraphqlConfig::specs(),
        LogConfig::specs(),
        SimulateArgs::specs(),
        ProjectSettings::specs(),
    ];
    sections.into_iter().flatten().collect()
});

impl Config {
    fn load(loader: &mut SettingsLoader<'_>) -> Self {
        let upstream = UpstreamConfig::load(loader);
        let listeners = Self::read(loader);
        let projects = upstream.projects.len();
        let config = Self {
            upstream,
            cache: CacheConfig::load(loader),
            inbound: InboundConfig::load(loader),
            audit: AuditConfig::load(loader),
            tls: TlsConfig::load(loader),
            limits: LimitsConfig { projects, ..LimitsConfig::load(loader) },
            graphql: GraphqlConfig::load(loader),
            subscriptions: SubscriptionsConfig::read(loader),
            log: LogConfig::read(loader),
            traces: TracesConfig::load(loader),
            ..listeners
        };
        config.refuse_one_port_for_both(loader);
        config.refuse_open_listeners(loader);
        config.named_files().for_each(|file| loader.files.note(file));
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
        if listen.port() == admin.port() && listen.port() != 0 && overlap {
            let problem = format!("must be another port than that of listen, which is {listen}");
            loader.refuse(&[&Self::admin_listen(), &Self::listen()], problem);
        }
    }

    /// Refuses the demo on other addresses than this machine's. Refuses a listener where everybody who can connect
    /// would act with the gateway's own credentials.
    fn refuse_open_listeners(&self, loader: &mut SettingsLoader<'_>) {
        if loader.inputs.role == Role::Demo {
            let problem = "must be a loopback address, such as 127.0.0.1:8080: the demo is for this \
                           machine alone";
            for (setting, address) in
                [(Self::listen(), self.listen), (Self::admin_listen(), self.admin_listen)]
            {
                if !is_loopback(address) {
                    loader.refuse(&[&setting], problem);
                }
            }
        }
        let credentials = CredentialsSettings::credentials();
        let kind = loader.read(&credentials);
        let is_open = !self.inbound.asks_who() && !self.inbound.allow_anonymous;
        if kind.are_the_gateways() && is_open && !is_loopback(self.listen) {
            let problem = format!(
                "under upstream.credentials={} anybody who can connect would use the gateway's own \
                 credentials: must be a loopback address, such as 127.0.0.1:8080, unless \
                 inbound.auth (GATEWAY_INBOUND__AUTH) is api-key or jwt, or inbound.allow_anonymous \
                 (GATEWAY_INBOUND__ALLOW_ANONYMOUS) is true",
                kind.word()
            );
            let (auth, anonymous) = (InboundConfig::auth(), InboundConfig::allow_anonymous());
            loader.refuse(&[&Self::listen(), &credentials, &auth, &anonymous], problem);
        }
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
