//! Reads what a plan asks for, all of it at once, and writes the answer.

use std::sync::Arc;

use futures_util::future::join_all;
use smallvec::{SmallVec, smallvec};

use super::write::Writer;
use super::{Asked, BoundPlan, RecordRef, Written};
use crate::domain::{Failure, ScreenRecord};
use crate::graphql::context::OperationContext;
use crate::graphql::response_size::{ResponseSize, TooLarge};
use crate::records::Reader;

/// What came of reading for a field of the root.
type Answered<'b> = Result<Asked<'b>, Failure>;

/// What was read for each field of the root; nothing where a field needs nothing.
pub(crate) struct ReadNow<'b>(SmallVec<[Option<Answered<'b>>; 1]>);

impl ReadNow<'_> {
    /// The recording that the whole answer is made of, where it is made of one.
    pub(crate) fn only_record(&self) -> Option<&Arc<ScreenRecord>> {
        match self.0.as_slice() {
            [Some(Ok(asked))] => Some(&asked.record),
            _ => None,
        }
    }
}

impl BoundPlan {
    /// Reads what the plan asks for where it is at hand; nothing where that is not all of it.
    pub(crate) fn read_now(&self, reader: &Reader) -> Option<ReadNow<'_>> {
        // Nothing is counted as read until all of it is sure to be.
        if self.wanted.len() > 1 && !self.roots().all(|(_, wanted)| is_at_hand(wanted, reader)) {
            return None;
        }
        let mut reads = SmallVec::new();
        for (_, wanted) in self.roots() {
            reads.push(match wanted {
                Some(wanted) => Some(record_now(wanted, reader)?),
                None => None,
            });
        }
        Some(ReadNow(reads))
    }

    /// Writes the answer from what was read.
    ///
    /// # Errors
    /// Where the answer would be too large.
    pub(crate) fn write(
        &self,
        ReadNow(reads): ReadNow<'_>,
        size: &ResponseSize,
    ) -> Result<Written, TooLarge> {
        let mut writer = Writer::new(self, size.left());
        for ((root, _), read) in self.roots().zip(reads) {
            writer.root(root, read);
        }
        let (written, bytes) = writer.end().ok_or_else(|| size.exceed())?;
        size.add(bytes);
        Ok(written)
    }

    /// Executes the plan.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) async fn execute(&self, context: &OperationContext) -> Result<Written, TooLarge> {
        let mut roots = self.roots();
        let first = roots.next();
        let reads = if let (Some((_, wanted)), None) = (first, roots.next()) {
            // Most operations ask for one recording.
            smallvec![self.read(wanted, context).await]
        } else {
            let reads = self.roots().map(|(_, wanted)| self.read(wanted, context));
            join_all(reads).await.into()
        };
        self.write(ReadNow(reads), context.size())
    }

    /// Reads what a field of the root needs; nothing where it needs nothing or is left out.
    async fn read<'b>(
        &self,
        wanted: Option<&'b Result<RecordRef, Failure>>,
        context: &OperationContext,
    ) -> Option<Answered<'b>> {
        let by = match wanted? {
            Ok(by) => by,
            Err(failure) => return Some(Err(failure.clone())),
        };
        let (project, id) = (by.project.clone(), by.id.clone());
        let read = match self.plan.roots.as_slice() {
            [_only] => context.only_screen_record(project, id).await,
            _ => context.screen_record(project, id).await,
        };
        Some(read.map(|record| Asked { record, by }))
    }
}

/// A recording that is fresh, or why there is none without asking; nothing where that is not known.
fn record_now<'b>(wanted: &'b Result<RecordRef, Failure>, reader: &Reader) -> Option<Answered<'b>> {
    let by = match wanted {
        Ok(by) => by,
        Err(failure) => return Some(Err(failure.clone())),
    };
    let read = reader.screen_record_now(&by.project, &by.id)?;
    Some(read.map(|record| Asked { record, by }))
}

fn is_at_hand(wanted: Option<&Result<RecordRef, Failure>>, reader: &Reader) -> bool {
    match wanted {
        Some(Ok(by)) => reader.is_at_hand(&by.project, &by.id),
        Some(Err(_)) | None => true,
    }
}
