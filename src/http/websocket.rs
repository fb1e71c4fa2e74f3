//! GraphQL over WebSocket: the protocol `graphql-transport-ws`
//! (<https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::ServerError;
use async_graphql_axum::GraphQLProtocol;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::stream::{self, AbortHandle, BoxStream, SelectAll, StreamExt as _, abortable};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, interval, interval_at, sleep, timeout};

use super::callers::{Caller, LOOK_EVERY, Presented, Stranger};
use super::connection_quota::{self, ConnectionPermit};
use super::csrf;
use super::endpoint::Endpoint;
use super::operation_stream::{self, StreamedAnswer, StreamedOperation};
use super::rate::TooMany;
use super::refusal::Refusal;
use super::request;
use super::traced;
use crate::graphql::{Answer, ErrorCode, Operation, request_error};
use crate::records::Asking;
use crate::trace::Trace;

/// The one protocol that is spoken.
const PROTOCOL: &str = "graphql-transport-ws";
/// How long a client may take to send `connection_init`.
const INIT_WITHIN: Duration = Duration::from_secs(10);
/// How often the client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A client that was silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// Operations under way on one socket.
const MOST_OPERATIONS: usize = 100;

/// Why a socket is closed: the codes of the protocol, and of WebSocket itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// There is nothing yet to check callers by.
    TryLater,
    GoingAway,
    SlowConsumer,
    Invalid(&'static str),
    /// The caller has not shown who they are.
    Unauthorized,
    /// What the caller showed is no good, or no longer.
    Forbidden,
    NotAcceptable,
    InitTimeout,
    TwoInits,
    /// The caller has so many connections already.
    TooManyConnections(usize),
    /// An id that is in use; the reason names it.
    Subscriber,
}

/// A message of the client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Incoming {
    ConnectionInit {
        #[serde(default)]
        payload: Option<Value>,
    },
    Ping {
        #[serde(default)]
        payload: Option<Value>,
    },
    Pong {},
    Subscribe {
        id: String,
        payload: Map<String, Value>,
    },
    Complete {
        id: String,
    },
}

/// What an operation has to say: an answer, or that it is done.
type Event = (String, Option<StreamedAnswer>);

/// One socket and what runs on it.
struct Session {
    endpoint: Arc<Endpoint>,
    /// What came with the headers.
    presented: Presented,
    from: Option<IpAddr>,
    request_id: Arc<str>,
    /// Where it was upgraded.
    trace: Trace,
    /// Once acknowledged.
    admitted: Option<Admitted>,
    operations: SelectAll<BoxStream<'static, Event>>,
    under_way: HashMap<String, AbortHandle>,
}

/// A socket, and how long a message may take to go out.
struct Line {
    socket: WebSocket,
    send_timeout: Duration,
}

/// Who was let in, and their place.
struct Admitted {
    caller: Caller,
    #[expect(dead_code, reason = "held for as long as the socket lives")]
    place: ConnectionPermit,
}

/// Turns a request into a socket.
pub(crate) async fn upgrade(
    endpoint: &Arc<Endpoint>,
    (mut parts, from): (Parts, Option<IpAddr>),
    (request_id, trace): (Arc<str>, Trace),
) -> Result<(Response, Option<Arc<str>>), Refusal> {
    csrf::check(&parts.method, &parts.headers, &endpoint.allow_origins)?;
    if GraphQLProtocol::from_request_parts(&mut parts, &()).await.is_err() {
        let message = format!("no GraphQL protocol is offered: {PROTOCOL} is spoken");
        return Err(Refusal::bad_request(message));
    }
    let presented = endpoint.callers.presented(&parts.headers)?;
    let mut name = None;
    if presented.credential.is_some() {
        // A bad one is refused at once; where there is none it may still come with the first message.
        let admitted = endpoint.callers.admit(presented.clone(), from).await;
        name = admitted.map_err(Refusal::stranger)?.name;
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map_err(|_| {
        let message = "the request cannot be upgraded to a WebSocket";
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message)
    })?;
    let Ok(place) = Arc::clone(&endpoint.long_lived).try_acquire_owned() else {
        return Err(Refusal::overloaded());
    };
    let session = Session {
        endpoint: Arc::clone(endpoint),
        presented,
        from,
        request_id,
        trace,
        admitted: None,
        operations: SelectAll::new(),
        under_way: HashMap::new(),
    };
    let running = endpoint.tasks.token();
    let largest = endpoint.limits.max_body_bytes;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(largest);
    let response = upgrade.on_upgrade(move |socket| async move {
        session.run(socket).await;
        drop((place, running));
    });
    Ok((response, name))
}

impl Session {
    async fn run(mut self, socket: WebSocket) {
        let spoken = socket.protocol().is_some_and(|protocol| protocol == PROTOCOL);
        let mut line = Line { socket, send_timeout: self.endpoint.subscriptions.send_timeout };
        let closing =
            if spoken { self.converse(&mut line).await } else { Some(Closing::NotAcceptable) };
        if let Some(closing) = closing {
            let frame = closing.frame();
            tracing::debug!(code = frame.code, reason = %frame.reason, "a socket was closed");
            let _ = line.send(Message::Close(Some(frame))).await;
        }
    }

    /// Until the client leaves (`None`) or there is a reason to close.
    async fn converse(&mut self, line: &mut Line) -> Option<Closing> {
        let stopping = self.endpoint.stopping.clone();
        let init_is_late = sleep(INIT_WITHIN);
        tokio::pin!(init_is_late);
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let mut looks = interval(LOOK_EVERY);
        let mut last_heard = Instant::now();
        loop {
            let step = tokio::select! {
                message = line.socket.recv() => {
                    last_heard = Instant::now();
                    match message {
                        None | Some(Err(_) | Ok(Message::Close(_))) => return None,
                        Some(Ok(Message::Text(text))) => self.hear(text.as_str(), line).await,
                        Some(Ok(Message::Binary(_))) => Err(Closing::Invalid("Invalid message")),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                    }
                }
                Some((id, answer)) = self.operations.next() => self.tell(id, answer, line).await,
                () = &mut init_is_late, if self.admitted.is_none() => Err(Closing::InitTimeout),
                _ = pings.tick() => {
                    if last_heard.elapsed() > SILENCE {
                        return None;
                    }
                    line.say(&json!({ "type": "ping" })).await
                }
                _ = looks.tick() => self.check_standing(),
                () = stopping.cancelled() => Err(Closing::GoingAway),
            };
            if let Err(closing) = step {
                return Some(closing);
            }
        }
    }

    async fn hear(&mut self, text: &str, line: &mut Line) -> Result<(), Closing> {
        // Settings may have changed since the last message.
        if let Some(newest) = self.endpoint.newest.endpoint() {
            self.endpoint = newest;
        }
        let Ok(message) = serde_json::from_str(text) else {
            return Err(Closing::Invalid("Invalid message received"));
        };
        match message {
            Incoming::ConnectionInit { .. } if self.admitted.is_some() => Err(Closing::TwoInits),
            Incoming::ConnectionInit { payload } => {
                self.authenticate(payload).await?;
                line.say(&json!({ "type": "connection_ack" })).await
            }
            Incoming::Ping { payload } => {
                let pong = match payload {
                    Some(payload) => json!({ "type": "pong", "payload": payload }),
                    None => json!({ "type": "pong" }),
                };
                line.say(&pong).await
            }
            Incoming::Pong {} => Ok(()),
            Incoming::Subscribe { .. } if self.admitted.is_none() => Err(Closing::Unauthorized),
            Incoming::Subscribe { id, .. } if self.under_way.contains_key(&id) => {
                Err(Closing::Subscriber)
            }
            Incoming::Subscribe { id, payload } => self.subscribe(id, payload),
            Incoming::Complete { id } => {
                if let Some(operation) = self.under_way.remove(&id) {
                    operation.abort();
                }
                Ok(())
            }
        }
    }

    /// Lets the caller in by what came with `connection_init`, and by the headers where that is silent.
    async fn authenticate(&mut self, payload: Option<Value>) -> Result<(), Closing> {
        let Endpoint { callers, connections, .. } = &*self.endpoint;
        let headers = headers_of(payload)?;
        let presented = callers.presented(&headers).map_err(|_| Closing::Forbidden)?;
        let presented = presented.or(self.presented.clone());
        let caller = callers.admit(presented, self.from).await.map_err(Closing::from)?;
        let too_many = Closing::TooManyConnections(connections.limit());
        let place = connections.acquire(caller.identity.limit_key()).ok_or(too_many)?;
        self.admitted = Some(Admitted { caller, place });
        Ok(())
    }

    /// Whether the caller would still be let in.
    fn check_standing(&self) -> Result<(), Closing> {
        match &self.admitted {
            Some(admitted) if !self.endpoint.callers.still_admits(&admitted.caller) => {
                Err(Closing::Forbidden)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn subscribe(&mut self, id: String, payload: Map<String, Value>) -> Result<(), Closing> {
        let Ok(mut operation) = request::operation(payload) else {
            return Err(Closing::Invalid("The payload is no GraphQL request"));
        };
        self.endpoint.documents.resolve(&mut operation);
        let Some(Admitted { caller, .. }) = &self.admitted else {
            return Err(Closing::Unauthorized);
        };
        let answers = self.answers(caller, operation);
        let named = id.clone();
        let events = answers.map(Some).chain(stream::iter([None]));
        let events = events.map(move |served| (named.clone(), served));
        let (events, handle) = abortable(events);
        self.under_way.insert(id, handle);
        self.operations.push(events.boxed());
        Ok(())
    }

    fn answers(
        &self,
        caller: &Caller,
        mut operation: Operation,
    ) -> BoxStream<'static, StreamedAnswer> {
        if let Err(error) = self.check_place(caller) {
            operation.fault = Some(Box::new(error));
        }
        let Caller { identity, token, projects, name, .. } = caller.clone();
        let (request_id, trace) = (Arc::clone(&self.request_id), self.trace.clone());
        let span = traced::socket_operation(&trace, operation.operation_name.as_deref());
        let asking = Asking { identity, token, projects, request_id, ..Asking::default() };
        let streamed = StreamedOperation { operation, asking, caller_name: name, span };
        operation_stream::answers(&self.endpoint, streamed)
    }

    /// Whether the socket and its caller may have one operation more.
    fn check_place(&self, caller: &Caller) -> Result<(), ServerError> {
        if self.under_way.len() >= MOST_OPERATIONS {
            let message = format!("the socket has {MOST_OPERATIONS} operations under way");
            return Err(request_error(ErrorCode::Overloaded, message));
        }
        self.endpoint.rates.take(|| caller.identity.limit_key(), 1).map_err(TooMany::error)
    }

    /// Passes on what an operation has to say. An operation that was refused says `error`, which
    /// ends it.
    async fn tell(
        &mut self,
        id: String,
        answer: Option<StreamedAnswer>,
        line: &mut Line,
    ) -> Result<(), Closing> {
        let Some(StreamedAnswer { served, json }) = answer else {
            if self.under_way.remove(&id).is_none() {
                return Ok(());
            }
            return line.say(&json!({ "type": "complete", "id": id })).await;
        };
        if let Answer::Refused(response) = &served.answer {
            self.under_way.remove(&id);
            let errors = &response.errors;
            return line.say(&json!({ "type": "error", "id": id, "payload": errors })).await;
        }
        // As it was written: clients are promised the document's order.
        let json = String::from_utf8(json.into()).ok();
        let payload = json.and_then(|json| RawValue::from_string(json).ok());
        line.say(&Next { kind: "next", id: &id, payload }).await
    }
}

/// An answer of an operation.
#[derive(Serialize)]
struct Next<'n> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'n str,
    payload: Option<Box<RawValue>>,
}

impl Line {
    async fn say(&mut self, message: &impl Serialize) -> Result<(), Closing> {
        // Texts and objects of them can always be written.
        let text = serde_json::to_string(message).unwrap_or_default();
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Closing> {
        match timeout(self.send_timeout, self.socket.send(message)).await {
            // A socket that is broken says so at the next reading.
            Ok(_) => Ok(()),
            Err(_) => Err(Closing::SlowConsumer),
        }
    }
}

/// The headers that the payload of `connection_init` stands for, under the names that they have.
fn headers_of(payload: Option<Value>) -> Result<HeaderMap, Closing> {
    let mut headers = HeaderMap::new();
    let members = match payload {
        None | Some(Value::Null) => return Ok(headers),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(Closing::Invalid("The payload has to be an object")),
    };
    for (name, value) in &members {
        let name = name.to_ascii_lowercase();
        if !matches!(name.as_str(), "x-auth-token" | "x-api-key" | "authorization") {
            continue;
        }
        let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
        let (Ok(name), Some(value)) = (name.parse::<HeaderName>(), value) else {
            return Err(Closing::Forbidden);
        };
        headers.insert(name, value);
    }
    Ok(headers)
}

impl From<Stranger> for Closing {
    fn from(stranger: Stranger) -> Self {
        match stranger {
            Stranger::Nameless(_) => Self::Unauthorized,
            Stranger::Refused(_) => Self::Forbidden,
            Stranger::Unknowable => Self::TryLater,
        }
    }
}

impl Closing {
    fn frame(self) -> CloseFrame {
        let (code, reason) = match self {
            Self::GoingAway => (1001, "Going away"),
            Self::TryLater => (1013, "Try again later"),
            Self::SlowConsumer => (1008, "Messages were not read in time"),
            Self::Invalid(reason) => (4400, reason),
            Self::Unauthorized => (4401, "Unauthorized"),
            Self::Forbidden => (4403, "Forbidden"),
            Self::NotAcceptable => (4406, "Subprotocol not acceptable"),
            Self::InitTimeout => (4408, "Connection initialisation timeout"),
            Self::Subscriber => (4409, "Subscriber already exists"),
            Self::TwoInits => (4429, "Too many initialisation requests"),
            Self::TooManyConnections(most) => {
                return CloseFrame { code: 4429, reason: connection_quota::message(most).into() };
            }
        };
        CloseFrame { code, reason: reason.into() }
    }
}
