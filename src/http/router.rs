//! The routes of the main listener and the layers around them.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::handlers;
use super::refusal::Refusal;
use super::security_headers;
use super::server::RequestBody;
use super::server::Serve;
use super::setting_file::FileError;
use super::state::{Endpoint, MainParts};
use crate::config::{GraphqlConfig, LimitsConfig, Live, SubscriptionsConfig};
use crate::graphql::ErrorCode;

const GRAPHQL: &str = "/graphql";
/// How long a browser may remember what CORS allows.
const CORS_MAX_AGE: Duration = Duration::from_mins(10);

/// What the main listener serves: the GraphQL endpoint directly, without layers and routes, and everything
/// else by axum's router. Clones share it.
#[derive(Clone)]
pub struct Main {
    endpoint: Arc<Live<Endpoint>>,
    router: Live<Router>,
}

/// The endpoint and the routes under other settings.
pub struct MainChange(Endpoint);

/// What the main listener serves.
///
/// # Errors
/// When the trusted documents cannot be read.
pub fn main_router(parts: MainParts) -> Result<Main, FileError> {
    let endpoint = Endpoint::build(parts)?;
    let router = Live::new(router(endpoint.get()));
    Ok(Main { endpoint, router })
}

impl Main {
    /// Updates the gauges of caches, limits and streams.
    pub fn observe(&self) {
        self.endpoint.load().observe();
    }

    /// All routes, without a listener.
    pub fn into_router(self) -> Router {
        Router::clone(&self.router.load())
    }

    /// Prepares other settings.
    ///
    /// # Errors
    /// When the trusted documents cannot be read.
    pub fn prepare(
        &self,
        limits: &LimitsConfig,
        subscriptions: &SubscriptionsConfig,
        graphql: &GraphqlConfig,
    ) -> Result<MainChange, FileError> {
        self.endpoint.get().changed(limits, subscriptions, graphql).map(MainChange)
    }

    /// Serves new requests under other settings.
    pub fn change(&self, MainChange(endpoint): MainChange) {
        endpoint.resize_permits();
        self.endpoint.set(endpoint);
        self.router.set(router(self.endpoint.get()));
    }
}

impl Serve for Main {
    async fn serve(&self, peer: SocketAddr, request: Request<RequestBody>) -> Response {
        if request.uri().path() == GRAPHQL {
            let endpoint = self.endpoint.get();
            // Only CORS needs a layer around the endpoint.
            if endpoint.allow_origins.is_empty() {
                return handlers::handle(endpoint, Some(peer.ip()), request).await;
            }
        }
        let router = self.router.get();
        Box::pin(async move { Serve::serve(&*router, peer, request).await }).await
    }
}

fn router(endpoint: Arc<Endpoint>) -> Router {
    let allow_origins = endpoint.allow_origins.clone();
    let mut router = Router::new();
    if endpoint.serves_graphiql {
        router = router.route("/graphql/assets/{file}", get(asset));
    }
    if endpoint.serves_console {
        router = router.route("/", get(handlers::console_page)).route("/assets/{file}", get(asset));
    }
    let router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        // Outside of the panic's answer, so that it carries the headers too.
        .layer(middleware::from_fn(secured))
        // Below the layers: the endpoint sees to both itself, for less.
        .route(GRAPHQL, any(handlers::route))
        .with_state(endpoint);
    match allow_origins.as_slice() {
        [] => router,
        // Outermost: CORS preflight requests never reach the endpoint.
        origins => router.layer(cors(origins)),
    }
}

async fn asset(endpoint: State<Arc<Endpoint>>, uri: Uri, headers: HeaderMap) -> Response {
    match handlers::static_file(endpoint, uri, headers).await {
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
