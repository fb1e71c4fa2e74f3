//! A signed link to a video, as clients see it.

use async_graphql::Object;

use super::counted::Counted;
use super::scalars::DateTime;
use crate::domain;

/// A signed link to a video.
pub(crate) struct DownloadLink(pub(crate) domain::DownloadLink);

/// A signed link to the video of a recording.
#[Object]
impl DownloadLink {
    /// The link. It is a secret: it lets anyone fetch the video until it expires.
    async fn url(&self) -> Counted<&str> {
        Counted(self.0.expose())
    }

    /// When the link expires. `null` if the link does not say so.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at().map(DateTime)
    }
}
