//! The routes of the main listener and the layers around them.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::auth::Authenticator;
use super::compression;
use super::connection_quota::{ConnectionQuota, QuotaLimits};
use super::documents::{Documents, ManifestError};
use super::endpoint::{self, Endpoint};
use super::graphiql::{self, GraphiqlDefaults};
use super::metrics::HttpMetrics;
use super::rate_limit::RateLimiter;
use super::refusal::Refusal;
use super::response_cache::ResponseCache;
use super::security_headers;
use super::server::RequestBody;
use super::server::Serve;
use crate::clock::Clock;
use crate::config::{CacheConfig, GraphqlConfig, LimitsConfig, Live, SubscriptionsConfig};
use crate::fair_semaphore::FairSemaphore;
use crate::graphql::{Engine, ErrorCode};
use crate::records::Records;
use crate::resizable_semaphore::ResizableSemaphore;

const GRAPHQL: &str = "/graphql";
/// How long a browser may remember what CORS allows.
const CORS_MAX_AGE: Duration = Duration::from_mins(10);

/// What the main listener is made of.
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
    /// What GraphiQL starts with.
    pub graphiql_defaults: GraphiqlDefaults,
    /// Where requests are counted.
    pub metrics: HttpMetrics,
    /// The source of time.
    pub clock: Clock,
    /// Cancelled when the process is asked to stop: sockets and event streams end then.
    pub stopping: CancellationToken,
    /// The tasks of the process, which its end waits for.
    pub tasks: TaskTracker,
}

/// What the main listener serves: the GraphQL endpoint by itself, so that its requests, which nearly all
/// are, meet no layer and no route; everything else by axum's router. Clones share it.
#[derive(Clone)]
pub struct Main(Arc<Inner>);

struct Inner {
    current: Live<Served>,
    graphiql_defaults: GraphiqlDefaults,
}

/// What serves requests that come now. One that is under way stays with what it began with.
struct Served {
    endpoint: Arc<Endpoint>,
    router: Router,
}

/// Finds what serves requests that come now, without keeping it.
#[derive(Clone)]
pub(crate) struct Newest(Weak<Inner>);

/// What serves requests under other settings, ready to be used.
pub struct MainChange(Served);

impl Newest {
    pub(crate) fn endpoint(&self) -> Option<Arc<Endpoint>> {
        Some(Arc::clone(&self.0.upgrade()?.current.load().endpoint))
    }
}

impl Main {
    /// Brings the gauges of what is known, and of sockets and streams, up to date.
    pub fn observe(&self) {
        let current = self.0.current.load();
        let Endpoint { metrics, engine, connections, limits, .. } = &*current.endpoint;
        metrics.documents(engine.documents());
        current.endpoint.records.metrics().set_size("answers", current.endpoint.responses.size());
        metrics.limit(limits.max_in_flight);
        metrics.streams(connections.open());
    }

    /// Frees the memory of expired responses now and then, until the process stops.
    fn evict_expired_regularly(&self) {
        let (main, endpoint) =
            (Arc::downgrade(&self.0), Arc::clone(&self.0.current.load().endpoint));
        let evicting = async move {
            let mut evictions = interval(EVICT_EVERY);
            loop {
                evictions.tick().await;
                let Some(main) = main.upgrade() else { return };
                main.current.load().endpoint.responses.evict_expired();
            }
        };
        endpoint.tasks.spawn(endpoint.stopping.clone().run_until_cancelled_owned(evicting));
    }

    /// Everything by routes, for callers that have no listener.
    pub fn into_router(self) -> Router {
        self.0.current.load().router.clone()
    }

    /// Gets everything ready for other settings.
    ///
    /// # Errors
    /// When the trusted documents cannot be read.
    pub fn prepare(
        &self,
        limits: &LimitsConfig,
        subscriptions: &SubscriptionsConfig,
        graphql: &GraphqlConfig,
    ) -> Result<MainChange, ManifestError> {
        let old = Arc::clone(&self.0.current.load().endpoint);
        let rates = if old.limits.rate == limits.rate {
            old.rates.clone()
        } else {
            RateLimiter::new(limits.rate, &old.clock)
        };
        let page = graphql.graphiql.then(|| self.0.graphiql_defaults.clone());
        let endpoint = Endpoint {
            engine: old.engine.changed(graphql, limits),
            rates,
            connections: old.connections.with_limits(quota_limits(limits, subscriptions)),
            documents: old.documents.reload(graphql)?,
            // Limits and trusted documents decide what may be answered.
            responses: old.responses.emptied(),
            compression: graphql.compression,
            allow_origins: graphql.allow_origins.clone(),
            limits: limits.clone(),
            subscriptions: subscriptions.clone(),
            graphiql: page,
            ..Endpoint::clone(&old)
        };
        Ok(MainChange(Served::new(endpoint)))
    }

    /// Serves requests that come from now on under other settings.
    pub fn change(&self, MainChange(served): MainChange) {
        let Endpoint { in_flight, waiting, unsent, connections, limits, tasks, .. } =
            &*served.endpoint;
        in_flight.resize(limits.max_in_flight, tasks);
        waiting.resize(limits.max_in_flight);
        unsent.resize(limits.max_unsent_bytes);
        connections.resize(tasks);
        self.0.current.set(served);
    }
}

impl Serve for Main {
    async fn serve(&self, peer: SocketAddr, request: Request<RequestBody>) -> Response {
        let endpoint = {
            let served = self.0.current.load();
            let is_direct = served.endpoint.is_direct() && request.uri().path() == GRAPHQL;
            is_direct.then(|| Arc::clone(&served.endpoint))
        };
        if let Some(endpoint) = endpoint {
            return endpoint::handle(endpoint, Some(peer.ip()), request).await;
        }
        let router = self.0.current.load().router.clone();
        Box::pin(async move { Serve::serve(&router, peer, request).await }).await
    }
}

/// How often expired responses are evicted.
const EVICT_EVERY: Duration = Duration::from_secs(30);

/// What the main listener serves.
///
/// # Errors
/// When the trusted documents cannot be read.
pub fn main_router(parts: MainParts) -> Result<Main, ManifestError> {
    let documents = Documents::load(&parts.graphql)?;
    let MainParts { records, limits, graphql, graphiql_defaults, metrics, clock, .. } = parts;
    let rates = RateLimiter::new(limits.rate, &clock);
    let inner = |main: &Weak<Inner>| {
        let endpoint = Endpoint {
            engine: Engine::new(&graphql, &limits),
            records,
            callers: parts.callers,
            rates,
            connections: ConnectionQuota::new(quota_limits(&limits, &parts.subscriptions)),
            in_flight: ResizableSemaphore::new(limits.max_in_flight),
            waiting: FairSemaphore::new(limits.max_in_flight),
            unsent: FairSemaphore::new(limits.max_unsent_bytes),
            documents,
            responses: ResponseCache::new(parts.cache.budget().responses, clock.clone()),
            compression: graphql.compression,
            allow_origins: graphql.allow_origins.clone(),
            stopping: parts.stopping,
            tasks: parts.tasks,
            limits,
            subscriptions: parts.subscriptions,
            graphiql: graphql.graphiql.then(|| graphiql_defaults.clone()),
            metrics,
            clock,
            newest: Newest(Weak::clone(main)),
        };
        Inner { current: Live::new(Served::new(endpoint)), graphiql_defaults }
    };
    let main = Main(Arc::new_cyclic(inner));
    main.evict_expired_regularly();
    Ok(main)
}

impl Served {
    fn new(endpoint: Endpoint) -> Self {
        let endpoint = Arc::new(endpoint);
        let mut router = Router::new();
        if endpoint.graphiql.is_some() {
            router = router.route("/graphql/assets/{file}", get(asset));
        }
        let router = router
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(CatchPanicLayer::custom(panicked))
            // Outside of the panic's answer, so that it carries the headers too.
            .layer(middleware::from_fn(secured))
            // Below the layers: the endpoint sees to both itself, for less.
            .route(GRAPHQL, any(endpoint::route))
            .with_state(Arc::clone(&endpoint));
        let router = match endpoint.allow_origins.as_slice() {
            [] => router,
            // Outermost: a browser's preliminary question never reaches the endpoint.
            origins => router.layer(cors(origins)),
        };
        Self { endpoint, router }
    }
}

fn quota_limits(limits: &LimitsConfig, subscriptions: &SubscriptionsConfig) -> QuotaLimits {
    QuotaLimits {
        total: limits.max_in_flight,
        per_caller: subscriptions.max_connections_per_caller,
    }
}

async fn asset(
    State(endpoint): State<Arc<Endpoint>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Response {
    let coding = endpoint.compression.then(|| compression::accepted(&headers)).flatten();
    match graphiql::file(&file, &headers, coding, &endpoint.tasks).await {
        Some(response) => response,
        None => not_found().await,
    }
}

async fn not_found() -> Response {
    let message = "there is nothing here: the GraphQL endpoint is /graphql";
    Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BadRequest, message).into_response()
}

/// axum adds `Allow`.
async fn method_not_allowed() -> Response {
    let message = "this file is only read: GET and HEAD are allowed";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::BadRequest, message).into_response()
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Refusal::panicked().into_response()
}

async fn secured(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    security_headers::secure(response.headers_mut());
    response
}

fn cors(origins: &[String]) -> CorsLayer {
    let listed = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let allowed = match origins {
        [every] if every == "*" => AllowOrigin::any(),
        _ => AllowOrigin::list(listed),
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        // Answers never depend on a cookie, so a listed page may send what its libraries add.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::AGE,
            header::ETAG,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
            HeaderName::from_static("cache-status"),
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(CORS_MAX_AGE)
}
