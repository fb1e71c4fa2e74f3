//! What the fuzz targets in `fuzz/` check: each takes any bytes and fails where a property does not hold.
//!
//! No part of the gateway. Built for its tests, which replay what is kept in `fuzz/` and change it at
//! random, and under the feature `fuzzing`, for libFuzzer. See `docs/FUZZING.md`.

#[cfg(test)]
mod tests;

pub use crate::config::fuzz::config;
pub use crate::graphql::fuzz::{document, execution};
pub use crate::http::fuzz::request;
pub use crate::records::fuzz::{cursor, entry, news};
pub use crate::upstream::fuzz::{failure, timestamp, wire};
