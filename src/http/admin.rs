//! The admin listener: health and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::callers::Callers;
use crate::records::Records;

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// Set once the process has been asked to stop.
    pub draining: Arc<AtomicBool>,
    /// Asked whether the settings can work at all.
    pub records: Records,
    /// Asked whether anybody can be let in.
    pub callers: Callers,
    /// Renders the metrics page and its content type.
    pub metrics: Arc<dyn Fn() -> Option<(String, &'static str)> + Send + Sync>,
}

/// The routes of the admin listener.
pub fn admin_router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

async fn readiness(State(admin): State<Admin>) -> Response {
    if admin.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    match admin.records.trouble().or_else(|| admin.callers.trouble()) {
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")).into_response(),
        None => "ready\n".into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.records.observe();
    match (admin.metrics)() {
        Some((page, content_type)) => {
            ([(header::CONTENT_TYPE, content_type)], page).into_response()
        }
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
