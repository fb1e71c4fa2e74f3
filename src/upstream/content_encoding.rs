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

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
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
    // The last coding was applied last.
    for coding in codings(headers)?.into_iter().rev() {
        body = match coding {
            Coding::Gzip => read_bounded(MultiGzDecoder::new(&*body), max)?,
            Coding::Deflate => inflate(&body, max)?,
        };
    }
    Ok(body)
}

fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, DecodeError> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let names = value.to_str().map_err(|_| DecodeError::UnknownCoding)?;
        for name in names.split(',').map(str::trim) {
            match name.to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" => codings.push(Coding::Deflate),
                _ => return Err(DecodeError::UnknownCoding),
            }
        }
    }
    Ok(codings)
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
