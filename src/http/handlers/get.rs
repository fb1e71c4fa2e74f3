//! `GET /graphql`: an operation in the parameters, or GraphiQL.

use std::sync::Arc;

use super::{graphiql, sse};
use crate::http::access_log::AccessLogEntry;
use crate::http::caller_request::{
    CallerRequest, IncomingRequest, MEDIA_TYPES, MEDIA_TYPES_WITH_HTML,
};
use crate::http::negotiation::MediaType;
use crate::http::pipeline::{self, Reply};
use crate::http::refusal::Refusal;
use crate::http::request;
use crate::http::response_cache::{RequestBytes, RequestEncoding};
use crate::http::state::Endpoint;

pub(super) async fn answer(
    endpoint: &Arc<Endpoint>,
    incoming: IncomingRequest,
) -> Result<Reply, Refusal> {
    let offered = if endpoint.serves_graphiql { MEDIA_TYPES_WITH_HTML } else { MEDIA_TYPES };
    let media_type = incoming.media_type(offered)?;
    if media_type == MediaType::Html {
        let response = graphiql::page(&endpoint.page_defaults.graphiql);
        return Ok(Reply { response, log: AccessLogEntry::default() });
    }
    let uri = incoming.parts.uri.clone();
    let request = incoming.authenticate(endpoint, media_type).await?;
    let reply = execute(endpoint, &request, uri.query().unwrap_or_default()).await;
    Ok(Reply::to_caller(&endpoint.metrics, request.origin.caller, reply))
}

async fn execute(
    endpoint: &Arc<Endpoint>,
    request: &CallerRequest,
    parameters: &str,
) -> Result<Reply, Refusal> {
    let bytes = parameters.as_bytes();
    let sent = RequestBytes { encoding: RequestEncoding::Parameters, bytes };
    if let Some(reply) = pipeline::cached(endpoint, request, sent).await? {
        return Ok(reply);
    }
    let operations = request::from_query(parameters)?;
    if request.media_type == MediaType::EventStream {
        // A browser's event source can only GET, and a subscription changes nothing.
        return sse::answer(endpoint, request, operations);
    }
    pipeline::run(endpoint, request, operations, sent).await
}
