//! The GraphQL schema and its execution.
//!
//! Asks `records` for data and turns each [`Failure`](crate::domain::Failure) into a GraphQL error
//! in one place. Knows nothing of HTTP.

mod context;
mod query;
mod subscription;
mod screen_record;
mod desktop_operation;
mod desktop;
mod connection;
mod filter;
mod field;
mod entity;
mod enums;
mod scalars;
mod error;
mod order;
mod values;
mod variables;
pub mod guard;
mod plain;
mod known;
mod recall;
mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;

pub use context::OperationContext;
pub use engine::{Admitted, Answer, Engine, Operation, PersistedQuery, federation_sdl, sdl};
pub use error::{ErrorCode, rate_limited, request_error};
pub use guard::{Guard, Measure, Refusal};
pub use plain::Written;
pub use values::{Flat, FlatVariables, Values};
