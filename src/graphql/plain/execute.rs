//! Reads what a plan asks for, all of it at once, and writes the answer.

use std::sync::Arc;

use futures_util::future::join_all;

use super::write::Writer;
use super::{Bound, Id, Root, Selected, Written};
use crate::domain::{Failure, ProjectId, RecordId, ScreenRecord};
use crate::graphql::context::OperationContext;

/// A recording that was read for a field of the root, and what it was asked for by.
pub(super) struct Asked {
    pub(super) record: Arc<ScreenRecord>,
    pub(super) project: ProjectId,
    pub(super) id: RecordId,
}

impl Bound {
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
        let project = ProjectId::parse(self.id(project))?;
        let id = RecordId::parse(self.id(id))?;
        let record = context.screen_record(project.clone(), id.clone()).await?;
        Ok(Asked { record, project, id })
    }
}
