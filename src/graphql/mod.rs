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
mod values;
mod sdl;
mod literals;
mod document;
mod limits;
mod variables;
mod plan;
mod response_shape;
mod conversion;
mod document_cache;
mod recall;
mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;

pub use context::OperationContext;
pub use engine::{Admitted, Answer, Engine, Operation, PersistedQuery};
pub use error::{ErrorCode, rate_limited, request_error};
pub use plan::Written;
pub use sdl::{federation_sdl, sdl};
pub use values::{Flat, FlatVariables, Values};
