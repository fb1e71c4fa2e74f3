//! A GraphQL gateway in front of Huawei Cloud Workspace's screen-recording REST API.
//!
//! The areas, in reading order: a request comes in through [`http`], is executed by [`graphql`],
//! which asks [`records`] for data; what is not cached comes from [`upstream`], which reads the
//! wire into [`domain`] values. [`app`] builds all parts and runs them.

pub mod version;
pub mod domain;
pub mod clock;
pub mod signature;
mod resizable_semaphore;
mod fair_semaphore;
mod body_limit;
mod error_chain;
mod counters;
pub mod spans;
pub mod config;
pub mod telemetry;
pub mod upstream;
pub mod records;
pub mod graphql;
pub mod http;
pub mod simulator;
pub mod app;
mod checks;
pub mod cli;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
