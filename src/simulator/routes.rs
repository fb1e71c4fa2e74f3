//! Which request gets which answer.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::access::{Access, Denied, text};
use super::config::SimulatorConfig;
use super::faults::{self, Fault, Limiter, Reserved, json_response};
use super::operations;
use super::paging::{BadParameter, Parameters};
use super::records::{Record, Records, after};
use super::stats::Stats;
use super::{times, video};
use crate::clock::Clock;

/// The largest request body, as at the API gateway: 12 MB.
const LARGEST_BODY: usize = 12 * 1024 * 1024;
/// The window of a list without one, in seconds: 15 days.
const DEFAULT_WINDOW: i64 = 15 * 24 * 60 * 60;
/// Ids in one request for download addresses, and names in one filter.
const MOST_IDS: usize = 100;
const STATUSES: [&str; 6] =
    ["RECORDING", "REC_COMPLETED", "REC_FAILED", "UPLOADING", "UPLOAD_COMPLETED", "UPLOAD_FAILED"];
const TYPES: [&str; 5] = ["FULL", "INTERVAL", "OPERATION", "SESSION", "USER_OPERATION"];

/// Everything a request is answered from.
pub(super) struct SimulatedUpstream {
    records: Records,
    access: Access,
    reserved: Reserved,
    limiter: Limiter,
    stats: Stats,
    clock: Clock,
}

type Simulated = State<Arc<SimulatedUpstream>>;
type Answer = Result<Response, BadParameter>;

/// A recording's path.
type RecordPath = Path<(String, String)>;

/// The API behind its gateway, IAM, the metadata service of a cloud server, and the simulation's own pages.
pub(super) fn router(upstream: Arc<SimulatedUpstream>) -> Router {
    Router::new()
        .route("/v2/{project}/screen-records", get(list))
        .route("/v2/{project}/screen-records/batch-delete", post(batch_delete))
        .route("/v2/{project}/screen-records/download-address", post(download_addresses))
        .route(
            "/v2/{project}/screen-records/traffic-limit/configurations",
            get(traffic_limits).post(StatusCode::NO_CONTENT),
        )
        .route("/v2/{project}/screen-records/{id}", get(detail).put(update))
        .route("/v2/{project}/screen-records/{id}/os-operations", get(list_operations))
        .method_not_allowed_fallback(wrong_method)
        .route_layer(from_fn_with_state(Arc::clone(&upstream), check_access))
        .route("/v3/auth/tokens", post(login))
        .route("/meta-data/latest/api/token", put(metadata_session))
        .route("/openstack/latest/securitykey", get(security_key))
        .fallback(unknown_api)
        .layer(from_fn_with_state(Arc::clone(&upstream), disturb))
        .route("/__faults", get(async |State(upstream): Simulated| Json(upstream.reserved.json())))
        .route("/videos/{file}", get(show_video))
        .route("/__stats", get(async |State(upstream): Simulated| Json(upstream.stats.json())))
        .route("/__reset", post(reset))
        .layer(map_response(add_request_id))
        .layer(DefaultBodyLimit::disable())
        .with_state(upstream)
}

impl SimulatedUpstream {
    pub(super) fn new(config: SimulatorConfig, clock: Clock) -> serde_json::Result<Self> {
        Ok(Self {
            records: Records::new(config.seed, config.records, clock.timestamp()),
            reserved: Reserved::load()?,
            limiter: Limiter::new(config.faults, config.seed),
            stats: Stats::default(),
            access: Access::new(config),
            clock,
        })
    }

    /// A project and a recording that exist.
    pub(super) fn sample(&self) -> (&str, &str) {
        (self.access.config.projects.first().map_or("", String::as_str), self.records.sample())
    }

    fn now(&self) -> Timestamp {
        self.clock.timestamp()
    }
}

/// Counts and delays a request, and fails some.
async fn disturb(State(upstream): Simulated, request: Request, next: Next) -> Response {
    upstream.stats.count(request.method().as_str(), request.uri().path());
    let latency = upstream.access.config.latency;
    if !latency.is_zero() {
        sleep(latency).await;
    }
    match upstream.limiter.next(upstream.clock.now()) {
        None => next.run(request).await,
        Some(Fault::Cut) => json_response(StatusCode::OK, faults::cut()),
        Some(Fault::Status(status)) => failing(status),
    }
}

async fn check_access(State(upstream): Simulated, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY).await else {
        return gateway_error(StatusCode::PAYLOAD_TOO_LARGE, "APIGW.0201", "request too large");
    };
    if let Err(Denied { code, message }) = upstream.access.check(&parts, &body, upstream.now()) {
        return gateway_error(StatusCode::UNAUTHORIZED, code, &message);
    }
    let project = parts.uri.path().split('/').nth(2).unwrap_or_default();
    if !upstream.access.config.projects.iter().any(|known| known == project) {
        let body = json!({
            "error_code": "WKS.00081102",
            "error_msg": "no permission",
            "encoded_authorization_message": "c2ltdWxhdGVkIGRlbmlhbCwgbm90aGluZyB0byBkZWNvZGU",
        });
        return (StatusCode::FORBIDDEN, Json(body)).into_response();
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

async fn add_request_id(mut response: Response) -> Response {
    if let Ok(id) = HeaderValue::from_str(&request_id()) {
        response.headers_mut().entry("x-request-id").or_insert(id);
    }
    response
}

async fn reset(State(upstream): Simulated) -> Json<Value> {
    upstream.stats.reset();
    Json(json!({ "requests": 0 }))
}

async fn login(State(upstream): Simulated, body: Bytes) -> impl IntoResponse {
    let Access { config, iam, .. } = &upstream.access;
    let answer = iam.login(config, &body, upstream.now());
    ([("x-iam-trace-id", request_id())], answer)
}

async fn metadata_session(
    State(upstream): Simulated,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    let seconds = text(&headers, "x-metadata-token-ttl-seconds").unwrap_or_default();
    let session = upstream.access.metadata.session(seconds, upstream.now());
    session.ok_or(StatusCode::BAD_REQUEST)
}

async fn security_key(
    State(upstream): Simulated,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let session = text(&headers, "x-metadata-token").unwrap_or_default();
    let key = upstream.access.metadata.security_key(session, upstream.now());
    key.map(Json).ok_or(StatusCode::UNAUTHORIZED)
}

async fn detail(State(upstream): Simulated, Path((project, id)): RecordPath) -> Response {
    if let Some(answer) = upstream.reserved.answer(&id).await {
        return answer;
    }
    let now = upstream.now();
    match upstream.records.get(&id, now) {
        Some(record) => Json(record.json(&project, now)).into_response(),
        None => no_such_record(),
    }
}

async fn list(
    State(upstream): Simulated,
    Path(project): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    let now = upstream.now();
    let page = parameters.page()?;
    let descending = parameters.one_of("sort_type", &["asc", "desc"])? != Some("asc");
    parameters.one_of("sort_field", &["start_time"])?;
    let mut found = filtered(&upstream.records, &parameters, now)?;
    found.sort_by(|one, other| (one.start, &one.id).cmp(&(other.start, &other.id)));
    if descending {
        found.reverse();
    }
    let total = found.len();
    let rows: Vec<Value> = page.of(found).map(|record| record.json(&project, now)).collect();
    Ok(Json(json!({ "screen_records": rows, "total_count": total })).into_response())
}

async fn list_operations(
    State(upstream): Simulated,
    Path((project, id)): RecordPath,
    Query(parameters): Query<Parameters>,
) -> Answer {
    let now = upstream.now();
    let page = parameters.page()?;
    let kind = parameters.one_of("event_type", &["APP", "FILE", "REG", "HDP"])?;
    let level = parameters.one_of("event_level", &["INFO", "ALARM", "ERROR"])?;
    let (event, data) = (parameters.get("event_id"), parameters.get("event_data"));
    let Some(record) = upstream.records.get(&id, now) else { return Ok(no_such_record()) };
    let mut found = operations::of(&record, &project, now);
    found.retain(|operation| {
        let is =
            |name: &str, value: Option<&str>| value.is_none_or(|value| operation[name] == value);
        let text = operation["event_data"].as_str().unwrap_or_default();
        is("event_type", kind)
            && is("event_level", level)
            && is("event_id", event)
            && data.is_none_or(|data| text.contains(data))
    });
    let total = found.len();
    let rows: Vec<Value> = page.of(found).collect();
    Ok(Json(json!({ "operations": rows, "total_count": total })).into_response())
}

async fn download_addresses(State(upstream): Simulated, headers: HeaderMap, body: Bytes) -> Answer {
    let now = upstream.now();
    let host = text(&headers, "host").unwrap_or_default();
    let ids = ids(&body, "record_ids")?;
    let found = ids.iter().filter_map(|id| upstream.records.get(id.as_str()?, now));
    let links: Vec<Value> = found
        .filter(|record| record.has_video(now))
        .map(|record| video::link(&record, host, now))
        .collect();
    Ok(Json(json!({ "address": links })).into_response())
}

/// Takes a change and makes none.
async fn update(State(upstream): Simulated, Path((_, id)): RecordPath, body: Bytes) -> Answer {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !body.get("traffic_limit_type").is_some_and(Value::is_string) {
        return Err(BadParameter("traffic_limit_type".to_owned()));
    }
    Ok(match upstream.records.get(&id, upstream.now()) {
        Some(_) => Json(json!({ "result_code": "0", "result_desc": "ok" })).into_response(),
        None => no_such_record(),
    })
}

/// Takes a deletion and makes none.
async fn batch_delete(body: Bytes) -> Answer {
    ids(&body, "screen_records")?;
    Ok(Json(json!({ "job_id": request_id() })).into_response())
}

async fn traffic_limits() -> Json<Value> {
    Json(json!({ "configs": [], "total_count": 0 }))
}

/// The list of a body, which may have 1 to [`MOST_IDS`] items.
fn ids(body: &[u8], name: &str) -> Result<Vec<Value>, BadParameter> {
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    match body.get_mut(name).map(Value::take) {
        Some(Value::Array(ids)) if (1..=MOST_IDS).contains(&ids.len()) => Ok(ids),
        _ => Err(BadParameter(name.to_owned())),
    }
}

async fn show_video(
    State(upstream): Simulated,
    Path(file): Path<String>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    video::answer(&file, &parameters, &headers, upstream.now())
}

async fn wrong_method() -> Response {
    error(StatusCode::METHOD_NOT_ALLOWED, "WKS.00000405", "method not allowed")
}

async fn unknown_api() -> Response {
    gateway_error(StatusCode::NOT_FOUND, "APIGW.0101", "API not found or not published")
}

/// The recordings that a list's filters take.
fn filtered(
    records: &Records,
    parameters: &Parameters,
    now: Timestamp,
) -> Result<Vec<Record>, BadParameter> {
    let desktop_id = parameters.get("desktop_id");
    let names: Option<Vec<&str>> =
        parameters.get("desktop_names").map(|names| names.split(',').map(str::trim).collect());
    if names.as_ref().is_some_and(|names| names.len() > MOST_IDS) {
        return Err(BadParameter("desktop_names".to_owned()));
    }
    let username = parameters.get("username");
    let status = parameters.one_of("status", &STATUSES)?;
    let kind = parameters.one_of("type", &TYPES)?;
    let kind = kind.map(|kind| if kind == "USER_OPERATION" { "OPERATION" } else { kind });
    let from = parameters.read("start_time", times::filter)?;
    let window = from.unwrap_or_else(|| after(now, -DEFAULT_WINDOW))
        ..=parameters.read("end_time", times::filter)?.unwrap_or(now);
    let mut found = records.all(now);
    found.retain(|record| {
        desktop_id.is_none_or(|id| record.desktop_id == id)
            && names.as_ref().is_none_or(|names| names.contains(&record.desktop_name.as_str()))
            && username.is_none_or(|username| record.username == username)
            && status.is_none_or(|status| record.status(now) == status)
            && kind.is_none_or(|kind| record.kind == kind)
            && window.contains(&record.start)
    });
    Ok(found)
}

/// An error of the service.
fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "error_code": code, "error_msg": message }))).into_response()
}

/// An error of the API gateway in front of it, which repeats the request id.
fn gateway_error(status: StatusCode, code: &str, message: &str) -> Response {
    let id = request_id();
    let body = json!({ "error_code": code, "error_msg": message, "request_id": id });
    (status, [("x-request-id", id)], Json(body)).into_response()
}

impl IntoResponse for BadParameter {
    fn into_response(self) -> Response {
        let body = json!({
            "error_code": "WKS.00211102",
            "error_msg": "parameter invalid",
            "error_detail": self.0,
        });
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

fn no_such_record() -> Response {
    error(StatusCode::NOT_FOUND, "WKS.00211902", "the screen record does not exist")
}

fn failing(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            gateway_error(status, "APIGW.0308", "The throttling threshold has been reached")
        }
        StatusCode::SERVICE_UNAVAILABLE => error(status, "WKS.00050902", "service unavailable"),
        StatusCode::INTERNAL_SERVER_ERROR => error(status, "WKS.00211401", "operation failed"),
        _ => gateway_error(status, "APIGW.0201", "backend unavailable"),
    }
}

/// 32 hexadecimal digits.
fn request_id() -> String {
    let mut random = [0_u8; 16];
    // Without randomness the id is all zeros, which tells just that.
    let _ = getrandom::fill(&mut random);
    hex::encode(random)
}
