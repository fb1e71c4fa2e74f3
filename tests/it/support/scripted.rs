//! An upstream that counts, delays, cuts and answers oddly, as a test scripts it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Version};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

type Answering = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) version: Version,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// A parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let query = self.path.split_once('?')?.1;
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    fn number(&self, name: &str) -> usize {
        self.parameter(name).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// The requested rows of a list, in the answer's envelope.
    pub(crate) fn page_of(&self, key: &str, rows: &[Value]) -> Reply {
        let (offset, limit) = (self.number("offset"), self.number("limit"));
        let shown: Vec<&Value> = rows.iter().skip(offset).take(limit).collect();
        Reply::json(200, &serde_json::json!({ key: shown, "total_count": rows.len() }))
    }
}

/// What the upstream does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
    },
    /// Headers and a part of the body, then the connection ends.
    CutMidway,
    /// Status, headers and an endless body, byte by byte.
    Trickle {
        status: u16,
        headers: Vec<(String, String)>,
    },
    /// Status, headers and a part of the body, then the connection ends.
    Cut {
        status: u16,
        headers: Vec<(String, String)>,
    },
    /// No answer.
    Hang,
    /// Another reply, once the gate has a permit.
    Held(Arc<Semaphore>, Box<Self>),
}

/// The upstream under a test's control.
#[derive(Clone)]
pub(crate) struct ScriptedUpstream {
    pub(crate) address: SocketAddr,
    script: Arc<Script>,
}

struct Script {
    answering: Mutex<Answering>,
    seen: Mutex<Vec<Seen>>,
    arrived: watch::Sender<usize>,
    /// Each answer takes a permit; normally there are unlimited permits.
    gate: Semaphore,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, &[("content-type", "application/json")], body.to_string())
    }

    pub(crate) fn bytes(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Self {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::Answer { status, headers, body: body.into() }
    }

    fn into_response(self) -> Response {
        match self {
            Self::Answer { status, headers, body } => response(status, headers, Body::from(body)),
            Self::CutMidway => Self::Cut { status: 200, headers: Vec::new() }.into_response(),
            Self::Cut { status, headers } => {
                let part = async { Ok(Bytes::from_static(b"{\"id\":")) };
                let end = async {
                    // The server flushes if no more data follows at once.
                    tokio::task::yield_now().await;
                    Err(io::Error::other("cut"))
                };
                let body = stream::once(part).chain(stream::once(end));
                response(status, headers, Body::from_stream(body))
            }
            Self::Trickle { status, headers } => {
                let pace = tokio::time::interval(Duration::from_millis(5));
                let bytes = stream::unfold(pace, async |mut pace| {
                    pace.tick().await;
                    Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), pace))
                });
                response(status, headers, Body::from_stream(bytes))
            }
            Self::Hang | Self::Held(..) => {
                unreachable!("a request that waits is never turned into a response")
            }
        }
    }
}

fn response(status: u16, headers: Vec<(String, String)>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

impl ScriptedUpstream {
    /// Answers every request with the reply of `answering`.
    pub(crate) async fn start(answering: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let script = Arc::new(Script {
            answering: Mutex::new(Box::new(answering)),
            seen: Mutex::default(),
            arrived: watch::Sender::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
        });
        let router = Router::new().fallback(handle).with_state(Arc::clone(&script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, script }
    }

    /// Changes the answers from now on.
    pub(crate) fn answer_with(&self, answering: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *self.script.answering.lock().unwrap() = Box::new(answering);
    }

    pub(crate) fn requests(&self) -> usize {
        self.script.seen.lock().unwrap().len()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    /// Waits until `requests` have arrived, answered or not.
    pub(crate) async fn arrived(&self, requests: usize) {
        let mut arrived = self.script.arrived.subscribe();
        arrived.wait_for(|count| *count >= requests).await.unwrap();
    }

    /// Holds all answers back.
    pub(crate) fn hold(&self) {
        self.script.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets answers go out again.
    pub(crate) fn release(&self) {
        self.script.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

async fn handle(
    State(script): State<Arc<Script>>,
    request: Request,
) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    // The body is read, so that the connection can be used again.
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
    let (version, method) = (parts.version, parts.method.to_string());
    let seen = Seen { version, method, path, headers: parts.headers, body };
    script.seen.lock().unwrap().push(seen.clone());
    script.arrived.send_modify(|count| *count += 1);
    drop(script.gate.acquire().await);
    let reply = (script.answering.lock().unwrap())(&seen);
    let reply = match reply {
        Reply::Hang => std::future::pending().await,
        Reply::Held(gate, reply) => {
            drop(gate.acquire().await);
            *reply
        }
        reply => reply,
    };
    Ok(reply.into_response())
}
