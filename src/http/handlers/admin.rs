//! The admin listener: health, metrics and purging.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::TimeoutLayer;

use crate::domain::{ProjectId, RecordId};
use crate::http::auth::Authenticator;
use crate::http::metrics::negotiated;
use crate::http::request;
use crate::records::{Purge, Records};

/// The largest body of a purge, in bytes.
const LARGEST_PURGE: usize = 4096;
const PURGE_ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// What the listener answers.
const PATHS: &str = "there are GET /livez, GET /readyz, GET /metrics and POST /purge";

/// The reasons not to be ready, by their names in the metrics, with the current problem if there is one.
pub type Reasons = [(&'static str, Option<String>)];

/// Renders the metrics page.
pub type RenderMetrics = dyn Fn(&Reasons) -> Option<String> + Send + Sync;

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// Cancelled once the process has been asked to stop.
    pub stopping: CancellationToken,
    /// Tells whether the settings can work.
    pub records: Records,
    /// Tells whether callers can be authenticated.
    pub callers: Authenticator,
    /// Renders the metrics page as OpenMetrics text, with these reasons not to be ready.
    pub metrics: Arc<RenderMetrics>,
}

/// The routes of the admin listener.
pub fn admin_router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics_page))
        .route("/purge", post(purge))
        .layer(DefaultBodyLimit::max(LARGEST_PURGE))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, PURGE_ARRIVES_WITHIN))
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, PATHS) })
        .method_not_allowed_fallback(|| async { refusal(StatusCode::METHOD_NOT_ALLOWED, PATHS) })
        .with_state(admin)
}

/// Which cached data to drop.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PurgeRequest {
    project_id: Option<String>,
    id: Option<String>,
    all: Option<bool>,
}

/// A page of another site cannot send `application/json` without a CORS preflight, which is never granted here.
async fn purge(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if let Err(refused) = request::check_content_type(&headers) {
        return refusal(refused.status(), refused.message());
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return refusal(rejection.status(), &rejection.body_text()),
    };
    let read = serde_json::from_slice(&body).map_err(|error| error.to_string());
    match read.and_then(PurgeRequest::scope) {
        Ok(purge) => {
            let is_everywhere = admin.records.purge(&purge).await;
            let status = if is_everywhere { StatusCode::OK } else { StatusCode::ACCEPTED };
            let answer = json!({ "purged": purge.scope(), "cacheTags": purge.cache_tags() });
            (status, Json(answer)).into_response()
        }
        Err(problem) => refusal(StatusCode::BAD_REQUEST, &problem),
    }
}

impl PurgeRequest {
    fn scope(self) -> Result<Purge, String> {
        let project = |text: &str| ProjectId::parse(text).map_err(|failure| failure.to_string());
        let record = |text: &str| RecordId::parse(text).map_err(|failure| failure.to_string());
        match self {
            Self { project_id: Some(of), id: Some(id), all: None | Some(false) } => {
                Ok(Purge::Record(project(&of)?, record(&id)?))
            }
            Self { project_id: Some(of), id: None, all: None | Some(false) } => {
                Ok(Purge::Project(project(&of)?))
            }
            Self { project_id: None, id: None, all: Some(true) } => Ok(Purge::All),
            _ => Err("give projectId and id, or projectId, or all: true".to_owned()),
        }
    }
}

fn refusal(status: StatusCode, problem: &str) -> Response {
    (status, Json(json!({ "error": problem }))).into_response()
}

impl Admin {
    /// `/readyz` answers with the first problem.
    fn reasons(&self) -> [(&'static str, Option<String>); 3] {
        let draining = self.stopping.is_cancelled().then(|| "draining".to_owned());
        [
            ("draining", draining),
            ("upstream_credentials", self.records.upstream.trouble()),
            ("caller_keys", self.callers.trouble().map(str::to_owned)),
        ]
    }
}

async fn readiness(State(admin): State<Admin>) -> Response {
    match admin.reasons().into_iter().find_map(|(_, wrong)| wrong) {
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")).into_response(),
        // Cached data is still served, so the gateway stays ready.
        None => match admin.records.partial_trouble().join("; ") {
            troubles if troubles.is_empty() => "ready\n".into_response(),
            troubles => format!("ready, but {troubles}\n").into_response(),
        },
    }
}

async fn metrics_page(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    admin.records.observe();
    match (admin.metrics)(&admin.reasons()) {
        Some(page) => {
            let (content_type, page) = negotiated(page, &headers);
            ([(header::CONTENT_TYPE, content_type), (header::VARY, "Accept")], page).into_response()
        }
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
