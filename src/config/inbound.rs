//! `inbound.*`: who may ask for what.

use std::collections::BTreeSet;

use crate::domain::ProjectId;

/// Who is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboundConfig {
    /// `inbound.projects`: the projects that are served; `None` serves all.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// `inbound.allow_anonymous`: lets anybody who can connect use the gateway's own credentials.
    pub allow_anonymous: bool,
}
