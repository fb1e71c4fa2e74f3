//! The settings: one struct per section, each with its defaults.
//!
//! Only this area reads flags, the environment and the settings file. Everything else is handed
//! the section it needs. Each section declares its settings as rows of one table (`setting`), in
//! the forms of `form`; `source` finds what flag, environment or file give for a row, `values`
//! turns that into types and gathers every refusal.

mod upstream;
mod cache;
mod redis;
mod iam;
mod inbound;
mod tls;
mod limits;
mod graphql;
mod subscriptions;
mod log;
mod traces;
mod simulate;
mod credentials;
mod setting;
mod form;
mod secret_file;
mod values;
mod source;
mod file;
mod surroundings;
mod flags;
mod packaging;
mod invocation;
mod live;
mod files;
mod reread;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};

use url::Url;

use form::Address;
use inbound::AUTH_ROWS;
use setting::{Row, Setting};
use upstream::CredentialsKind;
use values::Values;

pub use cache::{CacheConfig, SharedCacheConfig};
pub use files::Files;
pub use graphql::GraphqlConfig;
pub use iam::{IamLogin, ProjectScope};
pub use inbound::{InboundAuth, InboundConfig, JwksSource, JwtConfig};
pub use invocation::{Invocation, Usage};
pub use limits::{LimitsConfig, Rate};
pub use live::Live;
pub use log::{LogConfig, LogFormat};
pub use redis::{RedisKind, RedisNode, RedisServers};
pub use reread::{Reread, Running, SettingsSource};
pub use simulate::SimulateArgs;
pub use source::Origin;
pub use subscriptions::SubscriptionsConfig;
pub use surroundings::Surroundings;
pub(crate) use surroundings::{LARGEST_FILE, read_bounded};
pub use tls::{TlsConfig, ca_certificates_of};
pub use traces::{OtlpForm, TracesConfig, TracesSampler};
pub use upstream::{AccessKey, BreakerConfig, CredentialsMode, MetadataService, UpstreamConfig};
pub use values::{Loaded, Refusal, ShownSetting};

static LISTEN: Setting<Address> = Setting::new(
    "listen",
    Address,
    "address of the GraphQL listener; port 0 picks a free one, and the address is printed",
)
.or("127.0.0.1:8080");
static ADMIN_LISTEN: Setting<Address> =
    Setting::new("admin_listen", Address, "address of health, metrics and purge")
        .or("127.0.0.1:8081");

/// The settings without section.
static ROWS: &[&dyn Row] = &[&LISTEN, &ADMIN_LISTEN];

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
    /// `tls.*`: the GraphQL listener's; `None` for HTTP without TLS.
    pub tls: Option<TlsConfig>,
    /// `limits.*`
    pub limits: LimitsConfig,
    /// `graphql.*`
    pub graphql: GraphqlConfig,
    /// `subscriptions.*`
    pub subscriptions: SubscriptionsConfig,
    /// `log`, `log_format`
    pub log: LogConfig,
    /// OpenTelemetry's own variables; `None` where traces are off.
    pub traces: Option<TracesConfig>,
}

/// The settings of the demo, whose upstream has no address before it runs.
#[derive(Clone, Debug)]
pub struct DemoConfig(Config);

impl DemoConfig {
    /// The gateway's settings, once the simulated upstream listens at `endpoint`.
    pub fn against(mut self, endpoint: Url) -> Config {
        self.0.upstream.endpoint = endpoint;
        self.0
    }

    /// `log`, `log_format`
    pub fn log(&self) -> &LogConfig {
        &self.0.log
    }

    fn read(values: &mut Values<'_>) -> Self {
        let credentials = CredentialsKind::Passthrough;
        let upstream = UpstreamConfig::read_limits(values, upstream::nowhere());
        let config = Config::around(upstream, credentials, values);
        for (setting, address) in [(&LISTEN, config.listen), (&ADMIN_LISTEN, config.admin_listen)] {
            if values.are_sound(&[setting]) && !is_loopback(address) {
                let problem = "must be a loopback address, such as 127.0.0.1:8080: the demo is for \
                               this machine alone";
                values.refuse(setting, problem);
            }
        }
        Self(config)
    }
}

impl Config {
    fn read(values: &mut Values<'_>) -> Self {
        let credentials = CredentialsKind::read(values);
        let upstream = UpstreamConfig::read(values, credentials);
        let config = Self::around(upstream, credentials, values);
        config.refuse_open_proxy(values, credentials);
        config
    }

    fn around(
        upstream: UpstreamConfig,
        credentials: CredentialsKind,
        values: &mut Values<'_>,
    ) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Self {
            listen: values.read_or(&LISTEN, any),
            admin_listen: values.read_or(&ADMIN_LISTEN, any),
            upstream,
            cache: CacheConfig::read(values, credentials),
            inbound: InboundConfig::read(values),
            tls: TlsConfig::read(values),
            limits: LimitsConfig::read(values),
            graphql: GraphqlConfig::read(values, credentials),
            subscriptions: SubscriptionsConfig::read(values),
            log: LogConfig::read(values),
            traces: TracesConfig::read(values),
        };
        config.refuse_one_port_for_both(values);
        config
    }

    /// Whether a caller needs nothing but to be on this machine: calls are made with the gateway's own
    /// credentials, for everybody who can connect.
    pub fn trusts_this_machine(&self) -> bool {
        let are_own = !matches!(self.upstream.credentials, CredentialsMode::Passthrough);
        let is_anybody = !self.inbound.allow_anonymous && !self.inbound.asks_who();
        are_own && is_anybody && is_loopback(self.listen)
    }

    /// Whether the admin listener is for programs of this machine.
    pub fn admin_is_on_loopback(&self) -> bool {
        is_loopback(self.admin_listen)
    }

    fn refuse_one_port_for_both(&self, values: &mut Values<'_>) {
        let (listen, admin) = (self.listen, self.admin_listen);
        let are_equal = listen.ip().to_canonical() == admin.ip().to_canonical();
        let overlap = are_equal || listen.ip().is_unspecified() || admin.ip().is_unspecified();
        let is_one_port = listen.port() == admin.port() && listen.port() != 0;
        if is_one_port && overlap && values.are_sound(&[&LISTEN, &ADMIN_LISTEN]) {
            let problem = format!("must be another port than that of listen, which is {listen}");
            values.refuse(&ADMIN_LISTEN, &problem);
        }
    }

    /// Whoever can connect would act with the gateway's own credentials.
    fn refuse_open_proxy(&self, values: &mut Values<'_>, credentials: CredentialsKind) {
        let is_open = credentials.are_the_gateways()
            && !is_loopback(self.listen)
            && !self.inbound.allow_anonymous
            && !self.inbound.asks_who();
        if is_open && values.are_sound(&[&LISTEN]) && values.are_sound(AUTH_ROWS) {
            let problem = format!(
                "under upstream.credentials={} anybody who can connect would use the gateway's own \
                 credentials: must be a loopback address, such as 127.0.0.1:8080, {}",
                credentials.word(),
                InboundConfig::remedies()
            );
            values.refuse(&LISTEN, &problem);
        }
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
