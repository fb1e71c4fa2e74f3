//! The routes of the main listener and the layers around them.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::browsers;
use super::callers::Callers;
use super::documents::{Documents, ManifestError};
use super::endpoint::{self, Endpoint};
use super::graphiql::{self, GraphiqlDefaults};
use super::listener::Serve;
use super::metrics::HttpMetrics;
use super::places::Places;
use super::rate::Rates;
use super::refusal::Refusal;
use crate::clock::Clock;
use crate::config::{GraphqlConfig, LimitsConfig, SubscriptionsConfig};
use crate::graphql::{Engine, ErrorCode};
use crate::records::Records;
use crate::trace::Tracer;

const GRAPHQL: &str = "/graphql";
/// How long a browser may remember what CORS allows.
const CORS_MAX_AGE: std::time::Duration = std::time::Duration::from_mins(10);

/// What the main listener is made of.
pub struct MainParts {
    /// The door to the records.
    pub records: Records,
    /// Who may call.
    pub callers: Callers,
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
    /// Begins traces of requests.
    pub tracer: Tracer,
    /// The source of time.
    pub clock: Clock,
    /// Cancelled when the process is asked to stop: sockets and event streams end then.
    pub stopping: CancellationToken,
    /// The tasks of the process, which its end waits for.
    pub tasks: TaskTracker,
}

/// What the main listener serves: the GraphQL endpoint by itself, so that its requests, which nearly all
/// are, meet no layer and no route; everything else by axum's router.
#[derive(Clone)]
pub struct Main {
    endpoint: Arc<Endpoint>,
    /// Whether requests for the endpoint need not pass the routes' layers.
    is_direct: bool,
    router: Router,
}

impl Main {
    /// Brings the gauges of the documents that are known, and of sockets and streams, up to date.
    pub fn observe(&self) {
        let Endpoint { metrics, engine, limits, long_lived, .. } = &*self.endpoint;
        metrics.documents(engine.documents());
        // As many places as there are for requests.
        metrics.streams(limits.max_in_flight.saturating_sub(long_lived.available_permits()));
    }

    /// Everything by routes, for callers that have no listener.
    pub fn into_router(self) -> Router {
        self.router
    }
}

impl Serve for Main {
    async fn serve(&self, peer: SocketAddr, request: Request<Incoming>) -> Response {
        if self.is_direct && request.uri().path() == GRAPHQL {
            let endpoint = Arc::clone(&self.endpoint);
            return endpoint::handle(endpoint, Some(peer.ip()), request.map(Body::new)).await;
        }
        Box::pin(Serve::serve(&self.router, peer, request)).await
    }
}

/// What the main listener serves.
///
/// # Errors
/// When the trusted documents cannot be read.
pub fn main_router(parts: MainParts) -> Result<Main, ManifestError> {
    let documents = Documents::load(&parts.graphql)?;
    documents.follow(&parts.tasks, parts.stopping.clone());
    let MainParts { records, limits, graphql, graphiql_defaults, metrics, clock, .. } = parts;
    let rates = Rates::new(limits.rate, &clock);
    rates.tidy(&parts.tasks, parts.stopping.clone());
    metrics.limit(limits.max_in_flight);
    let endpoint = Arc::new(Endpoint {
        engine: Engine::new(&graphql, &limits),
        records,
        callers: parts.callers,
        rates,
        places: Places::new(parts.subscriptions.max_connections_per_caller),
        in_flight: Arc::new(Semaphore::new(limits.max_in_flight)),
        // As many that last as requests.
        long_lived: Arc::new(Semaphore::new(limits.max_in_flight)),
        documents,
        allow_origins: graphql.allow_origins.clone(),
        stopping: parts.stopping,
        tasks: parts.tasks,
        limits,
        subscriptions: parts.subscriptions,
        graphiql: graphql.graphiql.then_some(graphiql_defaults),
        metrics,
        tracer: parts.tracer,
        clock,
    });
    let mut router = Router::new();
    if graphql.graphiql {
        router = router.route("/graphql/assets/{file}", get(asset));
    }
    let router = router
        .fallback(not_found)
        .layer(CatchPanicLayer::custom(panicked))
        // Outside of the panic's answer, so that it carries the headers too.
        .layer(middleware::from_fn(secured))
        // Below the layers: the endpoint sees to both itself, for less.
        .route(GRAPHQL, any(endpoint::route))
        .with_state(Arc::clone(&endpoint));
    if graphql.allow_origins.is_empty() {
        return Ok(Main { endpoint, is_direct: true, router });
    }
    // Outermost: a browser's preliminary question never reaches the endpoint.
    let router = router.layer(cors(&graphql.allow_origins));
    Ok(Main { endpoint, is_direct: false, router })
}

async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    match graphiql::file(&file, &headers) {
        Some(response) => response,
        None => not_found().await,
    }
}

async fn not_found() -> Response {
    let message = "there is nothing here: the GraphQL endpoint is /graphql";
    Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BadRequest, message).into_response()
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Refusal::panicked().into_response()
}

async fn secured(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    browsers::secure(response.headers_mut());
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
        .allow_headers([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static("x-auth-token"),
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("apollo-require-preflight"),
            HeaderName::from_static("x-apollo-operation-name"),
            HeaderName::from_static("graphql-preflight"),
        ])
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
