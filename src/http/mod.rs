//! Listeners, routes and everything HTTP: GraphQL over HTTP, who asks, cache headers, limits.
//!
//! Reads requests, hands operations to `graphql` and a reader from `records` with them, and writes
//! answers.

mod setting_file;
mod server;
mod validation;
mod router;
mod handlers;
mod caller_request;
mod pipeline;
mod state;
mod header_fields;
mod negotiation;
mod request;
mod persisted_queries;
mod csrf;
mod auth;
mod rate_limit;
mod connection_quota;
mod response;
mod response_cache;
mod unsent;
mod compression;
mod etag;
mod access_log;
mod spans;
mod audit_log;
mod operation_stream;
mod websocket;
mod cache_headers;
mod security_headers;
mod refusal;
mod metrics;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;

pub use audit_log::{AuditLog, AuditSink, check_audit_log};
pub use auth::{AuthChange, AuthParts, AuthSetupError, Authenticator};
pub use handlers::admin::{Admin, Reasons, RenderMetrics, admin_router};
pub use metrics::HttpMetrics;
pub use persisted_queries::check_documents;
pub use router::{Main, MainChange};
pub use server::{ConnectionLimits, Listener, ListenerRules, Serve, Tls, TlsChange};
pub use setting_file::FileError;
pub use state::{MainParts, PageDefaults};
pub use validation::Hosts;
