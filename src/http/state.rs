//! What the handlers share, and how it changes with the settings.

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::cors::CorsLayer;

use super::audit_log::AuditLog;
use super::auth::{Authenticator, Caller};
use super::connection_quota::ConnectionQuota;
use super::csrf::cors_layer;
use super::metrics::HttpMetrics;
use super::persisted_queries::PersistedQueries;
use super::rate_limit::RateLimiter;
use super::refusal::Refusal;
use super::response_cache::ResponseCache;
use super::setting_file::FileError;
use crate::clock::Clock;
use crate::config::{GraphqlConfig, LimitsConfig, SubscriptionsConfig};
use crate::fair_semaphore::{FairSemaphore, Permit};
use crate::graphql::Engine;
use crate::records::Records;
use crate::resizable_semaphore::ResizableSemaphore;

/// What the main listener is made of.
#[derive(Clone)]
pub struct MainParts {
    /// The door to the records.
    pub records: Records,
    /// Who may call.
    pub callers: Authenticator,
    /// Memory for cached responses, in bytes.
    pub response_bytes: u64,
    /// `limits.*`
    pub limits: LimitsConfig,
    /// `subscriptions.*`
    pub subscriptions: SubscriptionsConfig,
    /// `graphql.*`, `cors.*`
    pub graphql: GraphqlConfig,
    /// What the pages start with.
    pub page_defaults: PageDefaults,
    /// Where requests are counted.
    pub metrics: HttpMetrics,
    /// The audit log.
    pub audit: AuditLog,
    /// The source of time.
    pub clock: Clock,
    /// Cancelled when the process is asked to stop: sockets and event streams end then.
    pub stopping: CancellationToken,
    /// The tasks of the process, which its end waits for.
    pub tasks: TaskTracker,
}

/// What the pages start with. Only the demo fills it in.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageDefaults {
    /// The query in GraphiQL's editor.
    pub query: Option<String>,
    /// The headers in GraphiQL's editor, as JSON text.
    pub headers: Option<String>,
    /// The project that the console shows.
    pub project_id: Option<String>,
    /// The demo's token, which is no secret.
    pub token: Option<String>,
}

/// The GraphQL endpoint. A request keeps the one that it began with.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) parts: MainParts,
    pub(crate) engine: Engine,
    pub(crate) rates: RateLimiter,
    /// Limits sockets and event streams.
    pub(crate) connections: ConnectionQuota,
    pub(crate) in_flight: ResizableSemaphore,
    /// Permits for requests that wait for the upstream or for their body, shared fairly by callers.
    pub(crate) waiting: FairSemaphore,
    /// Bytes for responses that clients have not read yet.
    pub(crate) unsent: FairSemaphore,
    pub(crate) persisted_queries: PersistedQueries,
    pub(crate) responses: ResponseCache,
    pub(crate) cors: Option<CorsLayer>,
}

impl Endpoint {
    /// The endpoint under the first settings.
    ///
    /// # Errors
    /// When the trusted documents cannot be read.
    pub(crate) fn new(parts: MainParts) -> Result<Self, FileError> {
        let MainParts { limits, subscriptions, graphql, .. } = &parts;
        Ok(Self {
            engine: Engine::new(graphql, limits),
            rates: RateLimiter::new(limits.rate, &parts.clock),
            connections: ConnectionQuota::new(
                limits.max_in_flight,
                subscriptions.max_connections_per_caller,
            ),
            in_flight: ResizableSemaphore::new(limits.max_in_flight),
            waiting: FairSemaphore::new(limits.max_in_flight),
            unsent: FairSemaphore::new(limits.max_unsent_bytes),
            persisted_queries: PersistedQueries::load(graphql)?,
            responses: ResponseCache::new(parts.response_bytes),
            cors: cors_layer(&graphql.allow_origins),
            parts,
        })
    }

    /// The endpoint under other settings. Permits, rates and documents stay.
    ///
    /// # Errors
    /// When the trusted documents cannot be read.
    pub(crate) fn changed(
        &self,
        limits: &LimitsConfig,
        subscriptions: &SubscriptionsConfig,
        graphql: &GraphqlConfig,
    ) -> Result<Self, FileError> {
        let rates = if self.parts.limits.rate == limits.rate {
            self.rates.clone()
        } else {
            RateLimiter::new(limits.rate, &self.parts.clock)
        };
        Ok(Self {
            engine: self.engine.changed(graphql, limits),
            rates,
            connections: self
                .connections
                .with_limits(limits.max_in_flight, subscriptions.max_connections_per_caller),
            persisted_queries: self.persisted_queries.reload(graphql)?,
            // A response must not outlive the limits and the trusted documents that it was made under.
            responses: self.responses.emptied(),
            cors: cors_layer(&graphql.allow_origins),
            parts: MainParts {
                graphql: graphql.clone(),
                limits: limits.clone(),
                subscriptions: subscriptions.clone(),
                ..self.parts.clone()
            },
            ..self.clone()
        })
    }

    /// Resizes the permits, which all endpoints share, to these settings.
    pub(crate) fn resize_permits(&self) {
        let MainParts { limits, tasks, .. } = &self.parts;
        self.in_flight.resize(limits.max_in_flight, tasks);
        self.waiting.resize(limits.max_in_flight);
        self.unsent.resize(limits.max_unsent_bytes);
        self.connections.resize(tasks);
    }

    /// Counts operations against the caller's rate.
    ///
    /// # Errors
    /// When the caller exceeds the rate limit.
    pub(crate) fn take_rate(&self, caller: &Caller, operations: usize) -> Result<(), Refusal> {
        self.rates.take(|| caller.identity.limit_key(), operations)
    }

    /// Takes a permit that a request needs while it waits, for its body or for the upstream.
    ///
    /// # Errors
    /// When too many requests of the caller wait already.
    pub(crate) fn permit_to_wait(&self, caller: &Caller) -> Result<Permit, Refusal> {
        let permit = self.waiting.try_acquire(caller.identity.limit_key(), 1);
        permit.ok_or_else(Refusal::too_many_waiting)
    }
}
