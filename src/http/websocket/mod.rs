//! GraphQL over WebSocket: the protocol `graphql-transport-ws`
//! (<https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>).
//!
//! tungstenite reads and writes frames. This module takes the handshake, speaks the protocol, and
//! says in close frames why a socket ends.

mod handshake;
mod protocol;
mod transport;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::ServerError;
use axum::http::{StatusCode, header};
use axum::response::Response;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use opentelemetry::trace::SpanContext;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, interval_at};
use tokio_stream::StreamMap;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use self::protocol::{Ending, Incoming};
use self::transport::Transport;
use super::access_log::AccessLogEntry;
use super::auth::{CHECK_INTERVAL, Caller, RequestCredentials};
use super::caller_request::{ClientApp, IncomingRequest, RequestOrigin};
use super::connection_quota::ConnectionPermit;
use super::operation_stream::{self, StreamedAnswer};
use super::refusal::Refusal;
use super::request::Parameters;
use super::spans as http_spans;
use super::state::Endpoint;
use crate::config::Live;
use crate::domain::ErrorCode;
use crate::graphql::{Answer, request_error};
use crate::spans;

/// How long a client may take to send `connection_init`.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same while many sockets have yet to authenticate.
const SHORT_INIT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the client is pinged.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A client that is silent for longer is gone.
const MAX_SILENCE: Duration = Duration::from_secs(45);
/// Operations in progress on one socket.
const MAX_OPERATIONS: usize = 100;

/// Turns a request into a socket.
pub(crate) async fn upgrade(
    endpoints: &Live<Endpoint>,
    incoming: IncomingRequest,
    log: &mut AccessLogEntry,
) -> Result<Response, Refusal> {
    let endpoint = endpoints.get();
    let IncomingRequest { mut parts, peer, id: request_id, app } = incoming;
    handshake::check(&endpoint, &mut parts).await?;
    let presented = endpoint.parts.callers.credentials(&parts.headers)?;
    // Without a credential here, one may come with `connection_init`.
    let caller = match presented.credential {
        Some(_) => Some(endpoint.parts.callers.authenticate(presented.clone(), peer).await?),
        None => None,
    };
    let limit_key = caller.as_ref().map(|caller| caller.identity.limit_key());
    let permit = endpoint.connections.acquire(limit_key)?;
    let (response, on_upgrade) = handshake::switch_protocols(parts)?;
    let speaks_protocol = response.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    let max_message_bytes = endpoint.parts.limits.max_body_bytes;
    let send_timeout = endpoint.parts.subscriptions.send_timeout;
    let session = Session {
        endpoints: endpoints.clone(),
        endpoint: Arc::clone(&endpoint),
        presented,
        peer,
        request_id,
        app,
        span: spans::current(),
        permit,
        caller: None,
        operations: StreamMap::new(),
    };
    endpoint.parts.tasks.spawn(async move {
        // Fails where the connection ends first.
        let Ok(upgraded) = on_upgrade.await else { return };
        let transport = Transport::new(upgraded, max_message_bytes, send_timeout).await;
        session.run(transport, speaks_protocol).await;
    });
    log.caller = caller.and_then(|caller| caller.name);
    Ok(response)
}

/// One socket: its client, and the operations in progress on it.
struct Session {
    endpoints: Live<Endpoint>,
    /// The endpoint that was current at the last message.
    endpoint: Arc<Endpoint>,
    /// The credentials in the headers.
    presented: RequestCredentials,
    peer: IpAddr,
    request_id: Arc<str>,
    /// What `connection_init` says of the client, else what the headers say.
    app: ClientApp,
    /// The span of the request that opened the socket.
    span: SpanContext,
    permit: ConnectionPermit,
    /// Set by `connection_init`.
    caller: Option<Caller>,
    /// The answers of the operations in progress, by their id; `None` ends one.
    operations: StreamMap<String, BoxStream<'static, Option<StreamedAnswer>>>,
}

impl Session {
    async fn run(mut self, mut transport: Transport, speaks_protocol: bool) {
        let ending = if speaks_protocol {
            self.converse(&mut transport).await
        } else {
            Some(protocol::SUBPROTOCOL_NOT_ACCEPTABLE)
        };
        // Operations end, and there is room for another socket, before the client answers the close.
        drop(self);
        transport.close(ending).await;
    }

    async fn converse(&mut self, transport: &mut Transport) -> Ending {
        let stopping = self.endpoint.parts.stopping.clone();
        let opened = Instant::now();
        let mut pings = interval_at(opened + PING_EVERY, PING_EVERY);
        let mut checks = interval(CHECK_INTERVAL);
        let mut last_heard = opened;
        loop {
            let step = tokio::select! {
                received = transport.receive() => {
                    last_heard = Instant::now();
                    match received {
                        Ok(message) => self.hear(message, transport).await,
                        Err(ending) => Err(ending),
                    }
                }
                Some((id, answer)) = self.operations.next() => {
                    self.send(&id, answer, transport).await
                }
                _ = pings.tick() => match last_heard.elapsed() {
                    silence if silence > MAX_SILENCE => Err(Some(protocol::NO_PONG)),
                    _ => transport.send_json(&json!({ "type": "ping" })).await,
                },
                _ = checks.tick() => self.check_caller(opened).map_err(Some),
                () = stopping.cancelled() => Err(Some(protocol::GOING_AWAY)),
            };
            if let Err(ending) = step {
                return ending;
            }
        }
    }

    async fn hear(&mut self, message: Message, transport: &mut Transport) -> Result<(), Ending> {
        let text = match message {
            Message::Text(text) => text,
            // The pong is queued. It goes out before more is read, so that pongs cannot pile up.
            Message::Ping(_) => return transport.flush().await,
            Message::Binary(_) => {
                let reason = "Invalid message: expected text, not binary";
                return Err(Some(protocol::bad_request(reason)));
            }
            Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return Ok(()),
        };
        // Settings may have changed since the last message.
        self.endpoint = self.endpoints.get();
        match Incoming::parse(&text)? {
            Incoming::ConnectionInit { .. } if self.caller.is_some() => {
                Err(Some(protocol::TOO_MANY_INITS))
            }
            Incoming::ConnectionInit { payload } => {
                self.authenticate(payload).await?;
                transport.lift_byte_limit();
                transport.send_json(&json!({ "type": "connection_ack" })).await
            }
            Incoming::Ping { payload: Some(payload) } => {
                transport.send_json(&json!({ "type": "pong", "payload": payload })).await
            }
            Incoming::Ping { payload: None } => {
                transport.send_json(&json!({ "type": "pong" })).await
            }
            Incoming::Pong {} => Ok(()),
            Incoming::Subscribe { id, payload } => Ok(self.subscribe(id, payload)?),
            Incoming::Complete { id } => {
                // Nothing more comes of the operation: its id may be used again.
                self.operations.remove(&id);
                Ok(())
            }
        }
    }

    /// Admits the caller by the credentials of `connection_init`, and by those in the headers where it
    /// has none.
    async fn authenticate(&mut self, payload: Option<Value>) -> Result<(), CloseFrame> {
        let Endpoint { connections, parts, .. } = &*self.endpoint;
        let headers = protocol::headers(payload)?;
        let presented = parts.callers.credentials(&headers).map_err(|_| protocol::FORBIDDEN)?;
        let presented = presented.or(self.presented.clone());
        let is_missing = presented.credential.is_none();
        let caller = parts.callers.authenticate(presented, self.peer).await;
        let caller = caller.map_err(|refusal| match refusal.status() {
            StatusCode::UNAUTHORIZED if is_missing => protocol::UNAUTHORIZED,
            _ => refusal.into(),
        })?;
        let limit_key = Some(caller.identity.limit_key());
        if self.permit.caller != limit_key {
            self.permit = connections.acquire(limit_key)?;
        }
        self.caller = Some(caller);
        self.app = ClientApp::of(&headers).or(std::mem::take(&mut self.app));
        Ok(())
    }

    /// Checks that the caller would still be admitted, or has time left to authenticate.
    fn check_caller(&self, opened: Instant) -> Result<(), CloseFrame> {
        let Endpoint { connections, parts, .. } = &*self.endpoint;
        if let Some(caller) = &self.caller {
            let is_accepted = parts.callers.still_accepts(caller);
            return if is_accepted { Ok(()) } else { Err(protocol::FORBIDDEN) };
        }
        let is_crowded = self.permit.caller.is_none() && connections.is_crowded();
        let timeout = if is_crowded { SHORT_INIT_TIMEOUT } else { INIT_TIMEOUT };
        if opened.elapsed() < timeout { Ok(()) } else { Err(protocol::INIT_TIMEOUT) }
    }

    fn subscribe(&mut self, id: String, payload: Parameters) -> Result<(), CloseFrame> {
        let Some(caller) = self.caller.clone() else { return Err(protocol::UNAUTHORIZED) };
        if !self.endpoint.parts.callers.still_accepts(&caller) {
            return Err(protocol::FORBIDDEN);
        }
        if self.operations.contains_key(&id) {
            return Err(protocol::subscriber_exists(&id));
        }
        let Ok(mut operation) = payload.operation() else {
            return Err(protocol::bad_request("The payload is no GraphQL request"));
        };
        self.endpoint.persisted_queries.resolve(&mut operation);
        if let Err(error) = self.check_limits(&caller) {
            operation.fault = Some(Box::new(error));
        }
        let name = operation.operation_name.as_deref();
        let span = http_spans::socket_operation(&self.span, name, &self.app);
        let (request_id, app) = (Arc::clone(&self.request_id), self.app.clone());
        let origin = RequestOrigin { caller, id: request_id, peer: self.peer, app };
        let asking = origin.asking();
        let answers = operation_stream::answers(&self.endpoint, origin, asking, operation, span);
        let answers = answers.map(Some).chain(stream::iter([None]));
        self.operations.insert(id, answers.boxed());
        Ok(())
    }

    /// Checks that the socket and its caller may have one operation more.
    fn check_limits(&self, caller: &Caller) -> Result<(), ServerError> {
        if self.operations.len() >= MAX_OPERATIONS {
            let message = format!("one socket may have {MAX_OPERATIONS} operations in progress");
            return Err(request_error(ErrorCode::Overloaded, message));
        }
        self.endpoint.take_rate(caller, 1).map_err(Refusal::into_error)
    }

    /// Passes on an answer, or the end of an operation. The `error` of an operation that was refused is
    /// its end, too. No answer goes to a caller whose rights have changed since the operation began.
    async fn send(
        &mut self,
        id: &str,
        answer: Option<StreamedAnswer>,
        transport: &mut Transport,
    ) -> Result<(), Ending> {
        if self
            .caller
            .as_ref()
            .is_some_and(|caller| !self.endpoint.parts.callers.still_accepts(caller))
        {
            return Err(Some(protocol::FORBIDDEN));
        }
        let Some(StreamedAnswer { result, json, room: _kept_until_it_is_sent }) = answer else {
            self.operations.remove(id);
            return transport.send_json(&json!({ "type": "complete", "id": id })).await;
        };
        if let Answer { body: None, errors, .. } = &result {
            self.operations.remove(id);
            let message = json!({ "type": "error", "id": id, "payload": errors });
            return transport.send_json(&message).await;
        }
        transport.send(Message::Text(protocol::next(id, &json))).await
    }
}
