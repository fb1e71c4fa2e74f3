//! What the handlers share, and how it changes with the settings.

use std::sync::{Arc, Weak};

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::cors::CorsLayer;

use super::audit_log::AuditLog;
use super::auth::{Authenticator, Caller};
use super::connection_quota::ConnectionQuota;
use super::cors;
use super::metrics::HttpMetrics;
use super::persisted_queries::PersistedQueries;
use super::rate_limit::RateLimiter;
use super::refusal::Refusal;
use super::response_cache::ResponseCache;
use super::setting_file::FileError;
use crate::clock::Clock;
use crate::config::{CacheConfig, GraphqlConfig, LimitsConfig, Live, SubscriptionsConfig};
use crate::fair_semaphore::FairSemaphore;
use crate::graphql::Engine;
use crate::records::Records;
use crate::resizable_semaphore::ResizableSemaphore;

/// The parts of the main listener.
pub struct MainParts {
    /// The door to the records.
    pub records: Records,
    /// Who may call.
    pub callers: Authenticator,
    /// `cache.*`
    pub cache: CacheConfig,
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

/// What the pages start with.
#[derive(Clone, Debug, Default)]
pub struct PageDefaults {
    /// GraphiQL.
    pub graphiql: GraphiqlDefaults,
    /// The console.
    pub console: ConsoleDefaults,
}

/// What the console starts with. Only the demo fills it in.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleDefaults {
    /// The project that is shown.
    pub project_id: Option<String>,
    /// The demo's token, which is no secret.
    pub token: Option<String>,
}

/// What GraphiQL starts with.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GraphiqlDefaults {
    /// The query in the editor.
    pub query: Option<String>,
    /// The headers in the editor, as JSON text. Only the demo fills them in.
    pub headers: Option<String>,
}

/// The parts of the GraphQL endpoint. A request keeps those that it began with.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) engine: Engine,
    pub(crate) records: Records,
    pub(crate) callers: Authenticator,
    pub(crate) rates: RateLimiter,
    /// Limits sockets and event streams.
    pub(crate) connections: ConnectionQuota,
    pub(crate) limits: LimitsConfig,
    pub(crate) subscriptions: SubscriptionsConfig,
    pub(crate) graphql: GraphqlConfig,
    pub(crate) page_defaults: PageDefaults,
    pub(crate) in_flight: ResizableSemaphore,
    /// Permits for requests that wait for the upstream or for their body, shared fairly by callers.
    pub(crate) waiting: FairSemaphore,
    /// Bytes for responses that clients have not read yet.
    pub(crate) unsent: FairSemaphore,
    pub(crate) persisted_queries: PersistedQueries,
    pub(crate) responses: ResponseCache,
    pub(crate) cors: Option<CorsLayer>,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) metrics: HttpMetrics,
    pub(crate) audit: AuditLog,
    pub(crate) clock: Clock,
    /// Finds the endpoint of the current settings.
    pub(crate) current: EndpointHandle,
}

/// Finds the endpoint of the current settings, without owning it.
#[derive(Clone)]
pub(crate) struct EndpointHandle(Weak<Live<Endpoint>>);

impl EndpointHandle {
    pub(crate) fn get(&self) -> Option<Arc<Endpoint>> {
        Some(self.0.upgrade()?.get())
    }
}

impl Endpoint {
    /// The endpoint, to be replaced when settings change.
    ///
    /// # Errors
    /// When the trusted documents cannot be read.
    pub(crate) fn build(parts: MainParts) -> Result<Arc<Live<Self>>, FileError> {
        let MainParts { records, limits, graphql, metrics, clock, .. } = parts;
        let persisted_queries = PersistedQueries::load(&graphql)?;
        let endpoint = |current: &Weak<Live<Self>>| {
            Live::new(Self {
                engine: Engine::new(&graphql, &limits),
                records,
                callers: parts.callers,
                rates: RateLimiter::new(limits.rate, &clock),
                connections: ConnectionQuota::new(
                    limits.max_in_flight,
                    parts.subscriptions.max_connections_per_caller,
                ),
                in_flight: ResizableSemaphore::new(limits.max_in_flight),
                waiting: FairSemaphore::new(limits.max_in_flight),
                unsent: FairSemaphore::new(limits.max_unsent_bytes),
                persisted_queries,
                responses: ResponseCache::new(parts.cache.budget().responses),
                cors: cors::layer(&graphql.allow_origins),
                stopping: parts.stopping,
                tasks: parts.tasks,
                limits,
                subscriptions: parts.subscriptions,
                graphql,
                page_defaults: parts.page_defaults,
                metrics,
                audit: parts.audit,
                clock,
                current: EndpointHandle(Weak::clone(current)),
            })
        };
        Ok(Arc::new_cyclic(endpoint))
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
        let rates = if self.limits.rate == limits.rate {
            self.rates.clone()
        } else {
            RateLimiter::new(limits.rate, &self.clock)
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
            cors: cors::layer(&graphql.allow_origins),
            graphql: graphql.clone(),
            limits: limits.clone(),
            subscriptions: subscriptions.clone(),
            ..self.clone()
        })
    }

    /// Resizes the permits, which all endpoints share, to these settings.
    pub(crate) fn resize_permits(&self) {
        self.in_flight.resize(self.limits.max_in_flight, &self.tasks);
        self.waiting.resize(self.limits.max_in_flight);
        self.unsent.resize(self.limits.max_unsent_bytes);
        self.connections.resize(&self.tasks);
    }

    /// Updates the gauges of readiness, caches, limits and streams.
    pub(crate) fn observe(&self, reasons: &[(&'static str, Option<String>)]) {
        self.metrics.readiness(reasons);
        let (documents, document_bytes) = self.engine.documents();
        self.metrics.documents.set(documents);
        self.metrics.document_bytes.set(document_bytes);
        self.records.metrics.set_size("answers", self.responses.size());
        self.metrics.in_flight_limit.set(self.limits.max_in_flight as u64);
        self.metrics.streams.set(self.connections.open() as u64);
    }

    /// Counts operations against the caller's rate.
    ///
    /// # Errors
    /// When the caller exceeds the rate limit.
    pub(crate) fn take_rate(&self, caller: &Caller, operations: usize) -> Result<(), Refusal> {
        self.rates.take(|| caller.identity.limit_key(), operations)
    }
}
