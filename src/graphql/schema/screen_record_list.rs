//! The list of a project's recordings, as fields ask for it.

use async_graphql::Context;

use super::connection::{ListPage, sent_argument, wanted};
use super::screen_record::ScreenRecord;
use super::screen_record_filter::{ScreenRecordFilter, record_selection};
use super::screen_record_order::ScreenRecordOrder;
use crate::domain::{Failure, ProjectId};
use crate::graphql::context::{OperationContext, path_of};
use crate::records::AuditEventKind;

/// The arguments of a list of recordings.
pub(crate) struct ListArguments {
    pub(crate) filter: Option<ScreenRecordFilter>,
    pub(crate) order_by: Option<ScreenRecordOrder>,
    pub(crate) first: Option<i32>,
    pub(crate) after: Option<String>,
}

impl ListArguments {
    /// Reads the list for a field.
    pub(crate) async fn read(
        self,
        context: &Context<'_>,
        project: ProjectId,
    ) -> Result<ListPage<ScreenRecord>, Failure> {
        let wanted = wanted(context, self.first, self.after);
        let operation = OperationContext::of(context);
        let selection = record_selection(self.filter, self.order_by);
        let reader = operation.reader();
        let reading = reader.screen_records(project.clone(), selection, wanted);
        let listed = operation.read_for(|| path_of(context), reading).await?;
        let kind = AuditEventKind::Listed;
        reader.audit_list(kind, &project, listed.edges.len(), || sent_argument(context, "filter"));
        Ok(listed.map(|record| ScreenRecord::listed(record, project.clone())))
    }
}
