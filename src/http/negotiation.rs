//! Chooses the media type of an answer by the `Accept` header (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

use super::header_fields;

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

    fn type_name(self) -> TypeName {
        match self {
            Self::Json => TypeName("application", "json"),
            Self::GraphqlResponse => TypeName("application", "graphql-response+json"),
            Self::Html => TypeName("text", "html"),
            Self::EventStream => TypeName("text", "event-stream"),
        }
    }
}

/// A type and its subtype.
#[derive(Clone, Copy)]
pub(super) struct TypeName(pub(super) &'static str, pub(super) &'static str);

/// A media range and its quality.
struct Range<'h> {
    main: &'h str,
    sub: &'h str,
    /// In thousandths.
    quality: u16,
}

/// The offered type with the highest quality, then the one that a range names most closely, then the first.
/// `None` if no offered type is accepted.
pub(crate) fn negotiate(headers: &HeaderMap, offered: &[MediaType]) -> Option<MediaType> {
    let mut values = headers.get_all(header::ACCEPT).iter();
    if let (Some(only), None) = (values.next(), values.next())
        && let Some(form) = named(only.as_bytes(), offered)
    {
        return Some(form);
    }
    if ranges(headers).next().is_none() {
        return offered.first().copied();
    }
    let mut best: Option<((u16, u8), MediaType)> = None;
    for form in offered {
        let Some(rank) = rank(form.type_name(), headers) else { continue };
        if best.is_none_or(|(best, _)| rank > best) {
            best = Some((rank, *form));
        }
    }
    best.map(|(_, form)| form)
}

/// The short way for the usual headers: `*/*`, or one type alone.
fn named(accepted: &[u8], offered: &[MediaType]) -> Option<MediaType> {
    let form = match accepted {
        b"*/*" => return offered.first().copied(),
        b"application/json" => MediaType::Json,
        b"application/graphql-response+json" => MediaType::GraphqlResponse,
        _ => return None,
    };
    offered.contains(&form).then_some(form)
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = Range<'_>> {
    header_fields::list(headers, &header::ACCEPT).filter_map(Range::parse)
}

/// The quality of a media type, then the closeness, by the range that names it most closely.
pub(super) fn rank(type_name: TypeName, headers: &HeaderMap) -> Option<(u16, u8)> {
    let closest = ranges(headers)
        .filter_map(|range| Some((range.closeness(type_name)?, range.quality)))
        .max()?;
    let (closeness, quality) = closest;
    (quality > 0).then_some((quality, closeness))
}

impl<'h> Range<'h> {
    fn parse(text: &'h str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (main, sub) = parts.next()?.split_once('/')?;
        let quality = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(Some(1000), |(_, value)| thousandths(value.trim()))?;
        Some(Self { main: main.trim(), sub: sub.trim(), quality })
    }

    /// 3 names the media type itself, 2 its main type, 1 everything.
    fn closeness(&self, TypeName(main, sub): TypeName) -> Option<u8> {
        match (self.main, self.sub) {
            ("*", "*") => Some(1),
            (range, "*") if range.eq_ignore_ascii_case(main) => Some(2),
            (range, named)
                if range.eq_ignore_ascii_case(main) && named.eq_ignore_ascii_case(sub) =>
            {
                Some(3)
            }
            _ => None,
        }
    }
}

/// A quality value, in thousandths; `None` if it is not from 0 to 1.
pub(super) fn thousandths(quality: &str) -> Option<u16> {
    let quality: f32 = quality.parse().ok().filter(|q| (0.0..=1.0).contains(q))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000, checked here"
    )]
    Some((quality * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_wanted_most_is_chosen() {
        use MediaType::{GraphqlResponse, Html, Json};
        for (accept, chosen) in [
            ("", Some(Json)),
            ("*/*", Some(Json)),
            ("application/*", Some(Json)),
            ("application/json", Some(Json)),
            ("application/graphql-response+json", Some(GraphqlResponse)),
            (
                "application/graphql-response+json; charset=utf-8, application/json;q=0.9",
                Some(GraphqlResponse),
            ),
            ("application/graphql-response+json;q=0.5, application/json", Some(Json)),
            ("application/json;q=0, */*", Some(GraphqlResponse)),
            ("APPLICATION/JSON", Some(Json)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Html)),
            ("*/*, application/graphql-response+json", Some(GraphqlResponse)),
            ("image/png", None),
            ("application/json;q=0", None),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }

            let form = negotiate(&headers, &[Json, GraphqlResponse, Html]);

            assert_eq!(form, chosen, "of {accept:?}");
        }
    }
}
