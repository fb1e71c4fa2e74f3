//! Faults: documented answers under reserved ids, broken connections, and faults among ordinary ones.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::random::Random;

/// Answers that the upstream's documents and the field have, as data.
const ANSWERS: &str = include_str!("answers.json");
/// More than any gateway should take in.
const LARGE: usize = 4 * 1024 * 1024;

/// Faults among ordinary answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// Share of requests that fail in mixed ways, from 0 to 1.
    pub rate: f64,
    /// Requests a second before 429; `None` for no limit.
    pub requests_per_second: Option<u32>,
}

/// Ids that are no recordings, and what they answer.
pub(super) struct Reserved {
    answers: BTreeMap<String, Answer>,
}

#[derive(Deserialize)]
struct Answer {
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
        let answers: Vec<Answer> = serde_json::from_str(ANSWERS)?;
        let answers = answers.into_iter().map(|answer| (answer.id.clone(), answer)).collect();
        Ok(Self { answers })
    }

    /// The list of all reserved ids.
    pub(super) fn json(&self) -> Value {
        let answers = self
            .answers
            .values()
            .map(|answer| json!({ "id": answer.id, "status": answer.status, "note": answer.note }));
        let connection =
            CONNECTION_FAULTS.iter().map(|(id, note)| json!({ "id": id, "note": note }));
        answers.chain(connection).collect()
    }

    /// The answer of a reserved id.
    pub(super) async fn answer(&self, id: &str) -> Option<Response> {
        if let Some(answer) = self.answers.get(id) {
            return Some(answer.response());
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

impl Answer {
    fn response(&self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or_default();
        let headers = HeaderMap::try_from(&self.headers).unwrap_or_default();
        (status, headers, Body::from(self.body.clone())).into_response()
    }
}

/// Lets requests through at a rate, and fails a share of them.
pub(super) struct Limiter {
    plan: FaultPlan,
    state: Mutex<LimiterState>,
}

struct LimiterState {
    random: Random,
    second: Option<Instant>,
    in_second: u32,
}

/// What happens to an ordinary request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Status(u16),
    Cut,
}

impl Limiter {
    pub(super) fn new(plan: FaultPlan, seed: u64) -> Self {
        let random = Random::of(seed, u64::MAX);
        Self { plan, state: Mutex::new(LimiterState { random, second: None, in_second: 0 }) }
    }

    /// What happens to the next request, if not the ordinary.
    pub(super) fn next(&self, now: Instant) -> Option<Fault> {
        let mut state = self.state.lock();
        if state.second.is_none_or(|began| now >= began + Duration::from_secs(1)) {
            state.second = Some(now);
            state.in_second = 0;
        }
        state.in_second += 1;
        if self.plan.requests_per_second.is_some_and(|most| state.in_second > most) {
            return Some(Fault::Status(429));
        }
        #[expect(clippy::cast_precision_loss, reason = "a share does not need every digit")]
        let drawn = state.random.below(1 << 32) as f64 / (1_u64 << 32) as f64;
        if drawn >= self.plan.rate {
            return None;
        }
        let faults = [
            Fault::Status(500),
            Fault::Status(502),
            Fault::Status(503),
            Fault::Status(504),
            Fault::Status(429),
            Fault::Cut,
        ];
        state.random.pick(&faults).copied()
    }
}

/// A part of a body, and then the end of the connection.
pub(super) fn cut() -> Body {
    let parts = [Ok(Bytes::from_static(b"{\"id\": ")), Err(std::io::Error::other("cut"))];
    Body::from_stream(stream::iter(parts))
}

pub(super) fn json_response(status: StatusCode, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
