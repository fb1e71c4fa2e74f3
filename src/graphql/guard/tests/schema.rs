//! A small schema of the real one's shape that counts what it resolves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::extensions::ResolveInfo;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve};
use async_graphql::{
    EmptyMutation, EmptySubscription, ID, InputObject, Object, QueryPathSegment, Schema,
    ServerResult, SimpleObject, Value,
};

use crate::graphql::guard::MAX_NESTING;

pub(super) type Records = Schema<Query, EmptyMutation, EmptySubscription>;

pub(super) fn schema() -> (Records, Arc<AtomicUsize>) {
    let resolved = Arc::new(AtomicUsize::new(0));
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
        .limit_recursive_depth(MAX_NESTING)
        .extension(Count(Arc::clone(&resolved)))
        .finish();
    (schema, resolved)
}

pub(super) struct Query;

#[Object]
impl Query {
    async fn screen_record(&self, project_id: ID, id: ID) -> Option<ScreenRecord> {
        Some(ScreenRecord { id, project_id })
    }

    async fn screen_records(
        &self,
        project_id: ID,
        filter: Option<ScreenRecordFilter>,
        #[graphql(default = 50)] first: i32,
    ) -> Vec<ScreenRecord> {
        let id = filter.and_then(|filter| filter.desktop_id).unwrap_or_default();
        let count = usize::try_from(first.clamp(0, 1000)).unwrap();
        vec![ScreenRecord { id: ID(id), project_id }; count]
    }
}

#[derive(InputObject)]
struct ScreenRecordFilter {
    desktop_id: Option<String>,
    desktop_names: Option<Vec<String>>,
}

#[derive(Clone)]
struct ScreenRecord {
    id: ID,
    project_id: ID,
}

#[Object]
impl ScreenRecord {
    async fn id(&self) -> &ID {
        &self.id
    }

    async fn project_id(&self) -> &ID {
        &self.project_id
    }

    async fn desktop(&self) -> Desktop {
        Desktop { id: self.id.clone() }
    }

    async fn operations(&self, #[graphql(default = 50)] first: i32) -> Vec<Desktop> {
        vec![Desktop { id: self.id.clone() }; usize::try_from(first.clamp(0, 1000)).unwrap()]
    }
}

#[derive(Clone, SimpleObject)]
struct Desktop {
    id: ID,
}

/// Counts every field that is resolved, but not the items of lists.
struct Count(Arc<AtomicUsize>);

impl ExtensionFactory for Count {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self(Arc::clone(&self.0)))
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for Count {
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let is_field = matches!(info.path_node.segment, QueryPathSegment::Name(_));
        if is_field && !info.is_for_introspection {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        next.run(ctx, info).await
    }
}
