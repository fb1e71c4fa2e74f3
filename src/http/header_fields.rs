//! Header fields that may come once, and those that are lists.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::refusal::Refusal;

/// Elements of a list that are read.
const MOST_ELEMENTS: usize = 64;
/// Bytes of a list that are read.
const MOST_BYTES: usize = 4096;

/// A field that may come once. Two values would let two servers read two different messages.
pub(crate) fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => {
            Err(Refusal::bad_request(format!("the header {name} is given more than once")))
        }
    }
}

/// The elements of a list (RFC 9110, section 5.6.1), without the blanks around them. A header may have 96 KiB, and
/// clients send a handful of elements, so what is over the bounds is ignored. So is a line that is not visible
/// ASCII.
pub(crate) fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let mut bytes_left = MOST_BYTES;
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let bounded = lines.map(move |line| match line.get(..bytes_left) {
        Some(cut) if cut.len() < line.len() => {
            bytes_left = 0;
            whole_elements(cut)
        }
        _ => {
            bytes_left -= line.len();
            line
        }
    });
    let elements = bounded.flat_map(|line| line.split(',')).map(str::trim);
    elements.filter(|element| !element.is_empty()).take(MOST_ELEMENTS)
}

/// An element of a list of preferences, and its quality in thousandths (RFC 9110, section 12.4.2).
pub(crate) struct Weighted<'h> {
    pub(crate) value: &'h str,
    pub(crate) quality: u16,
}

/// The elements of a list of preferences. One whose quality is not from 0 to 1 is ignored.
pub(crate) fn weighted<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Weighted<'h>> {
    list(headers, name).filter_map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let value = parts.next()?;
        let mut parameters = parts.filter_map(|parameter| parameter.split_once('='));
        let quality = parameters
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(Some(1000), |(_, quality)| thousandths(quality.trim()))?;
        Some(Weighted { value, quality })
    })
}

fn thousandths(quality: &str) -> Option<u16> {
    let quality: f32 = quality.parse().ok().filter(|q| (0.0..=1.0).contains(q))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000, checked here"
    )]
    Some((quality * 1000.0).round() as u16)
}

/// A truncated list without its last element, which may be incomplete.
fn whole_elements(cut: &str) -> &str {
    cut.rsplit_once(',').map_or("", |(whole, _)| whole)
}
