//! Reads bodies of HTTP messages up to a limit.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body;

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is larger than the limit.
    TooLarge,
    /// It ended early, or cannot be decoded.
    Broken,
}

/// Reads a body of at most `limit` bytes. A body of one piece, as most are, is not copied.
pub(crate) async fn read_body<B>(body: B, limit: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Broken),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    async fn read(pieces: &[&'static str], limit: usize) -> Result<Bytes, BodyError> {
        let frame = |piece: &&'static str| {
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes())))
        };
        read_body(
            StreamBody::new(stream::iter(pieces.iter().map(frame).collect::<Vec<_>>())),
            limit,
        )
        .await
    }

    #[tokio::test]
    async fn pieces_are_joined_up_to_the_limit() {
        for (pieces, body) in [
            (&[][..], ""),
            (&["one"], "one"),
            (&["", "one", "", "two"], "onetwo"),
            (&["a", "b", "cdef"], "abcdef"),
        ] {
            assert_eq!(read(pieces, body.len()).await.unwrap(), body);
            if !body.is_empty() {
                let refused = read(pieces, body.len() - 1).await;
                assert!(matches!(refused, Err(BodyError::TooLarge)), "{pieces:?}");
            }
        }
    }

    #[tokio::test]
    async fn one_piece_is_not_copied() {
        let piece = Bytes::from_static(b"one");

        let body = read_body(Full::new(piece.clone()), 3).await.unwrap();

        assert_eq!(body.as_ptr(), piece.as_ptr());
    }
}
