//! Content codings: how the bodies of responses are compressed.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};

/// What servers are asked for.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, deflate");

/// Why a body cannot be decoded, as a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("is in a coding that was not asked for: gzip and deflate are accepted")]
    UnknownCoding,
    #[error("cannot be decompressed")]
    Corrupt,
    #[error("is larger than {max} bytes")]
    TooLarge { max: usize },
}

/// Decodes a body as its headers say, up to `max` bytes.
pub(super) fn decode(
    headers: &HeaderMap,
    mut body: Bytes,
    max: usize,
) -> Result<Bytes, DecodeError> {
    if body.is_empty() {
        return Ok(body);
    }
    let mut names = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        names.extend(value.to_str().map_err(|_| DecodeError::UnknownCoding)?.split(','));
    }
    // The last coding was applied last.
    for name in names.into_iter().rev() {
        body = match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => body,
            "gzip" | "x-gzip" => read_bounded(MultiGzDecoder::new(&*body), max)?,
            "deflate" => inflate(&body, max)?,
            _ => return Err(DecodeError::UnknownCoding),
        };
    }
    Ok(body)
}

/// `deflate` means the zlib format (RFC 9110), but some servers send the compressed data without it.
fn inflate(body: &[u8], max: usize) -> Result<Bytes, DecodeError> {
    match read_bounded(ZlibDecoder::new(body), max) {
        Err(DecodeError::Corrupt) => read_bounded(DeflateDecoder::new(body), max),
        decoded => decoded,
    }
}

fn read_bounded(decoder: impl Read, max: usize) -> Result<Bytes, DecodeError> {
    let mut body = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut body).map_err(|_| DecodeError::Corrupt)?;
    if body.len() > max {
        return Err(DecodeError::TooLarge { max });
    }
    Ok(Bytes::from(body))
}
