//! Compresses large answers for clients that accept it (RFC 9110, section 12.5.3).
//!
//! Small answers, which are most, cost one comparison. docs/PERFORMANCE.md has the measurements behind codings,
//! levels and sizes.
//!
//! An answer with a signed link is never compressed: its length would reveal what the link has in common with
//! text that an attacker may choose (BREACH, <https://breachattack.com>).

use std::io::{self, Write as _};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use flate2::write::GzEncoder;
use tokio_util::task::TaskTracker;

use super::header_fields;
use super::heavy;
use super::negotiation::thousandths;
use super::response::CompleteResponse;

/// The least length that is compressed, in bytes: five recordings.
pub(crate) const LEAST: usize = 4 * 1024;

/// The compression level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For answers that are sent once.
    Least,
    /// For files that are compressed once and sent many times.
    Fair,
}

/// The supported codings, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

/// The qualities in `Accept-Encoding`, in thousandths; `None` for a coding that is not named.
#[derive(Clone, Copy, Debug, Default)]
struct Accepted {
    zstd: Option<u16>,
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    /// For codings that are not named.
    others: Option<u16>,
}

/// The coding to send a body in; `None` where it is sent as it is.
pub(crate) fn choose(request: &HeaderMap, body: &Bytes) -> Option<Coding> {
    (body.len() >= LEAST).then(|| accepted(request)).flatten()
}

/// Compresses a response.
pub(crate) async fn compressed(
    mut response: CompleteResponse,
    coding: Coding,
    tasks: &TaskTracker,
) -> CompleteResponse {
    let plain = response.body.clone();
    let compress = move || coding.compress(&plain, Effort::Least);
    let body = heavy::run(tasks, response.body.len(), compress).await;
    if let Some(body) = good(body.map_err(io::Error::other).flatten()) {
        response.headers.insert(header::CONTENT_ENCODING, coding.header());
        response.body = body;
    }
    response
}

/// The compressed body; `None`, after a log line, if compression failed.
fn good(body: io::Result<Bytes>) -> Option<Bytes> {
    let failed = |error: &io::Error| {
        tracing::warn!(%error, "an answer could not be compressed and is sent as it is");
    };
    body.inspect_err(failed).ok()
}

/// The coding that a client prefers, then the one that is best. `None` if the client prefers no coding or
/// accepts none of these: the body is then sent as it is, even if the client refuses `identity`.
pub(crate) fn accepted(request: &HeaderMap) -> Option<Coding> {
    let accepted = Accepted::read(request);
    let wanted = |coding: Coding| Some((accepted.quality(coding).filter(|q| *q > 0)?, coding));
    let mut best: Option<(u16, Coding)> = None;
    for (quality, coding) in Coding::ALL.into_iter().filter_map(wanted) {
        if best.is_none_or(|(most, _)| quality > most) {
            best = Some((quality, coding));
        }
    }
    let plain = accepted.identity.or(accepted.others).unwrap_or_default();
    best.filter(|(quality, _)| *quality >= plain).map(|(_, coding)| coding)
}

impl Accepted {
    fn read(request: &HeaderMap) -> Self {
        let mut accepted = Self::default();
        let elements = header_fields::list(request, &header::ACCEPT_ENCODING);
        for (name, quality) in elements.filter_map(weighted) {
            let place = match name.to_ascii_lowercase().as_str() {
                "zstd" => &mut accepted.zstd,
                "br" => &mut accepted.brotli,
                "gzip" | "x-gzip" => &mut accepted.gzip,
                "identity" => &mut accepted.identity,
                "*" => &mut accepted.others,
                _ => continue,
            };
            *place = Some(quality);
        }
        accepted
    }

    fn quality(&self, coding: Coding) -> Option<u16> {
        let named = match coding {
            Coding::Zstd => self.zstd,
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
        };
        named.or(self.others)
    }
}

/// A coding and its quality; `None` if it is malformed.
fn weighted(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let quality = match parts.next() {
        None => 1000,
        Some(weight) => {
            let (q, value) = weight.split_once('=')?;
            q.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()))??
        }
    };
    Some((name, quality))
}

impl Coding {
    pub(crate) const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Its name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The value of `Content-Encoding`.
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// Compresses a body.
    ///
    /// # Errors
    /// When memory cannot be allocated.
    pub(crate) fn compress(self, plain: &[u8], effort: Effort) -> io::Result<Bytes> {
        let is_least = effort == Effort::Least;
        let body = match self {
            Self::Zstd => zstd::bulk::compress(plain, if is_least { 1 } else { 6 })?,
            Self::Brotli => brotli(plain, if is_least { 1 } else { 5 })?,
            Self::Gzip => {
                let level = flate2::Compression::new(if is_least { 1 } else { 6 });
                let mut writer = GzEncoder::new(Vec::with_capacity(plain.len() / 2), level);
                writer.write_all(plain)?;
                writer.finish()?
            }
        };
        Ok(body.into())
    }
}

fn brotli(plain: &[u8], quality: i32) -> io::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(plain.len() / 2);
    let terms = brotli::enc::BrotliEncoderParams {
        quality,
        size_hint: plain.len(),
        ..brotli::enc::BrotliEncoderParams::default()
    };
    brotli::BrotliCompress(&mut &*plain, &mut body, &terms)?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_wanted_most_is_chosen() {
        use Coding::{Brotli, Gzip, Zstd};
        for (accept, chosen) in [
            ("", None),
            ("gzip", Some(Gzip)),
            ("X-GZIP", Some(Gzip)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Brotli)),
            ("gzip;q=1.0, br;q=0.9, zstd;q=0.8", Some(Gzip)),
            ("gzip ; q=0.5", Some(Gzip)),
            ("*", Some(Zstd)),
            ("*;q=0.1, zstd;q=0", Some(Brotli)),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("identity;q=0.1, gzip;q=0.5", Some(Gzip)),
            ("identity;q=0, gzip;q=0.001", Some(Gzip)),
            ("gzip;q=0.5, *;q=0", Some(Gzip)),
            ("gzip;q=0.5, *;q=0.7", Some(Zstd)),
            ("gzip;q=0, br;q=0, zstd;q=0", None),
            ("*;q=0", None),
            ("identity;q=0", None),
            ("identity;q=0, compress", None),
            ("deflate, compress", None),
            ("gzip;q=2", None),
            ("gzip;level=9", None),
            (";q=1, gzip", Some(Gzip)),
        ] {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().unwrap())]);

            assert_eq!(accepted(&headers), chosen, "of {accept:?}");
        }
        assert_eq!(accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn what_stands_in_several_lines_is_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip;q=0.5"));
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("br;q=0.7"));

        assert_eq!(accepted(&headers), Some(Coding::Brotli));
    }
}
