//! Listeners, routes and everything HTTP: GraphQL over HTTP, who asks, cache headers, limits.
//!
//! Reads requests, hands operations to `graphql` and a reader from `records` with them, and writes
//! answers.

mod listener;
mod validation;
mod connection;
mod request_end;
mod linger;
mod tls;
mod router;
mod endpoint;
mod header_fields;
mod negotiation;
mod request;
mod documents;
mod explain;
mod csrf;
mod request_id;
mod callers;
mod rate;
mod connection_quota;
mod response;
mod unsent;
mod heavy;
mod compression;
mod validators;
mod log_line;
mod traced;
mod stream_log;
mod operation_stream;
mod sse;
mod websocket;
mod cache_headers;
mod browsers;
mod refusal;
mod graphiql;
mod metrics;
mod admin;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;

pub use admin::{Admin, admin_router};
pub use callers::{CallerParts, Callers, CallersChange, CallersError};
pub use connection::{ConnectionLimits, RequestBody};
pub use documents::{ManifestError, check_documents};
pub use graphiql::GraphiqlDefaults;
pub use listener::{Listener, Serve};
pub use metrics::{ConnectionMetrics, HttpMetrics, TlsMetrics};
pub use router::{Main, MainChange, MainParts, main_router};
pub use tls::{Tls, TlsChange, TlsError};
pub use validation::{Hosts, Validated};
