//! What the load generator is told, and what it tells.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::asks::Asks;

/// One run of the load generator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where the requests go.
    pub address: SocketAddr,
    /// The process whose processor time is measured.
    pub process: u32,
    /// Connections, each with one request under way at most.
    pub connections: usize,
    /// What is asked.
    pub asks: Asks,
    /// What the answers have to hold.
    pub expects: Expects,
    /// The number of the first request; what is asked follows from a request's number.
    pub first: u64,
    /// How many requests, or for how long.
    pub pace: Pace,
}

/// What an answer has to hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Expects {
    /// What was asked for.
    WhatWasAsked,
    /// The same text always, since the server always says the same.
    Always(String),
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Pace {
    /// So many, each as soon as a connection is free.
    Count(u64),
    /// Each as soon as a connection is free: some seconds that do not count, then some that do.
    Closed {
        /// Seconds before.
        before: f64,
        /// Seconds that count.
        seconds: f64,
    },
    /// At a fixed rate, whether answers come or not. Latency counts from when a request was due, so
    /// a server that stalls is charged for all that waited.
    Open {
        /// Requests a second.
        rate: f64,
        /// Seconds.
        seconds: f64,
    },
}

/// What a run came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Requests that count, all of them answered right.
    pub requests: u64,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Processor time of the server in nanoseconds.
    pub processor_ns: u64,
    /// Median latency in milliseconds.
    pub median_ms: f64,
    /// 99th percentile of latency in milliseconds.
    pub p99_ms: f64,
    /// Highest latency in milliseconds.
    pub highest_ms: f64,
    /// The number that the next run may begin with.
    pub next: u64,
}

impl Measured {
    /// Processor time for one request in microseconds.
    pub fn microseconds(&self) -> f64 {
        self.processor_ns as f64 / 1e3 / self.requests.max(1) as f64
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// The share of wall time that the server was running: near 1 where the load generator kept up.
    pub fn busy(&self) -> f64 {
        self.processor_ns as f64 / 1e9 / self.seconds
    }
}
