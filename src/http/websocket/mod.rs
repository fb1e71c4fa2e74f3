//! GraphQL over WebSocket: the protocol `graphql-transport-ws`
//! (<https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>).
//!
//! tungstenite reads and writes frames. This module takes the handshake, speaks the protocol, and
//! says in close frames why a socket ends.

mod close;
mod transport;
mod message;
mod session;

use std::sync::Arc;

use async_graphql_axum::GraphQLProtocol;
use axum::body::Body;
use axum::extract::FromRequestParts as _;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use self::session::{Client, Session, SocketPermit};
use self::transport::Transport;
use super::access_log::AccessLogEntry;
use super::caller_request::IncomingRequest;
use super::csrf;
use super::pipeline::Reply;
use super::refusal::Refusal;
use super::state::Endpoint;
use crate::domain::ErrorCode;
use crate::spans;

/// The only subprotocol.
const PROTOCOL: &str = "graphql-transport-ws";
/// The only version of WebSocket there is (RFC 6455, section 4.1).
const VERSION: &str = "13";

/// Turns a request into a socket.
pub(crate) async fn upgrade(
    endpoint: &Arc<Endpoint>,
    incoming: IncomingRequest,
) -> Result<Reply, Refusal> {
    let IncomingRequest { mut parts, peer, id: request_id, app } = incoming;
    check(endpoint, &mut parts).await?;
    let presented = endpoint.callers.credentials(&parts.headers)?;
    // Without a credential here, one may come with `connection_init`.
    let caller = match presented.credential {
        Some(_) => {
            let caller = endpoint.callers.authenticate(presented.clone(), peer).await;
            Some(caller.map_err(Refusal::unauthenticated)?)
        }
        None => None,
    };
    let permit = match &caller {
        Some(caller) => {
            SocketPermit::Caller(endpoint.connections.acquire(caller.identity.limit_key())?)
        }
        None => SocketPermit::Unauthenticated(endpoint.connections.acquire_unauthenticated()?),
    };
    let speaks_protocol = offers_protocol(&parts.headers);
    let (response, on_upgrade) = switch_protocols(parts)?;
    let max_message_bytes = endpoint.limits.max_body_bytes;
    let send_timeout = endpoint.subscriptions.send_timeout;
    let client = Client { presented, peer, request_id, app, span: spans::current() };
    let session = Session::new(Arc::clone(endpoint), client, permit);
    endpoint.tasks.spawn(async move {
        // Fails where the connection ends first.
        let Ok(upgraded) = on_upgrade.await else { return };
        let transport = Transport::new(upgraded, max_message_bytes, send_timeout).await;
        session.run(transport, speaks_protocol).await;
    });
    let log = AccessLogEntry::of(caller.and_then(|caller| caller.name), None);
    Ok(Reply { response, log })
}

/// Refuses pages of other sites, other versions of WebSocket, and clients without a GraphQL protocol.
async fn check(endpoint: &Endpoint, parts: &mut Parts) -> Result<(), Refusal> {
    csrf::check(&parts.method, &parts.headers, &endpoint.graphql.allow_origins)?;
    let version = parts.headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != VERSION) {
        let message = format!("Sec-WebSocket-Version has to be {VERSION}");
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, ErrorCode::BadRequest, message)
            .with(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION))
            .with(header::UPGRADE, HeaderValue::from_static("websocket"))
            .with(header::CONNECTION, HeaderValue::from_static("upgrade")));
    }
    if GraphQLProtocol::from_request_parts(parts, &()).await.is_err() {
        let message = format!("no GraphQL protocol is offered: {PROTOCOL} is spoken");
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}

fn offers_protocol(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut names = offered.flat_map(|offered| offered.as_bytes().split(|byte| *byte == b','));
    names.any(|name| name.trim_ascii() == PROTOCOL.as_bytes())
}

fn switch_protocols(parts: Parts) -> Result<(Response, OnUpgrade), Refusal> {
    let not_a_handshake = |problem: &dyn std::fmt::Display| {
        Refusal::bad_request(format!("the request is no WebSocket handshake: {problem}"))
    };
    let mut request = Request::from_parts(parts, ());
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    if key.is_some_and(|key| !is_key(key)) {
        return Err(not_a_handshake(&"Sec-WebSocket-Key has to be 16 bytes in Base64"));
    }
    let response = create_response_with_body(&request, Body::empty);
    let mut response = response.map_err(|error| not_a_handshake(&error))?;
    if offers_protocol(request.headers()) {
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let on_upgrade = on_upgrade.ok_or_else(|| not_a_handshake(&"HTTP/1.1 is needed"))?;
    Ok((response, on_upgrade))
}

fn is_key(value: &HeaderValue) -> bool {
    BASE64_STANDARD.decode(value).is_ok_and(|key| key.len() == 16)
}
