//! `GET` and `POST /graphql`: operations in the parameters or in the body.

use std::pin::pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use futures_util::future::poll_immediate;
use tokio::time::timeout;

use super::{graphiql, sse};
use crate::config::LimitsConfig;
use crate::domain::ErrorCode;
use crate::http::access_log::AccessLogEntry;
use crate::http::caller_request::{
    CallerRequest, IncomingRequest, MEDIA_TYPES, MEDIA_TYPES_WITH_HTML,
};
use crate::http::negotiation::MediaType;
use crate::http::pipeline::{self, Reply};
use crate::http::refusal::Refusal;
use crate::http::request::{self, IncomingBody};
use crate::http::response_cache::{RequestBytes, RequestEncoding, ResponseKey};
use crate::http::state::Endpoint;

pub(super) async fn get(
    endpoint: &Arc<Endpoint>,
    incoming: IncomingRequest,
) -> Result<Reply, Refusal> {
    let offered = if endpoint.graphql.graphiql { MEDIA_TYPES_WITH_HTML } else { MEDIA_TYPES };
    let media_type = incoming.media_type(offered)?;
    if media_type == MediaType::Html {
        let response = graphiql::page(&endpoint.page_defaults.graphiql);
        return Ok(Reply { response, log: AccessLogEntry::default() });
    }
    let uri = incoming.parts.uri.clone();
    let request = incoming.authenticate(endpoint, media_type).await?;
    let bytes = Bytes::copy_from_slice(uri.query().unwrap_or_default().as_bytes());
    let sent = RequestBytes { encoding: RequestEncoding::Parameters, bytes };
    let reply = execute(endpoint, &request, sent).await;
    Ok(Reply::to_caller(&endpoint.metrics, request.origin.caller, reply))
}

pub(super) async fn post(
    endpoint: &Arc<Endpoint>,
    incoming: IncomingRequest,
    body: impl IncomingBody,
) -> Result<Reply, Refusal> {
    let media_type = incoming.media_type(MEDIA_TYPES)?;
    // Before the body is read: unauthenticated callers get no memory.
    let request = incoming.authenticate(endpoint, media_type).await?;
    let reply = match read_body(endpoint, &request, body).await {
        Ok(bytes) => {
            let sent = RequestBytes { encoding: RequestEncoding::Body, bytes };
            execute(endpoint, &request, sent).await
        }
        Err(refusal) => Err(refusal),
    };
    Ok(Reply::to_caller(&endpoint.metrics, request.origin.caller, reply))
}

async fn execute(
    endpoint: &Arc<Endpoint>,
    request: &CallerRequest,
    sent: RequestBytes,
) -> Result<Reply, Refusal> {
    let RequestBytes { encoding, bytes } = sent.clone();
    let caller = &request.origin.caller;
    // Without a token that the upstream would ask for, there is no data of this caller.
    let data_of = endpoint.records.caller(caller.token.as_ref());
    let key = data_of.map(|data_of| ResponseKey::new(caller, data_of, request.media_type, sent));
    if let Some(key) = &key
        && let Some(reply) = pipeline::cached(endpoint, request, key).await?
    {
        return Ok(reply);
    }
    let operations = match encoding {
        RequestEncoding::Parameters => request::from_query(&bytes)?,
        RequestEncoding::Body => request::from_body(&bytes, endpoint.limits.max_batch)?,
    };
    if request.media_type == MediaType::EventStream {
        // Also by GET: a browser's event source can do nothing else, and a subscription changes nothing.
        return sse::answer(endpoint, request, operations);
    }
    pipeline::run(endpoint, request, operations, encoding, key).await
}

/// Reads the body. A caller whose body has not arrived yet needs a permit to wait.
async fn read_body(
    endpoint: &Endpoint,
    request: &CallerRequest,
    body: impl IncomingBody,
) -> Result<Bytes, Refusal> {
    request::check_content_type(&request.headers)?;
    let LimitsConfig { max_body_bytes, request_timeout, .. } = endpoint.limits;
    let mut reading = pin!(request::body(body, max_body_bytes));
    // Most bodies arrive with the headers: no need to set a timer.
    if let Some(body) = poll_immediate(reading.as_mut()).await {
        return body;
    }
    let permit = endpoint.waiting.try_acquire(request.origin.caller.identity.limit_key(), 1);
    let _permit = permit.ok_or_else(Refusal::too_many_waiting)?;
    timeout(request_timeout, reading).await.map_err(|_| {
        let message = "the body did not arrive within limits.request_timeout";
        Refusal::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, message)
    })?
}
