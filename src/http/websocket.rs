//! GraphQL over WebSocket: the protocol `graphql-transport-ws`
//! (<https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql_axum::GraphQLProtocol;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::stream::{self, AbortHandle, BoxStream, SelectAll, StreamExt as _, abortable};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, interval_at, sleep, timeout};

use super::caller;
use super::cross_site;
use super::endpoint::Endpoint;
use super::places::{CallersPlace, Exhausted};
use super::refusal::Refusal;
use super::request;
use super::response::Served;
use crate::domain::Token;
use crate::graphql::{Answer, ErrorCode, Operation, OperationContext, request_error};
use crate::records::Asking;

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
    GoingAway,
    SlowConsumer,
    Invalid(&'static str),
    Unauthorized,
    Forbidden,
    NotAcceptable,
    InitTimeout,
    TwoInits,
    /// An id that is in use; the reason names it.
    Subscriber,
    Exhausted(Exhausted),
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
type Event = (String, Option<Served>);

/// One socket and what runs on it.
struct Session {
    endpoint: Arc<Endpoint>,
    token: Option<Token>,
    request_id: Arc<str>,
    acknowledged: bool,
    /// The caller's place, once the caller is known.
    place: Option<CallersPlace>,
    operations: SelectAll<BoxStream<'static, Event>>,
    under_way: HashMap<String, AbortHandle>,
}

/// A socket, and how long a message may take to go out.
struct Line {
    socket: WebSocket,
    send_timeout: Duration,
}

/// Turns a request into a socket.
pub(crate) async fn upgrade(
    endpoint: &Arc<Endpoint>,
    mut parts: Parts,
    request_id: Arc<str>,
) -> Result<Response, Refusal> {
    cross_site::check_websocket(&parts.headers, &endpoint.allow_origins)?;
    if GraphQLProtocol::from_request_parts(&mut parts, &()).await.is_err() {
        let message = format!("no GraphQL protocol is offered: {PROTOCOL} is spoken");
        return Err(Refusal::bad_request(message));
    }
    let token = caller::token(&parts.headers)?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map_err(|_| {
        let message = "the request cannot be upgraded to a WebSocket";
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message)
    })?;
    let place = endpoint.places.take()?;
    let session = Session {
        endpoint: Arc::clone(endpoint),
        token,
        request_id,
        acknowledged: false,
        place: None,
        operations: SelectAll::new(),
        under_way: HashMap::new(),
    };
    let running = endpoint.tasks.token();
    let largest = endpoint.limits.max_body_bytes;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(largest);
    Ok(upgrade.on_upgrade(move |socket| async move {
        session.run(socket).await;
        drop((place, running));
    }))
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
                Some((id, served)) = self.operations.next() => self.tell(id, served, line).await,
                () = &mut init_is_late, if !self.acknowledged => Err(Closing::InitTimeout),
                _ = pings.tick() => {
                    if last_heard.elapsed() > SILENCE {
                        return None;
                    }
                    line.say(&json!({ "type": "ping" })).await
                }
                () = stopping.cancelled() => Err(Closing::GoingAway),
            };
            if let Err(closing) = step {
                return Some(closing);
            }
        }
    }

    async fn hear(&mut self, text: &str, line: &mut Line) -> Result<(), Closing> {
        let Ok(message) = serde_json::from_str(text) else {
            return Err(Closing::Invalid("Invalid message received"));
        };
        match message {
            Incoming::ConnectionInit { .. } if self.acknowledged => Err(Closing::TwoInits),
            Incoming::ConnectionInit { payload } => {
                self.authenticate(payload)?;
                let caller = self.endpoint.records.caller(self.token.as_ref());
                self.place = self.endpoint.places.take_for(caller).map_err(Closing::Exhausted)?;
                self.acknowledged = true;
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
            Incoming::Subscribe { .. } if !self.acknowledged => Err(Closing::Unauthorized),
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

    /// The token of `connection_init` stands under the names that headers have.
    fn authenticate(&mut self, payload: Option<Value>) -> Result<(), Closing> {
        let members = match payload {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Object(members)) => members,
            Some(_) => return Err(Closing::Invalid("The payload has to be an object")),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &members {
            let name = name.to_ascii_lowercase();
            if !matches!(name.as_str(), "x-auth-token" | "authorization") {
                continue;
            }
            let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
            let (Ok(name), Some(value)) = (name.parse::<HeaderName>(), value) else {
                return Err(Closing::Forbidden);
            };
            headers.insert(name, value);
        }
        if let Some(token) = caller::token(&headers).map_err(|_| Closing::Forbidden)? {
            self.token = Some(token);
        }
        Ok(())
    }

    fn subscribe(&mut self, id: String, payload: Map<String, Value>) -> Result<(), Closing> {
        let Ok(mut operation) = request::operation(payload) else {
            return Err(Closing::Invalid("The payload is no GraphQL request"));
        };
        self.endpoint.documents.resolve(&mut operation);
        let answers = if self.under_way.len() >= MOST_OPERATIONS {
            let message = format!("the socket has {MOST_OPERATIONS} operations under way");
            let error = request_error(ErrorCode::Overloaded, message);
            stream::iter([Served::refused(error)]).boxed()
        } else {
            self.answers(operation)
        };
        let named = id.clone();
        let events = answers.map(Some).chain(stream::iter([None]));
        let events = events.map(move |served| (named.clone(), served));
        let (events, handle) = abortable(events);
        self.under_way.insert(id, handle);
        self.operations.push(events.boxed());
        Ok(())
    }

    fn answers(&self, operation: Operation) -> BoxStream<'static, Served> {
        let Endpoint { engine, records, limits, .. } = &*self.endpoint;
        let asking = Asking {
            token: self.token.clone(),
            request_id: Arc::clone(&self.request_id),
            ..Asking::default()
        };
        let reader = Arc::new(records.reader(asking));
        let context = OperationContext::new(Arc::clone(&reader), limits.request_timeout);
        match engine.admit(vec![operation]).map(|mut admitted| admitted.pop()) {
            Ok(Some(admitted)) => engine
                .execute_stream(admitted, context)
                .map(move |answer| Served { answer, summary: reader.summary() })
                .boxed(),
            Ok(None) => stream::empty().boxed(),
            Err(error) => stream::iter([Served::refused(error)]).boxed(),
        }
    }

    /// Passes on what an operation has to say. An operation that was refused says `error`, which
    /// ends it.
    async fn tell(
        &mut self,
        id: String,
        served: Option<Served>,
        line: &mut Line,
    ) -> Result<(), Closing> {
        let Some(served) = served else {
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
        let payload: Value = served
            .json()
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default();
        line.say(&json!({ "type": "next", "id": id, "payload": payload })).await
    }
}

impl Line {
    async fn say(&mut self, message: &Value) -> Result<(), Closing> {
        self.send(Message::Text(message.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Closing> {
        match timeout(self.send_timeout, self.socket.send(message)).await {
            // A socket that is broken says so at the next reading.
            Ok(_) => Ok(()),
            Err(_) => Err(Closing::SlowConsumer),
        }
    }
}

impl Closing {
    fn frame(self) -> CloseFrame {
        let (code, reason) = match self {
            // The protocol has no code of its own for it; this one tells clients to come back later.
            Self::Exhausted(Exhausted { allowed }) => {
                let reason = format!("This caller may have {allowed} connections");
                return CloseFrame { code: 1013, reason: reason.into() };
            }
            Self::GoingAway => (1001, "Going away"),
            Self::SlowConsumer => (1008, "Messages were not read in time"),
            Self::Invalid(reason) => (4400, reason),
            Self::Unauthorized => (4401, "Unauthorized"),
            Self::Forbidden => (4403, "Forbidden"),
            Self::NotAcceptable => (4406, "Subprotocol not acceptable"),
            Self::InitTimeout => (4408, "Connection initialisation timeout"),
            Self::Subscriber => (4409, "Subscriber already exists"),
            Self::TwoInits => (4429, "Too many initialisation requests"),
        };
        CloseFrame { code, reason: reason.into() }
    }
}
