//! http
mod admin;
mod listener;
pub use admin::{Admin, admin_router};
pub use listener::Listener;
