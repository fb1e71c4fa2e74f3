//! Which request gets which answer.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::access::{Access, Denied, text};
use super::config::SimulatorConfig;
use super::faults::{FaultInjector, Reserved, error, gateway_error};
use super::issuers::random_hex;
use super::records::{Record, SimulatedRecords, after};
use super::video;
use crate::clock::Clock;

/// The largest request body, as at the API gateway: 12 MB.
const LARGEST_BODY: usize = 12 * 1024 * 1024;
/// The window of a list without one, in seconds: 15 days.
const DEFAULT_WINDOW: i64 = 15 * 24 * 60 * 60;
/// Paths that are counted by themselves; more are counted together.
const MOST_PATHS: usize = 10_000;
/// Ids in one request for download addresses, and names in one filter.
const MOST_IDS: usize = 100;
const STATUSES: [&str; 6] =
    ["RECORDING", "REC_COMPLETED", "REC_FAILED", "UPLOADING", "UPLOAD_COMPLETED", "UPLOAD_FAILED"];
const TYPES: [&str; 5] = ["FULL", "INTERVAL", "OPERATION", "SESSION", "USER_OPERATION"];

/// Everything a request is answered from.
pub(super) struct SimulatedUpstream {
    pub(super) records: SimulatedRecords,
    pub(super) access: Access,
    reserved: Reserved,
    fault_injector: FaultInjector,
    /// Requests by path.
    requests: Mutex<BTreeMap<String, u64>>,
    clock: Clock,
}

/// The query's parameters by name; of one that comes twice the last counts.
#[derive(Deserialize)]
#[serde(transparent)]
struct ListParameters(HashMap<String, String>);

/// What a request cannot be answered for.
enum ApiError {
    /// The parameter of this name is wrong.
    Parameter(String),
    NoSuchRecord,
}

type Simulated = State<Arc<SimulatedUpstream>>;
type ApiResult = Result<Response, ApiError>;

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
        .route("/__stats", get(stats))
        .route("/__reset", post(reset))
        .layer(map_response(add_request_id))
        .layer(DefaultBodyLimit::disable())
        .with_state(upstream)
}

impl SimulatedUpstream {
    pub(super) fn new(config: SimulatorConfig, clock: Clock) -> serde_json::Result<Self> {
        Ok(Self {
            records: SimulatedRecords::new(config.seed, config.records, clock.timestamp()),
            reserved: Reserved::load()?,
            fault_injector: FaultInjector::new(config.faults, config.seed),
            requests: Mutex::default(),
            access: Access::new(config),
            clock,
        })
    }

    fn now(&self) -> Timestamp {
        self.clock.timestamp()
    }

    fn record(&self, id: &str) -> Result<Record, ApiError> {
        self.records.get(id, self.now()).ok_or(ApiError::NoSuchRecord)
    }

    fn count(&self, request: &Request) {
        let mut requests = self.requests.lock();
        let mut name = format!("{} {}", request.method(), request.uri().path());
        if requests.len() >= MOST_PATHS && !requests.contains_key(&name) {
            "other".clone_into(&mut name);
        }
        *requests.entry(name).or_default() += 1;
    }
}

/// Counts and delays a request, and fails some.
async fn disturb(State(upstream): Simulated, request: Request, next: Next) -> Response {
    upstream.count(&request);
    let latency = upstream.access.config.latency;
    if !latency.is_zero() {
        sleep(latency).await;
    }
    match upstream.fault_injector.next(upstream.clock.now()) {
        None => next.run(request).await,
        Some(failure) => failure,
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
    if let Ok(id) = HeaderValue::from_str(&random_hex(32)) {
        response.headers_mut().entry("x-request-id").or_insert(id);
    }
    response
}

async fn stats(State(upstream): Simulated) -> Json<Value> {
    let requests = upstream.requests.lock();
    Json(json!({ "requests": requests.values().sum::<u64>(), "paths": &*requests }))
}

async fn reset(State(upstream): Simulated) -> Json<Value> {
    upstream.requests.lock().clear();
    Json(json!({ "requests": 0 }))
}

async fn login(State(upstream): Simulated, body: Bytes) -> impl IntoResponse {
    let Access { config, iam, .. } = &upstream.access;
    let answer = iam.login(config, &body, upstream.now());
    ([("x-iam-trace-id", random_hex(32))], answer)
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

async fn detail(State(upstream): Simulated, Path((project, id)): RecordPath) -> ApiResult {
    if let Some(answer) = upstream.reserved.answer(&id).await {
        return Ok(answer);
    }
    let record = upstream.record(&id)?;
    Ok(Json(record.json(&project, upstream.now())).into_response())
}

async fn list(
    State(upstream): Simulated,
    Path(project): Path<String>,
    Query(parameters): Query<ListParameters>,
) -> ApiResult {
    let now = upstream.now();
    let descending = parameters.one_of("sort_type", &["asc", "desc"])? != Some("asc");
    parameters.one_of("sort_field", &["start_time"])?;
    let desktop_id = parameters.get("desktop_id");
    let names: Option<Vec<&str>> =
        parameters.get("desktop_names").map(|names| names.split(',').map(str::trim).collect());
    if names.as_ref().is_some_and(|names| names.len() > MOST_IDS) {
        return Err(ApiError::Parameter("desktop_names".to_owned()));
    }
    let username = parameters.get("username");
    let status = parameters.one_of("status", &STATUSES)?;
    let kind = parameters.one_of("type", &TYPES)?;
    let kind = kind.map(|kind| if kind == "USER_OPERATION" { "OPERATION" } else { kind });
    let from = parameters.read("start_time", filter_time)?;
    let window = from.unwrap_or_else(|| after(now, -DEFAULT_WINDOW))
        ..=parameters.read("end_time", filter_time)?.unwrap_or(now);
    let mut found = upstream.records.all(now);
    found.retain(|record| {
        desktop_id.is_none_or(|id| record.desktop_id == id)
            && names.as_ref().is_none_or(|names| names.contains(&record.desktop_name.as_str()))
            && username.is_none_or(|username| record.username == username)
            && status.is_none_or(|status| record.status(now) == status)
            && kind.is_none_or(|kind| record.kind == kind)
            && window.contains(&record.start)
    });
    found.sort_by(|one, other| (one.start, &one.id).cmp(&(other.start, &other.id)));
    if descending {
        found.reverse();
    }
    let largest = upstream.access.config.largest_page;
    parameters.page(largest, "screen_records", found, |record| record.json(&project, now))
}

async fn list_operations(
    State(upstream): Simulated,
    Path((project, id)): RecordPath,
    Query(parameters): Query<ListParameters>,
) -> ApiResult {
    let now = upstream.now();
    let kind = parameters.one_of("event_type", &["APP", "FILE", "REG", "HDP"])?;
    let level = parameters.one_of("event_level", &["INFO", "ALARM", "ERROR"])?;
    let (event, data) = (parameters.get("event_id"), parameters.get("event_data"));
    let record = upstream.record(&id)?;
    let mut found = record.operations(&project, now);
    found.retain(|operation| {
        let is =
            |name: &str, value: Option<&str>| value.is_none_or(|value| operation[name] == value);
        let text = operation["event_data"].as_str().unwrap_or_default();
        is("event_type", kind)
            && is("event_level", level)
            && is("event_id", event)
            && data.is_none_or(|data| text.contains(data))
    });
    let largest = upstream.access.config.largest_page;
    parameters.page(largest, "operations", found, |operation| operation)
}

async fn download_addresses(
    State(upstream): Simulated,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult {
    let now = upstream.now();
    let host = text(&headers, "host").unwrap_or_default();
    let ids = ids(&body, "record_ids")?;
    let found = ids.iter().filter_map(|id| upstream.records.get(id.as_str()?, now));
    let links: Vec<Value> = found
        .filter(|record| record.status(now) == "UPLOAD_COMPLETED")
        .map(|record| video::link(&record, host, now))
        .collect();
    Ok(Json(json!({ "address": links })).into_response())
}

/// Takes a change and makes none.
async fn update(State(upstream): Simulated, Path((_, id)): RecordPath, body: Bytes) -> ApiResult {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !body.get("traffic_limit_type").is_some_and(Value::is_string) {
        return Err(ApiError::Parameter("traffic_limit_type".to_owned()));
    }
    upstream.record(&id)?;
    Ok(Json(json!({ "result_code": "0", "result_desc": "ok" })).into_response())
}

/// Takes a deletion and makes none.
async fn batch_delete(body: Bytes) -> ApiResult {
    ids(&body, "screen_records")?;
    Ok(Json(json!({ "job_id": random_hex(32) })).into_response())
}

async fn traffic_limits() -> Json<Value> {
    Json(json!({ "configs": [], "total_count": 0 }))
}

/// The list of a body, which may have 1 to [`MOST_IDS`] items.
fn ids(body: &[u8], name: &str) -> Result<Vec<Value>, ApiError> {
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    match body.get_mut(name).map(Value::take) {
        Some(Value::Array(ids)) if (1..=MOST_IDS).contains(&ids.len()) => Ok(ids),
        _ => Err(ApiError::Parameter(name.to_owned())),
    }
}

async fn show_video(
    State(upstream): Simulated,
    Path(file): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    video::answer(&file, &query, &headers, upstream.now())
}

async fn wrong_method() -> Response {
    error(StatusCode::METHOD_NOT_ALLOWED, "WKS.00000405", "method not allowed")
}

async fn unknown_api() -> Response {
    gateway_error(StatusCode::NOT_FOUND, "APIGW.0101", "API not found or not published")
}

/// Reads a filter's time: `yyyy-MM-dd HH:mm:ss` in UTC.
fn filter_time(text: &str) -> Option<Timestamp> {
    let local = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(local).ok()
}

impl ListParameters {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter read, if it is there.
    fn read<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| ApiError::Parameter(name.to_owned()))
    }

    /// One of some values, if it is there.
    fn one_of(&self, name: &str, values: &[&str]) -> Result<Option<&str>, ApiError> {
        match self.get(name) {
            Some(text) if !values.contains(&text) => Err(ApiError::Parameter(name.to_owned())),
            found => Ok(found),
        }
    }

    /// Answers with the page of rows that was asked for, under a name. Without a limit it has a tenth of the
    /// `largest` page, as both of the upstream's documents say.
    fn page<T>(
        &self,
        largest: usize,
        name: &str,
        rows: Vec<T>,
        json: impl Fn(T) -> Value,
    ) -> ApiResult {
        let number = |text: &str| usize::from_str(text).ok();
        let offset = self.read("offset", number)?.unwrap_or_default();
        let limit = self.read("limit", |text| number(text).filter(|limit| *limit <= largest))?;
        let total = rows.len();
        let rows = rows.into_iter().skip(offset).take(limit.unwrap_or(largest / 10));
        let rows: Vec<Value> = rows.map(json).collect();
        Ok(Json(json!({ name: rows, "total_count": total })).into_response())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Parameter(name) => {
                let message = "parameter invalid";
                let body = json!({
                    "error_code": "WKS.00211102", "error_msg": message, "error_detail": name,
                });
                (StatusCode::BAD_REQUEST, Json(body)).into_response()
            }
            Self::NoSuchRecord => {
                error(StatusCode::NOT_FOUND, "WKS.00211902", "the screen record does not exist")
            }
        }
    }
}
