//! Which request gets which answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::access::{Access, Denied};
use super::config::SimulatorConfig;
use super::faults::{self, Fault, Limiter, Reserved, json_response};
use super::iam::Issued;
use super::operations;
use super::paging::{BadParameter, Parameters};
use super::records::{Record, Records, after};
use super::stats::Stats;
use super::times;
use crate::clock::Clock;

/// The largest request body, as at the API gateway: 12 MB.
const LARGEST_BODY: usize = 12 * 1024 * 1024;
/// The window of a list without one, in seconds: 15 days.
const DEFAULT_WINDOW: i64 = 15 * 24 * 60 * 60;
/// Ids in one request for download addresses or deletion.
const MOST_IDS: usize = 100;
const STATUSES: [&str; 6] =
    ["RECORDING", "REC_COMPLETED", "REC_FAILED", "UPLOADING", "UPLOAD_COMPLETED", "UPLOAD_FAILED"];
const TYPES: [&str; 5] = ["FULL", "INTERVAL", "OPERATION", "SESSION", "USER_OPERATION"];

type Answer = Response<Body>;

/// A request's call, by method and path.
enum Call<'p> {
    Detail(&'p str),
    List,
    Operations(&'p str),
    DownloadAddress,
    BatchDelete,
    Update(&'p str),
    TrafficLimits,
    SetTrafficLimits,
    WrongMethod,
}

/// Everything a request is answered from.
pub(super) struct SimulatedUpstream {
    records: Records,
    access: Access,
    reserved: Reserved,
    limiter: Limiter,
    stats: Stats,
    latency: Duration,
    largest_page: usize,
    clock: Clock,
}

/// Answers any request.
pub(super) async fn answer(
    State(upstream): State<Arc<SimulatedUpstream>>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let mut answer = match parts.uri.path() {
        "/__faults" => ok(&upstream.reserved.json()),
        "/__stats" => ok(&upstream.stats.json()),
        "/__reset" if parts.method == Method::POST => {
            upstream.stats.reset();
            ok(&json!({ "requests": 0 }))
        }
        "/__reset" => error(StatusCode::METHOD_NOT_ALLOWED, "WKS.00000405", "method not allowed"),
        _ => upstream.call(&parts, body).await,
    };
    let id = request_id();
    if let Ok(value) = HeaderValue::from_str(&id) {
        answer.headers_mut().entry("x-request-id").or_insert(value);
    }
    answer
}

impl SimulatedUpstream {
    pub(super) fn new(config: SimulatorConfig, clock: Clock) -> serde_json::Result<Self> {
        Ok(Self {
            records: Records::new(config.seed, config.records, clock.timestamp()),
            reserved: Reserved::load()?,
            limiter: Limiter::new(config.faults, config.seed),
            stats: Stats::default(),
            latency: config.latency,
            largest_page: config.largest_page,
            access: Access::new(config),
            clock,
        })
    }

    /// A project and a recording that exist.
    pub(super) fn sample(&self) -> (&str, &str) {
        (self.access.projects().first().map_or("", String::as_str), self.records.sample())
    }

    async fn call(&self, parts: &Parts, body: Body) -> Answer {
        self.stats.count(parts.method.as_str(), parts.uri.path());
        if !self.latency.is_zero() {
            sleep(self.latency).await;
        }
        match self.limiter.next(self.clock.now()) {
            None => {}
            Some(Fault::Throttled) => return throttled(),
            Some(Fault::Cut) => return json_response(StatusCode::OK, faults::cut()),
            Some(Fault::Status(status)) => return failing(status),
        }
        let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY).await else {
            return gateway_error(StatusCode::PAYLOAD_TOO_LARGE, "APIGW.0201", "request too large");
        };
        let now = self.clock.timestamp();
        if let Some(answer) = self.credentials(parts, &body, now) {
            return answer;
        }
        let Some((project, call)) = route(&parts.method, parts.uri.path()) else {
            let message = "API not found or not published";
            return gateway_error(StatusCode::NOT_FOUND, "APIGW.0101", message);
        };
        if let Err(Denied { code, message }) = self.access.check(parts, &body, now) {
            return gateway_error(StatusCode::UNAUTHORIZED, code, &message);
        }
        if !self.access.is_project(project) {
            return foreign_project();
        }
        self.dispatch(&call, project, parts, &body).await
    }

    /// Answers as IAM, or as the metadata service of a cloud server.
    fn credentials(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Option<Answer> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let text = |status, text: String| {
            let mut answer = Response::new(Body::from(text));
            *answer.status_mut() = status;
            answer
        };
        let metadata = &self.access.metadata;
        Some(match (parts.method.as_str(), parts.uri.path()) {
            ("POST", "/v3/auth/tokens") => self.login(body, now),
            ("PUT", "/meta-data/latest/api/token") => {
                match metadata.session(header("x-metadata-token-ttl-seconds"), now) {
                    Some(session) => text(StatusCode::OK, session),
                    None => text(StatusCode::BAD_REQUEST, String::new()),
                }
            }
            ("GET", "/openstack/latest/securitykey") => {
                match metadata.security_key(header("x-metadata-token"), now) {
                    Some(key) => ok(&key),
                    None => text(StatusCode::UNAUTHORIZED, String::new()),
                }
            }
            _ => return None,
        })
    }

    fn login(&self, body: &[u8], now: Timestamp) -> Answer {
        let mut answer = match self.access.iam.login(body, now) {
            Ok(Issued { token, body }) => {
                let mut answer = json_response(StatusCode::CREATED, Body::from(body.to_string()));
                if let Ok(token) = HeaderValue::from_str(&token) {
                    answer.headers_mut().insert("x-subject-token", token);
                }
                answer
            }
            Err(refusal) => {
                let status =
                    StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
                json_response(status, Body::from(refusal.body().to_string()))
            }
        };
        if let Ok(id) = HeaderValue::from_str(&request_id()) {
            answer.headers_mut().insert("x-iam-trace-id", id);
        }
        answer
    }

    async fn dispatch(
        &self,
        call: &Call<'_>,
        project: &str,
        parts: &Parts,
        body: &Bytes,
    ) -> Answer {
        let (now, query) = (self.clock.timestamp(), parts.uri.query().unwrap_or_default());
        let parameters = Parameters::parse(query);
        let answered = match call {
            Call::Detail(id) => return self.detail(project, id, now).await,
            Call::List => self.list(project, &parameters, now),
            Call::Operations(id) => self.operations(project, id, &parameters, now),
            Call::DownloadAddress => self.download_addresses(body, now),
            Call::BatchDelete => batch_delete(body),
            Call::Update(id) => Ok(self.update(id, body, now)),
            Call::TrafficLimits => Ok(ok(&json!({ "configs": [], "total_count": 0 }))),
            Call::SetTrafficLimits => Ok(empty(StatusCode::NO_CONTENT)),
            Call::WrongMethod => {
                let status = StatusCode::METHOD_NOT_ALLOWED;
                Ok(error(status, "WKS.00000405", "method not allowed"))
            }
        };
        answered.unwrap_or_else(|BadParameter(name)| invalid(&name))
    }

    async fn detail(&self, project: &str, id: &str, now: Timestamp) -> Answer {
        if let Some(answer) = self.reserved.answer(id).await {
            return answer;
        }
        match self.records.get(id, now) {
            Some(record) => ok(&record.json(project, now)),
            None => no_such_record(),
        }
    }

    fn list(
        &self,
        project: &str,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<Answer, BadParameter> {
        let page = parameters.page(self.largest_page)?;
        let descending = parameters.one_of("sort_type", &["asc", "desc"])? != Some("asc");
        parameters.one_of("sort_field", &["start_time"])?;
        let filter = Filter::parse(parameters, now)?;
        let mut found: Vec<Record> =
            self.records.all(now).into_iter().filter(|record| filter.takes(record, now)).collect();
        found.sort_by(|one, other| (one.start, &one.id).cmp(&(other.start, &other.id)));
        if descending {
            found.reverse();
        }
        let total = found.len();
        let rows: Vec<Value> = page.of(found).map(|record| record.json(project, now)).collect();
        Ok(ok(&json!({ "screen_records": rows, "total_count": total })))
    }

    fn operations(
        &self,
        project: &str,
        id: &str,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<Answer, BadParameter> {
        let page = parameters.page(self.largest_page)?;
        let kind = parameters.one_of("event_type", &["APP", "FILE", "REG", "HDP"])?;
        let level = parameters.one_of("event_level", &["INFO", "ALARM", "ERROR"])?;
        let (event, data) = (parameters.get("event_id"), parameters.get("event_data"));
        let Some(record) = self.records.get(id, now) else { return Ok(no_such_record()) };
        let mut found = operations::of(&record, now);
        found.retain(|operation| {
            kind.is_none_or(|kind| operation.kind == kind)
                && level.is_none_or(|level| operation.level == level)
                && event.is_none_or(|event| operation.event == event)
                && data.is_none_or(|data| operation.data.contains(data))
        });
        let total = found.len();
        let rows: Vec<Value> =
            page.of(found).map(|operation| operation.json(&record, project)).collect();
        Ok(ok(&json!({ "operations": rows, "total_count": total })))
    }

    fn download_addresses(&self, body: &[u8], now: Timestamp) -> Result<Answer, BadParameter> {
        let body: Option<Value> = serde_json::from_slice(body).ok();
        let ids = body.as_ref().and_then(|body| body.get("record_ids")).and_then(Value::as_array);
        let ids = ids.filter(|ids| (1..=MOST_IDS).contains(&ids.len()));
        let ids = ids.ok_or_else(|| BadParameter("record_ids".to_owned()))?;
        let links: Vec<Value> = ids
            .iter()
            .filter_map(Value::as_str)
            .filter_map(|id| self.records.get(id, now))
            .filter(|record| record.has_video(now))
            .map(|record| operations::link(&record, now))
            .collect();
        Ok(ok(&json!({ "address": links })))
    }

    fn update(&self, id: &str, body: &[u8], now: Timestamp) -> Answer {
        let body: Option<Value> = serde_json::from_slice(body).ok();
        let limit = body.as_ref().and_then(|body| body.get("traffic_limit_type"));
        if !limit.is_some_and(Value::is_string) {
            return invalid("traffic_limit_type");
        }
        match self.records.get(id, now) {
            Some(_) => ok(&json!({ "result_code": "0", "result_desc": "ok" })),
            None => no_such_record(),
        }
    }
}

/// What a list is narrowed to.
struct Filter<'p> {
    desktop_id: Option<&'p str>,
    desktop_names: Option<Vec<&'p str>>,
    username: Option<&'p str>,
    status: Option<&'p str>,
    kind: Option<&'p str>,
    from: Timestamp,
    to: Timestamp,
}

impl<'p> Filter<'p> {
    fn parse(parameters: &'p Parameters, now: Timestamp) -> Result<Self, BadParameter> {
        let names = parameters
            .get("desktop_names")
            .map(|names| names.split(',').map(str::trim).collect::<Vec<_>>());
        if names.as_ref().is_some_and(|names| names.len() > MOST_IDS) {
            return Err(BadParameter("desktop_names".to_owned()));
        }
        Ok(Self {
            desktop_id: parameters.get("desktop_id"),
            desktop_names: names,
            username: parameters.get("username"),
            status: parameters.one_of("status", &STATUSES)?,
            kind: parameters.one_of("type", &TYPES)?,
            from: parameters
                .read("start_time", times::filter)?
                .unwrap_or_else(|| after(now, -DEFAULT_WINDOW)),
            to: parameters.read("end_time", times::filter)?.unwrap_or(now),
        })
    }

    fn takes(&self, record: &Record, now: Timestamp) -> bool {
        let kind = self.kind.map(|kind| if kind == "USER_OPERATION" { "OPERATION" } else { kind });
        let name = record.desktop_name.as_str();
        self.desktop_id.is_none_or(|id| record.desktop_id == id)
            && self.desktop_names.as_ref().is_none_or(|names| names.contains(&name))
            && self.username.is_none_or(|username| record.username == username)
            && self.status.is_none_or(|status| record.status(now) == status)
            && kind.is_none_or(|kind| record.kind == kind)
            && (self.from..=self.to).contains(&record.start)
    }
}

/// Project and call of a path; `None` if there is no such API.
fn route<'p>(method: &Method, path: &'p str) -> Option<(&'p str, Call<'p>)> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let ["v2", project, "screen-records", rest @ ..] = segments.as_slice() else { return None };
    let call = match (method.as_str(), rest) {
        (_, ["", ..]) => return None,
        ("GET", []) => Call::List,
        ("POST", ["batch-delete"]) => Call::BatchDelete,
        ("POST", ["download-address"]) => Call::DownloadAddress,
        ("GET", ["traffic-limit", "configurations"]) => Call::TrafficLimits,
        ("POST", ["traffic-limit", "configurations"]) => Call::SetTrafficLimits,
        (_, ["batch-delete" | "download-address"]) => Call::WrongMethod,
        ("GET", [id]) => Call::Detail(id),
        ("PUT", [id]) => Call::Update(id),
        ("GET", [id, "os-operations"]) => Call::Operations(id),
        (_, [] | [_] | [_, "os-operations"] | ["traffic-limit", "configurations"]) => {
            Call::WrongMethod
        }
        _ => return None,
    };
    Some((project, call))
}

fn batch_delete(body: &[u8]) -> Result<Answer, BadParameter> {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let ids = body.as_ref().and_then(|body| body.get("screen_records")).and_then(Value::as_array);
    if !ids.is_some_and(|ids| (1..=MOST_IDS).contains(&ids.len())) {
        return Err(BadParameter("screen_records".to_owned()));
    }
    Ok(ok(&json!({ "job_id": request_id() })))
}

fn ok(body: &Value) -> Answer {
    json_response(StatusCode::OK, Body::from(body.to_string()))
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// An error of the service.
fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = json!({ "error_code": code, "error_msg": message });
    json_response(status, Body::from(body.to_string()))
}

/// An error of the API gateway in front of it, which repeats the request id.
fn gateway_error(status: StatusCode, code: &str, message: &str) -> Answer {
    let id = request_id();
    let body = json!({ "error_code": code, "error_msg": message, "request_id": id });
    let mut answer = json_response(status, Body::from(body.to_string()));
    if let Ok(value) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert("x-request-id", value);
    }
    answer
}

fn invalid(parameter: &str) -> Answer {
    let body = json!({
        "error_code": "WKS.00211102",
        "error_msg": "parameter invalid",
        "error_detail": parameter,
    });
    json_response(StatusCode::BAD_REQUEST, Body::from(body.to_string()))
}

fn no_such_record() -> Answer {
    error(StatusCode::NOT_FOUND, "WKS.00211902", "the screen record does not exist")
}

fn foreign_project() -> Answer {
    let body = json!({
        "error_code": "WKS.00081102",
        "error_msg": "no permission",
        "encoded_authorization_message": "c2ltdWxhdGVkIGRlbmlhbCwgbm90aGluZyB0byBkZWNvZGU",
    });
    json_response(StatusCode::FORBIDDEN, Body::from(body.to_string()))
}

fn throttled() -> Answer {
    let message = "The throttling threshold has been reached";
    gateway_error(StatusCode::TOO_MANY_REQUESTS, "APIGW.0308", message)
}

fn failing(status: u16) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match status {
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
