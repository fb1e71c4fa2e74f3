//! The GraphQL schema and its execution.
//!
//! Asks `records` for data and turns each [`Failure`](crate::domain::Failure) into a GraphQL error
//! in one place. Knows nothing of HTTP.

mod context;
mod schema;
mod error;
mod operation;
mod sdl;
mod literals;
mod fields;
mod document;
mod limits;
mod variables;
mod plan;
mod response_size;
mod conversion;
mod document_cache;
mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;

pub use context::OperationContext;
pub use engine::{Admitted, Engine};
pub use error::request_error;
pub use operation::{Answer, Operation, PersistedQuery};
pub use response_size::ResponseSize;
pub use sdl::{federation_sdl, sdl, tagged_federation_sdl};
