//! The HTTP server: listeners, TLS, and the limits on each connection.

mod listener;
mod connection;
mod tls;
mod linger;

pub use connection::{ConnectionLimits, RequestBody};
pub(crate) use linger::Linger;
pub use listener::{Listener, Serve};
pub use tls::{Tls, TlsChange};
