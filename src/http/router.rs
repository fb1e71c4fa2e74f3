//! The routes of the main listener and the layers around them.

use std::any::Any;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::catch_panic::CatchPanicLayer;

use super::handlers::{self, admin::Reasons};
use super::refusal::Refusal;
use super::request::IncomingBody;
use super::security_headers;
use super::server::Serve;
use super::setting_file::FileError;
use super::state::{Endpoint, MainParts};
use crate::config::{GraphqlConfig, LimitsConfig, Live, SubscriptionsConfig};
use crate::domain::ErrorCode;

const GRAPHQL: &str = "/graphql";

/// What the main listener serves: the GraphQL endpoint, and everything else by axum's router. Clones share it.
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
    /// Updates the gauges of readiness, caches, limits and streams.
    pub fn observe(&self, reasons: &Reasons) {
        self.endpoint.load().observe(reasons);
    }

    /// Answers a request for the endpoint, without a listener.
    pub async fn answer(&self, request: Request<Body>) -> Response {
        answer(self.endpoint.get(), None, request).await
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
    async fn serve(&self, peer: SocketAddr, request: Request<Incoming>) -> Response {
        if request.uri().path() == GRAPHQL {
            return answer(self.endpoint.get(), Some(peer.ip()), request).await;
        }
        let router = self.router.get();
        Box::pin(async move { Serve::serve(&*router, peer, request).await }).await
    }
}

async fn answer<B: IncomingBody>(
    endpoint: Arc<Endpoint>,
    peer: Option<IpAddr>,
    request: Request<B>,
) -> Response {
    let Some(cors) = endpoint.cors.clone() else {
        return handlers::handle(endpoint, peer, request).await;
    };
    let handle =
        |request| handlers::handle(Arc::clone(&endpoint), peer, request).map(Ok::<_, Infallible>);
    let answer = cors.layer(service_fn(handle)).oneshot(request).await;
    answer.unwrap_or_else(|never| match never {})
}

fn router(endpoint: Arc<Endpoint>) -> Router {
    let cors = endpoint.cors.clone();
    let mut router = Router::new();
    if endpoint.graphql.graphiql {
        router = router.route("/graphql/assets/{file}", get(asset));
    }
    if endpoint.graphql.console {
        router = router.route("/", get(handlers::console_page)).route("/assets/{file}", get(asset));
    }
    let router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        // Outside of the panic's answer, so that it carries the headers too.
        .layer(middleware::from_fn(secured))
        .with_state(endpoint);
    match cors {
        None => router,
        Some(cors) => router.layer(cors),
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
