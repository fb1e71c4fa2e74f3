//! Errors, and faults: documented answers under reserved ids, broken connections, and faults among ordinary
//! answers.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::config::FaultPlan;
use super::issuers::random_hex;
use super::random::Random;

/// Answers that the upstream's documents and the field have, as data.
const ANSWERS: &str = include_str!("answers.json");
/// More than any gateway should take in.
const LARGE: usize = 4 * 1024 * 1024;

/// Ids that are no recordings, and what they answer.
pub(super) struct Reserved(BTreeMap<String, CannedResponse>);

#[derive(Deserialize)]
struct CannedResponse {
    id: String,
    status: u16,
    headers: HashMap<String, String>,
    body: String,
    note: String,
}

/// Faults of the connection and not of the answer, by reserved id.
const CONNECTION_FAULTS: [(&str, &str); 5] = [
    ("fault-no-answer", "nothing is ever answered"),
    ("fault-slow-body", "a byte a second, without end"),
    ("fault-cut", "the connection ends in the middle of the body"),
    ("fault-wrong-length", "the body is shorter than its Content-Length"),
    ("fault-too-large", "a body of 4 MiB"),
];

impl Reserved {
    pub(super) fn load() -> Result<Self, serde_json::Error> {
        let answers: Vec<CannedResponse> = serde_json::from_str(ANSWERS)?;
        Ok(Self(answers.into_iter().map(|answer| (answer.id.clone(), answer)).collect()))
    }

    /// The list of all reserved ids.
    pub(super) fn json(&self) -> Value {
        let answers = self.0.values().map(|CannedResponse { id, status, note, .. }| {
            json!({ "id": id, "status": status, "note": note })
        });
        let connection = CONNECTION_FAULTS.map(|(id, note)| json!({ "id": id, "note": note }));
        answers.chain(connection).collect()
    }

    /// The answer of a reserved id.
    pub(super) async fn answer(&self, id: &str) -> Option<Response> {
        if let Some(CannedResponse { status, headers, body, .. }) = self.0.get(id) {
            let status = StatusCode::from_u16(*status).unwrap_or_default();
            let headers = HeaderMap::try_from(headers).unwrap_or_default();
            return Some((status, headers, Body::from(body.clone())).into_response());
        }
        let body = match id {
            "fault-no-answer" => std::future::pending().await,
            "fault-slow-body" => Body::from_stream(stream::repeat(()).then(|()| async {
                sleep(Duration::from_secs(1)).await;
                Ok::<_, std::io::Error>(Bytes::from_static(b" "))
            })),
            "fault-cut" => cut(),
            "fault-wrong-length" => {
                let part = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{}"))]);
                let answer = json_response(StatusCode::OK, Body::from_stream(part));
                return Some(([(header::CONTENT_LENGTH, "200")], answer).into_response());
            }
            "fault-too-large" => Body::from(vec![b' '; LARGE]),
            _ => return None,
        };
        Some(json_response(StatusCode::OK, body))
    }
}

/// Lets requests through at a rate, and fails a share of them.
pub(super) struct FaultInjector {
    plan: FaultPlan,
    state: Mutex<InjectorState>,
}

struct InjectorState {
    random: Random,
    second: Option<Instant>,
    in_second: u32,
}

impl FaultInjector {
    pub(super) fn new(plan: FaultPlan, seed: u64) -> Self {
        let random = Random::of(seed, u64::MAX);
        Self { plan, state: Mutex::new(InjectorState { random, second: None, in_second: 0 }) }
    }

    /// The failure of the next request, if it is to fail.
    pub(super) fn next(&self, now: Instant) -> Option<Response> {
        let mut state = self.state.lock();
        if state.second.is_none_or(|began| now >= began + Duration::from_secs(1)) {
            state.second = Some(now);
            state.in_second = 0;
        }
        state.in_second += 1;
        if self.plan.requests_per_second.is_some_and(|most| state.in_second > most) {
            return Some(failing(StatusCode::TOO_MANY_REQUESTS));
        }
        #[expect(clippy::cast_precision_loss, reason = "a share does not need every digit")]
        let drawn = state.random.below(1 << 32) as f64 / (1_u64 << 32) as f64;
        if drawn >= self.plan.rate {
            return None;
        }
        let status = state.random.pick(&[500, 502, 503, 504, 429, 200])?;
        Some(failing(StatusCode::from_u16(*status).unwrap_or_default()))
    }
}

/// A failure in a status, as the service or the gateway in front of it answers. In a success, the connection
/// breaks.
fn failing(status: StatusCode) -> Response {
    match status {
        StatusCode::OK => json_response(status, cut()),
        StatusCode::TOO_MANY_REQUESTS => {
            gateway_error(status, "APIGW.0308", "The throttling threshold has been reached")
        }
        StatusCode::SERVICE_UNAVAILABLE => error(status, "WKS.00050902", "service unavailable"),
        StatusCode::INTERNAL_SERVER_ERROR => error(status, "WKS.00211401", "operation failed"),
        _ => gateway_error(status, "APIGW.0201", "backend unavailable"),
    }
}

/// An error of the service.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "error_code": code, "error_msg": message }))).into_response()
}

/// An error of the API gateway in front of it, which repeats the request id.
pub(super) fn gateway_error(status: StatusCode, code: &str, message: &str) -> Response {
    let id = random_hex(32);
    let body = json!({ "error_code": code, "error_msg": message, "request_id": id });
    (status, [("x-request-id", id)], Json(body)).into_response()
}

/// A part of a body, and then the end of the connection.
fn cut() -> Body {
    let parts = [Ok(Bytes::from_static(b"{\"id\": ")), Err(std::io::Error::other("cut"))];
    Body::from_stream(stream::iter(parts))
}

fn json_response(status: StatusCode, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
