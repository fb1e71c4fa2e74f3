//! The HTTP server: listeners, TLS, and the limits on each connection.

mod listener;
mod connection;
mod activity;
mod request_end;
mod watchdog;
mod tls;
mod linger;

pub use connection::ConnectionLimits;
pub(crate) use linger::Linger;
pub use listener::{Listener, ListenerRules, Serve};
pub use tls::{Tls, TlsChange};
