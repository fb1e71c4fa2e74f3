//! The same query by async-graphql as its documents show it: resolvers, a moka cache, its own axum handler.

use std::sync::Arc;

use async_graphql::{Context, EmptyMutation, EmptySubscription, ID, Object, Schema, SimpleObject};
use async_graphql_axum::{GraphQLRequest, GraphQLResponse};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use moka::sync::Cache;
use serde::Deserialize;

use crate::TOKEN;

type PeerSchema = Schema<Query, EmptyMutation, EmptySubscription>;

pub fn router(upstream: &str) -> Router {
    let query = Query {
        upstream: upstream.to_owned(),
        client: reqwest::Client::new(),
        cache: Cache::new(200_000),
    };
    let schema = Schema::new(query, EmptyMutation, EmptySubscription);
    Router::new().route("/graphql", post(answer)).with_state(schema)
}

async fn answer(
    State(schema): State<PeerSchema>,
    headers: HeaderMap,
    request: GraphQLRequest,
) -> GraphQLResponse {
    let token = headers.get(TOKEN).and_then(|token| token.to_str().ok()).unwrap_or_default();
    schema.execute(request.into_inner().data(token.to_owned())).await.into()
}

/// Token, project and id.
type Key = (String, String, String);

struct Query {
    upstream: String,
    client: reqwest::Client,
    cache: Cache<Key, Arc<ScreenRecord>>,
}

#[Object]
impl Query {
    async fn screen_record(
        &self,
        context: &Context<'_>,
        project_id: ID,
        id: ID,
    ) -> Result<ScreenRecord, String> {
        let token = context.data_unchecked::<String>();
        let key = (token.clone(), project_id.0, id.0);
        if let Some(record) = self.cache.get(&key) {
            return Ok(ScreenRecord::clone(&record));
        }
        let record = self.load(&key).await.map_err(|error| error.to_string())?;
        self.cache.insert(key, Arc::new(record.clone()));
        Ok(record)
    }
}

impl Query {
    async fn load(&self, (token, project, id): &Key) -> reqwest::Result<ScreenRecord> {
        let address = format!("{}/v2/{project}/screen-records/{id}", self.upstream);
        let response = self.client.get(address).header(TOKEN, token).send().await?;
        let mut record: ScreenRecord = response.error_for_status()?.json().await?;
        record.project_id.clone_from(project);
        for time in [&mut record.start_time, &mut record.end_time, &mut record.update_time] {
            *time = time.as_deref().and_then(in_utc);
        }
        Ok(record)
    }
}

#[derive(Clone, Default, Deserialize, SimpleObject)]
#[serde(default)]
struct ScreenRecord {
    id: String,
    project_id: String,
    desktop_id: Option<String>,
    desktop_name: Option<String>,
    username: Option<String>,
    size: Option<i64>,
    duration: Option<i32>,
    r#type: Option<String>,
    status: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    update_time: Option<String>,
}

/// Reads the two formats that the upstream writes.
fn in_utc(text: &str) -> Option<String> {
    let read = text
        .parse::<Timestamp>()
        .or_else(|_| TimeZone::UTC.to_timestamp(text.parse::<DateTime>()?));
    Some(read.ok()?.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}
