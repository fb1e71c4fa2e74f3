//! What the fuzz targets in `fuzz/` check: each takes any bytes and fails where a property does not hold.
//!
//! No part of the gateway. Built for its tests, which replay what is kept in `fuzz/` and change it at
//! random, and under the feature `fuzzing`, for libFuzzer. See `docs/FUZZING.md`.

#[cfg(test)]
mod tests;

use crate::{config, graphql, http, records, upstream};

/// A target: any bytes, and what has to hold of them.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As its files and folders in `fuzz/` are named.
    pub name: &'static str,
    /// Panics where a property does not hold.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 10] = [
    Target { name: "timestamp", run: timestamp },
    Target { name: "wire", run: wire },
    Target { name: "failure", run: failure },
    Target { name: "document", run: document },
    Target { name: "execution", run: execution },
    Target { name: "request", run: request },
    Target { name: "cursor", run: cursor },
    Target { name: "entry", run: entry },
    Target { name: "news", run: news },
    Target { name: "config", run: config },
];

/// A text as the value of a timestamp: read alike however it is quoted, in every zone, again when it
/// is written, and as another reader reads it.
pub fn timestamp(bytes: &[u8]) {
    upstream::fuzz::timestamp(bytes);
}

/// The body of a success: read as a tree of values would be, and what cannot be read is cut.
pub fn wire(bytes: &[u8]) {
    upstream::fuzz::wire(bytes);
}

/// An error answer: bounded texts, without the secrets that the call was made with.
pub fn failure(bytes: &[u8]) {
    upstream::fuzz::failure(bytes);
}

/// A document: refused with places inside it, or valid, bounded, and executed without a bug.
pub fn document(bytes: &[u8]) {
    graphql::fuzz::document(bytes);
}

/// A document: what its plan answers, async-graphql answers too, byte for byte.
pub fn execution(bytes: &[u8]) {
    graphql::fuzz::execution(bytes);
}

/// An HTTP request's parameters or body.
pub fn request(bytes: &[u8]) {
    http::fuzz::request(bytes);
}

/// A cursor, and a list that is paged through from there.
pub fn cursor(bytes: &[u8]) {
    records::fuzz::cursor(bytes);
}

/// An entry of the cache that replicas share: written again, it is the same.
pub fn entry(bytes: &[u8]) {
    records::fuzz::entry(bytes);
}

/// A message of another replica: told again, it is the same.
pub fn news(bytes: &[u8]) {
    records::fuzz::news(bytes);
}

/// A settings file: accepted or refused the same way twice, in few words, and without a secret.
pub fn config(bytes: &[u8]) {
    config::fuzz::config(bytes);
}
