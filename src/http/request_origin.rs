//! Who sent a request, and from where.

use std::net::IpAddr;
use std::sync::Arc;

use super::auth::Caller;
use super::client_app::ClientApp;
use crate::records::RequestContext;

/// Who sent a request. The same for all its operations, also over a socket or an event stream.
#[derive(Clone)]
pub(crate) struct RequestOrigin {
    pub(crate) caller: Caller,
    /// The request's id.
    pub(crate) id: Arc<str>,
    /// The other end of the connection, which may be a proxy.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) app: ClientApp,
}

impl RequestOrigin {
    /// The context in which records are read.
    pub(crate) fn asking(&self) -> RequestContext {
        let Caller { identity, token, grant, .. } = &self.caller;
        RequestContext {
            identity: identity.clone(),
            operation: 0,
            token: token.clone(),
            grant: Arc::clone(grant),
            request_id: Arc::clone(&self.id),
            no_cache: false,
            max_age: None,
        }
    }
}
