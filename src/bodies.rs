//! Bodies of HTTP messages, taken in whole and bounded.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;

/// Why a body is not there.
#[derive(Debug)]
pub(crate) enum Unread<E> {
    /// It has more bytes than are allowed.
    TooLarge,
    /// It broke off, or cannot be decoded.
    Broken(E),
}

/// Takes in a body of which no more than `most` bytes are allowed. Most bodies come in one piece, which
/// is passed on as it is.
pub(crate) async fn whole<B: Body<Data = Bytes>>(
    body: B,
    most: usize,
) -> Result<Bytes, Unread<B::Error>> {
    let mut body = pin!(body);
    let (mut first, mut several) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.as_mut().frame().await {
        let piece = frame.map_err(Unread::Broken)?.into_data().unwrap_or_default();
        if first.len().max(several.len()) + piece.len() > most {
            return Err(Unread::TooLarge);
        }
        if first.is_empty() {
            first = piece;
            if body.is_end_stream() {
                return Ok(first);
            }
            continue;
        }
        if several.is_empty() {
            several.extend_from_slice(&first);
        }
        several.extend_from_slice(&piece);
    }
    Ok(if several.is_empty() { first } else { several.freeze() })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    async fn taken(pieces: &[&'static str], most: usize) -> Result<Bytes, Unread<Infallible>> {
        let frame = |piece: &&'static str| Ok(Frame::data(Bytes::from_static(piece.as_bytes())));
        whole(StreamBody::new(stream::iter(pieces.iter().map(frame).collect::<Vec<_>>())), most)
            .await
    }

    #[tokio::test]
    async fn pieces_are_put_together_up_to_what_is_allowed() {
        for (pieces, body) in [
            (&[][..], ""),
            (&["one"], "one"),
            (&["", "one", "", "two"], "onetwo"),
            (&["a", "b", "cdef"], "abcdef"),
        ] {
            assert_eq!(taken(pieces, body.len()).await.unwrap(), body);
            if !body.is_empty() {
                let refused = taken(pieces, body.len() - 1).await;
                assert!(matches!(refused, Err(Unread::TooLarge)), "{pieces:?}");
            }
        }
    }

    #[tokio::test]
    async fn one_piece_is_not_copied() {
        let piece = Bytes::from_static(b"one");

        let body = whole(Full::new(piece.clone()), 3).await.unwrap();

        assert_eq!(body.as_ptr(), piece.as_ptr());
    }
}
