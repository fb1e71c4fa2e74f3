//! Chooses the media type of an answer by the `Accept` header (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, StatusCode, header};

use super::header_fields::{self, Weighted};
use super::refusal::Refusal;
use crate::domain::ErrorCode;

/// The media type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MediaType {
    /// `application/json`: status 200 for every well-formed request.
    Json,
    /// `application/graphql-response+json`: 400 for a request that was not executed.
    GraphqlResponse,
    /// `text/html`: GraphiQL.
    Html,
    /// `text/event-stream`: one event for each answer.
    EventStream,
}

impl MediaType {
    /// The value of `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::EventStream => "text/event-stream",
        }
    }

    /// The type without parameters.
    fn essence(self) -> &'static str {
        let (essence, _) = self.content_type().split_once(';').unwrap_or((self.content_type(), ""));
        essence
    }
}

/// The media types of responses to operations.
pub(crate) const MEDIA_TYPES: &[MediaType] =
    &[MediaType::Json, MediaType::GraphqlResponse, MediaType::EventStream];
/// The same where a browser may ask for GraphiQL.
pub(crate) const MEDIA_TYPES_WITH_HTML: &[MediaType] =
    &[MediaType::Json, MediaType::GraphqlResponse, MediaType::EventStream, MediaType::Html];

/// How much a media type is wanted: its quality, then how closely a range names it.
type Rank = (u16, u8);

/// The offered type with the highest quality, then the one that a range names most closely, then the first.
///
/// # Errors
/// If no offered type is accepted.
pub(crate) fn negotiate(headers: &HeaderMap, offered: &[MediaType]) -> Result<MediaType, Refusal> {
    accepted(headers, offered).ok_or_else(|| {
        let message = "none of the accepted media types can be served: \
                       application/graphql-response+json, application/json and text/event-stream can";
        Refusal::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::BadRequest, message)
    })
}

fn accepted(headers: &HeaderMap, offered: &[MediaType]) -> Option<MediaType> {
    let mut values = headers.get_all(header::ACCEPT).iter();
    if let (Some(only), None) = (values.next(), values.next())
        && let Some(form) = named(only.as_bytes(), offered)
    {
        return Some(form);
    }
    if !ranges(headers).any(|range| range.value.contains('/')) {
        return offered.first().copied();
    }
    let ranked =
        offered.iter().rev().filter_map(|form| Some((rank(form.essence(), headers)?, form)));
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, form)| *form)
}

/// The short way for the usual headers: `*/*`, or one type alone.
fn named(accept: &[u8], offered: &[MediaType]) -> Option<MediaType> {
    let form = match accept {
        b"*/*" => return offered.first().copied(),
        b"application/json" => MediaType::Json,
        b"application/graphql-response+json" => MediaType::GraphqlResponse,
        _ => return None,
    };
    offered.contains(&form).then_some(form)
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = Weighted<'_>> {
    header_fields::weighted(headers, &header::ACCEPT)
}

/// The rank of a media type, by the range that names it most closely.
pub(super) fn rank(media_type: &str, headers: &HeaderMap) -> Option<Rank> {
    let closest = ranges(headers)
        .filter_map(|range| Some((closeness(range.value, media_type)?, range.quality)))
        .max()?;
    let (closeness, quality) = closest;
    (quality > 0).then_some((quality, closeness))
}

/// 3 names the media type itself, 2 its main type, 1 everything.
fn closeness(range: &str, media_type: &str) -> Option<u8> {
    let (main, _) = media_type.split_once('/')?;
    match range.strip_suffix("/*") {
        Some("*") => Some(1),
        Some(range) => range.eq_ignore_ascii_case(main).then_some(2),
        None => range.eq_ignore_ascii_case(media_type).then_some(3),
    }
}
