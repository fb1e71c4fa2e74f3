//! One socket: its client, and the operations in progress on it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::ServerError;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use opentelemetry::trace::SpanContext;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, interval, interval_at};
use tokio_stream::StreamMap;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use super::close::{self, Ending};
use super::message::{self, Incoming};
use super::transport::Transport;
use crate::domain::ErrorCode;
use crate::graphql::{Answer, Operation, request_error};
use crate::http::auth::{CHECK_INTERVAL, Caller, RequestCredentials};
use crate::http::client_app::ClientApp;
use crate::http::connection_quota::ConnectionPermit;
use crate::http::operation_stream::{self, StreamedAnswer};
use crate::http::refusal::Refusal;
use crate::http::request::Parameters;
use crate::http::request_origin::RequestOrigin;
use crate::http::spans;
use crate::http::state::Endpoint;

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

/// The client, and the request that opened the socket.
pub(super) struct Client {
    /// The credentials in the headers.
    pub(super) presented: RequestCredentials,
    pub(super) peer: Option<IpAddr>,
    pub(super) request_id: Arc<str>,
    /// What `connection_init` says of the client, else what the headers say.
    pub(super) app: ClientApp,
    /// The span of that request.
    pub(super) span: SpanContext,
}

/// The limit that a socket counts towards.
pub(super) enum SocketPermit {
    Unauthenticated(
        #[expect(dead_code, reason = "held while the socket lives")] OwnedSemaphorePermit,
    ),
    Caller(ConnectionPermit),
}

/// One socket and what runs on it.
pub(super) struct Session {
    endpoint: Arc<Endpoint>,
    client: Client,
    permit: SocketPermit,
    /// Set by `connection_init`.
    caller: Option<Caller>,
    /// The answers of the operations in progress, by their id; `None` ends one.
    operations: StreamMap<String, BoxStream<'static, Option<StreamedAnswer>>>,
}

impl Session {
    pub(super) fn new(endpoint: Arc<Endpoint>, client: Client, permit: SocketPermit) -> Self {
        Self { endpoint, client, permit, caller: None, operations: StreamMap::new() }
    }

    pub(super) async fn run(mut self, mut transport: Transport, speaks_protocol: bool) {
        let ending = if speaks_protocol {
            self.converse(&mut transport).await
        } else {
            close::SUBPROTOCOL_NOT_ACCEPTABLE.into()
        };
        // Operations end, and there is room for another socket, before the client answers the close.
        drop(self);
        transport.close(ending).await;
    }

    async fn converse(&mut self, transport: &mut Transport) -> Ending {
        let stopping = self.endpoint.stopping.clone();
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
                    silence if silence > MAX_SILENCE => Err(close::NO_PONG.into()),
                    _ => transport.send_json(&json!({ "type": "ping" })).await,
                },
                _ = checks.tick() => self.check_caller(opened).map_err(Ending::from),
                () = stopping.cancelled() => Err(close::GOING_AWAY.into()),
            };
            if let Err(ending) = step {
                return ending;
            }
        }
    }

    async fn hear(&mut self, message: Message, transport: &mut Transport) -> Result<(), Ending> {
        match message {
            Message::Text(text) => self.obey(Incoming::parse(&text)?, transport).await,
            // The pong is queued. It goes out before more is read, so that pongs cannot pile up.
            Message::Ping(_) => transport.flush().await,
            Message::Binary(_) => {
                Err(close::bad_request("Invalid message: expected text, not binary").into())
            }
            Message::Pong(_) | Message::Close(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn obey(&mut self, message: Incoming, transport: &mut Transport) -> Result<(), Ending> {
        // Settings may have changed since the last message.
        if let Some(current) = self.endpoint.current.get() {
            self.endpoint = current;
        }
        match message {
            Incoming::ConnectionInit { .. } if self.caller.is_some() => {
                Err(close::TOO_MANY_INITS.into())
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
        let Endpoint { callers, connections, .. } = &*self.endpoint;
        let headers = message::headers(payload)?;
        let presented = callers.credentials(&headers).map_err(|_| close::FORBIDDEN)?;
        let presented = presented.or(self.client.presented.clone());
        let caller = callers.authenticate(presented, self.client.peer).await?;
        let key = caller.identity.limit_key();
        let is_counted = match &self.permit {
            SocketPermit::Caller(permit) => permit.is_of(&key),
            SocketPermit::Unauthenticated(_) => false,
        };
        if !is_counted {
            self.permit = SocketPermit::Caller(connections.acquire(key)?);
        }
        self.caller = Some(caller);
        self.client.app = ClientApp::of(&headers).or(std::mem::take(&mut self.client.app));
        Ok(())
    }

    /// Checks that the caller would still be admitted, or has time left to authenticate.
    fn check_caller(&self, opened: Instant) -> Result<(), CloseFrame> {
        match (&self.caller, &self.permit) {
            (Some(caller), _) if self.endpoint.callers.still_accepts(caller) => Ok(()),
            (Some(_), _) => Err(close::FORBIDDEN),
            (None, permit) => {
                let is_unknown = matches!(permit, SocketPermit::Unauthenticated(_));
                let is_crowded = is_unknown && self.endpoint.connections.is_crowded();
                let timeout = if is_crowded { SHORT_INIT_TIMEOUT } else { INIT_TIMEOUT };
                let is_late = opened.elapsed() >= timeout;
                if is_late { Err(close::INIT_TIMEOUT) } else { Ok(()) }
            }
        }
    }

    fn subscribe(&mut self, id: String, payload: Parameters) -> Result<(), CloseFrame> {
        let Some(caller) = &self.caller else { return Err(close::UNAUTHORIZED) };
        if !self.endpoint.callers.still_accepts(caller) {
            return Err(close::FORBIDDEN);
        }
        if self.operations.contains_key(&id) {
            return Err(close::subscriber_exists(&id));
        }
        let Ok(mut operation) = payload.operation() else {
            return Err(close::bad_request("The payload is no GraphQL request"));
        };
        self.endpoint.persisted_queries.resolve(&mut operation);
        if let Err(error) = self.check_limits(caller) {
            operation.fault = Some(Box::new(error));
        }
        let answers = self.answers(caller, operation).map(Some).chain(stream::iter([None]));
        self.operations.insert(id, answers.boxed());
        Ok(())
    }

    fn answers(&self, caller: &Caller, operation: Operation) -> BoxStream<'static, StreamedAnswer> {
        let Client { request_id, peer, app, span, .. } = &self.client;
        let (caller, id, app) = (caller.clone(), Arc::clone(request_id), app.clone());
        let span = spans::socket_operation(span, operation.operation_name.as_deref(), &app);
        let origin = RequestOrigin { caller, id, peer: *peer, app };
        let asking = origin.asking();
        operation_stream::answers(&self.endpoint, origin, asking, operation, span)
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
        if self.caller.as_ref().is_some_and(|caller| !self.endpoint.callers.still_accepts(caller)) {
            return Err(close::FORBIDDEN.into());
        }
        let Some(StreamedAnswer { result, json, room: _kept_until_it_is_sent }) = answer else {
            self.operations.remove(id);
            return transport.send_json(&json!({ "type": "complete", "id": id })).await;
        };
        if let Answer::Refused(errors) = &result {
            self.operations.remove(id);
            let message = json!({ "type": "error", "id": id, "payload": errors });
            return transport.send_json(&message).await;
        }
        transport.send(Message::Text(message::next(id, &json))).await
    }
}
