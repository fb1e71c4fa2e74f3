//! A signed link to a video, as clients see it.

use async_graphql::Object;

use super::field::Counted;
use crate::domain::{DownloadLink, Timestamp};

/// A signed link to the video of a recording.
#[Object]
impl DownloadLink {
    /// The link. It is a secret: it lets anyone fetch the video until it expires.
    #[graphql(name = "url")]
    async fn shown_url(&self) -> Counted<&str> {
        Counted(self.expose())
    }

    /// When the link expires. `null` if the link does not say so.
    #[graphql(name = "expiresAt")]
    async fn shown_expiry(&self) -> Option<Timestamp> {
        self.expires_at()
    }
}
