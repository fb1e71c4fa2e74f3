//! stub
use crate::domain::*;
use http::HeaderMap;
pub(crate) struct RawAnswer<'a> {
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    Caller,
    Gateway,
}
pub(crate) fn read(
    raw: &RawAnswer<'_>,
    _w: Whose,
    _s: &[&str],
    _now: jiff::Timestamp,
) -> (Failure, Option<String>) {
    let _ = (raw.status, raw.headers, raw.body);
    (Failure::Overloaded, None)
}
