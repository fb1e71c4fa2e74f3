//! stub
use crate::domain::*;
pub(crate) enum Unlike {
    Error,
    Malformed(String),
}
pub(crate) fn screen_record(_b: &[u8], _z: &jiff::tz::TimeZone) -> Result<ScreenRecord, Unlike> {
    Err(Unlike::Error)
}
