//! Links to videos: the one call of the upstream that takes many ids.
//!
//! All links that one GraphQL operation selects are requested in one call (per project, and per hundred
//! ids), which therefore waits until the operation has read its recordings.

use std::sync::Arc;

use super::cached::LinkEntry;
use super::key::RecordKey;
use super::read::{CacheOutcome, Content, Read};
use super::reader::Reader;
use crate::domain::{DownloadLink, Failure, Field, Permission, ProjectId, RecordId};
use crate::spans;

impl Reader {
    /// A link to the video of a recording; `None` where there is no file.
    ///
    /// # Errors
    /// As [`Reader::screen_record`].
    pub async fn download_link(
        &self,
        project: ProjectId,
        id: RecordId,
    ) -> Result<Field<DownloadLink>, Failure> {
        self.require(Permission::Download, &project, &id)?;
        let key = self.admit(project, id)?;
        // A link is a secret that lives for seconds.
        self.mark_uncacheable();
        let links = &self.records.caches.links;
        let span = Content::Link.span();
        let cached = links.fresh(&key).filter(|found| found.may_answer(&self.context));
        let (outcome, entry) = match cached {
            Some(found) => (CacheOutcome::Hit, Ok(found.entry)),
            None => (self.context.outcome(true, false), self.load_link(&key).await),
        };
        outcome.record(&span);
        let entry = entry.inspect_err(|failure| {
            spans::fail(&span, failure.code().as_str());
            let read = Read::failed(outcome, failure.upstream_status());
            self.note_for_field(Content::Link, &read, false);
        })?;
        let read = links.assess(Arc::clone(&entry)).read(outcome, None);
        self.note_for_field(Content::Link, &read, true);
        self.note_read(read);
        self.noted.lock().has_links = true;
        Ok(entry.value.link.clone())
    }

    /// Joins the load of a link, or makes it part of the batch of this request, once no read is in progress
    /// that could need more links.
    async fn load_link(&self, key: &RecordKey) -> Result<Arc<LinkEntry>, Failure> {
        self.quiet().await;
        let loader = self.link_loader.get_or_init(|| self.batches());
        let load = |_| {
            let (loader, key) = (loader.clone(), key.clone());
            // The batch answers every key.
            async move { loader.try_load(key).await.unwrap_or(Err(Failure::Overloaded)) }
        };
        let links = &self.records.caches.links;
        links.join(key, |found| found.may_answer(&self.context), load).load.await
    }
}
