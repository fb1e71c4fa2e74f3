//! Reads what a plan asks for, all of it at once, and writes the answer.

use std::sync::Arc;

use futures_util::future::join_all;

use super::write::Writer;
use super::{Bound, Id, Root, Selected, Written};
use crate::domain::{Failure, ProjectId, RecordId, ScreenRecord};
use crate::graphql::context::OperationContext;
use crate::records::Reader;

/// A recording that was read for a field of the root, and what it was asked for by.
pub(super) struct Asked {
    pub(super) record: Arc<ScreenRecord>,
    pub(super) project: ProjectId,
    pub(super) id: RecordId,
}

impl Bound {
    /// Executes the plan with what is at hand; nothing where that is not enough.
    pub(crate) fn execute_now(&self, reader: &Reader) -> Option<Written> {
        // Nothing is counted as read until all of it is sure to be.
        if self.plan.roots.len() > 1
            && !self.plan.roots.iter().all(|root| self.is_at_hand(root, reader))
        {
            return None;
        }
        let mut writer = Writer::new(self);
        for root in &self.plan.roots {
            let read = match &root.what {
                Root::Record { project, id, .. } if self.shows(root) => {
                    Some(self.record_now(project, id, reader)?)
                }
                Root::Record { .. } | Root::Typename => None,
            };
            writer.root(root, read);
        }
        Some(writer.end())
    }

    /// A recording that is fresh, or why there is none without asking; nothing where that is not known.
    fn record_now(&self, project: &Id, id: &Id, reader: &Reader) -> Option<Result<Asked, Failure>> {
        let (project, id) = match self.key(project, id) {
            Ok(key) => key,
            Err(failure) => return Some(Err(failure)),
        };
        let record = reader.screen_record_now(&project, &id)?;
        Some(record.map(|record| Asked { record, project, id }))
    }

    fn is_at_hand(&self, root: &Selected<Root>, reader: &Reader) -> bool {
        match &root.what {
            Root::Record { project, id, .. } if self.shows(root) => match self.key(project, id) {
                Ok((project, id)) => reader.is_at_hand(&project, &id),
                Err(_) => true,
            },
            Root::Record { .. } | Root::Typename => true,
        }
    }

    fn key(&self, project: &Id, id: &Id) -> Result<(ProjectId, RecordId), Failure> {
        Ok((ProjectId::parse(self.id(project))?, RecordId::parse(self.id(id))?))
    }

    /// Executes the plan.
    pub(crate) async fn execute(&self, context: &OperationContext) -> Written {
        let mut writer = Writer::new(self);
        match self.plan.roots.as_slice() {
            // Most operations ask for one recording.
            [only] => {
                let read = self.read(only, context).await;
                writer.root(only, read);
            }
            all => {
                let reads = join_all(all.iter().map(|root| self.read(root, context))).await;
                for (root, read) in all.iter().zip(reads) {
                    writer.root(root, read);
                }
            }
        }
        writer.end()
    }

    /// Reads what a field of the root needs; nothing where it needs nothing or is left out.
    async fn read(
        &self,
        root: &Selected<Root>,
        context: &OperationContext,
    ) -> Option<Result<Asked, Failure>> {
        match &root.what {
            Root::Record { project, id, .. } if self.shows(root) => {
                Some(self.record(project, id, context).await)
            }
            Root::Record { .. } | Root::Typename => None,
        }
    }

    async fn record(
        &self,
        project: &Id,
        id: &Id,
        context: &OperationContext,
    ) -> Result<Asked, Failure> {
        let (project, id) = self.key(project, id)?;
        let (of_project, with_id) = (project.clone(), id.clone());
        let record = match self.plan.roots.as_slice() {
            [_only] => context.only_screen_record(of_project, with_id).await?,
            _ => context.screen_record(of_project, with_id).await?,
        };
        Ok(Asked { record, project, id })
    }
}
