//! The handshake of a WebSocket: which requests become one, and the answer to them.

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

use crate::domain::ErrorCode;
use crate::http::csrf;
use crate::http::refusal::Refusal;
use crate::http::state::Endpoint;

/// The only subprotocol.
const PROTOCOL: &str = "graphql-transport-ws";
/// The only version of WebSocket there is (RFC 6455, section 4.1).
const VERSION: &str = "13";

/// Refuses pages of other sites, other versions of WebSocket, and clients without a GraphQL protocol.
pub(super) async fn check(endpoint: &Endpoint, parts: &mut Parts) -> Result<(), Refusal> {
    csrf::check(&parts.method, &parts.headers, &endpoint.parts.graphql.allow_origins)?;
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

pub(super) fn switch_protocols(parts: Parts) -> Result<(Response, OnUpgrade), Refusal> {
    let not_a_handshake = |problem: &dyn std::fmt::Display| {
        Refusal::bad_request(format!("the request is no WebSocket handshake: {problem}"))
    };
    let mut request = Request::from_parts(parts, ());
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    if key.is_some_and(|key| BASE64_STANDARD.decode(key).map_or(0, |key| key.len()) != 16) {
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
