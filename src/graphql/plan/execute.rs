//! Reads all recordings of a plan together and writes the answer.

use futures_util::future::join_all;

use super::write::Writer;
use super::{BoundPlan, LoadedRecord, RecordRef};
use crate::domain::Failure;
use crate::graphql::context::OperationContext;
use crate::graphql::operation::Executed;
use crate::graphql::response_size::TooLarge;

impl BoundPlan {
    /// Executes the plan.
    ///
    /// # Errors
    /// [`TooLarge`]
    pub(crate) async fn execute(&self, context: &OperationContext) -> Result<Executed, TooLarge> {
        let reads =
            join_all(self.records.iter().map(|record| self.read(record.as_ref(), context))).await;
        let size = context.size();
        let mut writer = Writer::new(size.left());
        for (root, read) in self.plan.roots.iter().zip(reads) {
            writer.root(root, read);
        }
        let (written, bytes) = writer.end().ok_or_else(|| size.exceed())?;
        size.add(bytes);
        Ok(written)
    }

    /// Reads the recording of a root field; `None` where the field has none.
    async fn read<'b>(
        &self,
        record: Option<&'b Result<RecordRef, Failure>>,
        context: &OperationContext,
    ) -> Option<Result<LoadedRecord<'b>, Failure>> {
        let by = match record? {
            Ok(by) => by,
            Err(failure) => return Some(Err(failure.clone())),
        };
        let (project, id) = (by.project.clone(), by.id.clone());
        let read = match self.records.as_slice() {
            [_only] => context.only_screen_record(project, id).await,
            _ => context.screen_record(project, id).await,
        };
        Some(read.map(|record| LoadedRecord { record, by }))
    }
}
