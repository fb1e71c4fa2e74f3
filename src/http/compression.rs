//! Encodes bodies: compresses large ones for clients that accept it (RFC 9110, section 12.5.3), and adds
//! validators.
//!
//! Small answers, which are most, cost one comparison. docs/PERFORMANCE.md has the measurements behind codings,
//! levels and sizes.
//!
//! An answer with a signed link is never compressed: its length would reveal what the link has in common with
//! text that an attacker may choose (BREACH, <https://breachattack.com>).

use std::io::{self, Write as _};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use flate2::write::GzEncoder;
use tokio::task::JoinError;
use tokio_util::task::TaskTracker;

use super::caller_request::CallerRequest;
use super::refusal::Refusal;
use super::response::CompleteResponse;
use super::{etag, header_fields};

/// The least length that is compressed, in bytes: five recordings.
const LEAST: usize = 4 * 1024;
/// Work about more bytes than this would keep a runtime thread from other requests for too long.
const MOST_INLINE_BYTES: usize = 16 * 1024;

/// The supported codings, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

/// The coding to send a body in: the one that the client prefers, then the one that is best. `None` if the body
/// is small, or the client prefers no coding or accepts none of these: the body is then sent as it is, even if the
/// client refuses `identity`.
pub(crate) fn choose(request: &HeaderMap, body: &[u8]) -> Option<Coding> {
    if body.len() < LEAST {
        return None;
    }
    let best = Coding::ALL.into_iter().max_by_key(|coding| quality(request, coding.name()))?;
    let (wanted, plain) = (quality(request, best.name()), quality(request, "identity"));
    (wanted > 0 && wanted >= plain).then_some(best)
}

/// The quality of a coding in `Accept-Encoding`, in thousandths.
fn quality(request: &HeaderMap, coding: &str) -> u16 {
    let of = |coding: &str| {
        let all = header_fields::weighted(request, &header::ACCEPT_ENCODING);
        let is_it = |name: &str| {
            name.eq_ignore_ascii_case(coding)
                || coding == "gzip" && name.eq_ignore_ascii_case("x-gzip")
        };
        all.filter(|one| is_it(one.value)).last().map(|one| one.quality)
    };
    of(coding).or_else(|| of("*")).unwrap_or_default()
}

/// Adds the validator of an answer by GET, whose body is left out where the client has it, and compresses the
/// body.
///
/// # Errors
/// When hashing panics.
pub(crate) async fn encode(
    request: &CallerRequest,
    mut response: CompleteResponse,
    coding: Option<Coding>,
    tasks: &TaskTracker,
) -> Result<CompleteResponse, Refusal> {
    if request.by_get && response.status == StatusCode::OK {
        let content = response.body.clone();
        let tag = move || etag::etag(&content, coding.map(Coding::name));
        let etag = run(tasks, response.body.len(), tag).await.map_err(|_| Refusal::panicked())?;
        let is_known = etag::has(&request.headers, &etag);
        response.headers.insert(header::ETAG, etag);
        if is_known {
            response.status = StatusCode::NOT_MODIFIED;
            response.headers.remove(header::CONTENT_TYPE);
            response.body = Bytes::new();
            return Ok(response);
        }
    }
    let Some(coding) = coding else { return Ok(response) };
    let plain = response.body.clone();
    let compressed = run(tasks, plain.len(), move || coding.compress(&plain)).await;
    match compressed.map_err(io::Error::other).flatten() {
        Ok(body) => {
            response.headers.insert(header::CONTENT_ENCODING, coding.header());
            response.body = body;
        }
        Err(error) => {
            tracing::warn!(
                request.id = &*request.origin.id,
                %error,
                "an answer could not be compressed and is sent as it is"
            );
        }
    }
    Ok(response)
}

/// Compresses or hashes `bytes` bytes: at once if they are few, else on a thread for blocking work.
///
/// # Errors
/// When the work panics on such a thread.
pub(crate) async fn run<T: Send + 'static>(
    tasks: &TaskTracker,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if bytes > MOST_INLINE_BYTES { tasks.spawn_blocking(work).await } else { Ok(work()) }
}

impl Coding {
    const ALL: [Self; 3] = [Self::Gzip, Self::Brotli, Self::Zstd];

    /// Its name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
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
    pub(crate) fn compress(self, plain: &[u8]) -> io::Result<Bytes> {
        let mut body = Vec::with_capacity(plain.len() / 2);
        match self {
            Self::Gzip => {
                GzEncoder::new(&mut body, flate2::Compression::fast()).write_all(plain)?;
            }
            Self::Brotli => {
                let terms = brotli::enc::BrotliEncoderParams {
                    quality: 1,
                    size_hint: plain.len(),
                    ..brotli::enc::BrotliEncoderParams::default()
                };
                brotli::BrotliCompress(&mut &*plain, &mut body, &terms)?;
            }
            Self::Zstd => body = zstd::bulk::compress(plain, 1)?,
        }
        Ok(body.into())
    }
}
