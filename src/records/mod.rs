//! The one door to data: a caching loader in front of the upstream.

mod read;

pub use read::{CacheOutcome, Read, ReadSummary};

use std::sync::Arc;

use crate::domain::{Failure, ProjectId, RecordId, ScreenRecord, Token, Unreachable};

/// Who asks, and how. One per GraphQL request.
#[derive(Clone, Debug, Default)]
pub struct Asking {
    /// The caller's token, where one came.
    pub token: Option<Token>,
    /// `X-Request-Id`, sent upstream with every call made for this request.
    pub request_id: Arc<str>,
    /// Read from the upstream even what is fresh: request header `Cache-Control: no-cache`.
    pub no_cache: bool,
}

/// Reads records for one GraphQL request: collapses duplicates, starts distinct ones together.
#[derive(Clone)]
pub struct Reader {
    asking: Asking,
}

impl Reader {
    /// A reader for one request.
    pub fn new(asking: Asking) -> Self {
        Self { asking }
    }

    /// One recording.
    pub async fn screen_record(
        &self,
        _project: ProjectId,
        _id: RecordId,
    ) -> Result<Arc<ScreenRecord>, Failure> {
        let _ = &self.asking;
        Err(Failure::Unreachable(Unreachable::Connect))
    }

    /// What was read so far.
    pub fn summary(&self) -> ReadSummary {
        ReadSummary::default()
    }
}
