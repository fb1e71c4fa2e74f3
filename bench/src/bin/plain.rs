//! The same query by async-graphql as its documents show it: resolvers, its dataloader, a moka cache
//! in front of it, its own axum handler.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, EmptyMutation, EmptySubscription, Enum, ID, Object, Schema};
use async_graphql::{SimpleObject, scalar};
use async_graphql_axum::{GraphQLRequest, GraphQLResponse};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use futures_util::future::join_all;
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;
use moka::future::Cache;
use serde::{Deserialize, Serialize};

/// Records kept; more than any row asks for again.
const KEPT: u64 = 200_000;

type PlainSchema = Schema<Query, EmptyMutation, EmptySubscription>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let base = std::env::args().nth(1).context("usage: plain UPSTREAM")?;
    let loader = Records { base, client: reqwest::Client::new() };
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
        .data(DataLoader::new(loader, tokio::spawn))
        .data(Cache::<Key, Arc<ScreenRecord>>::new(KEPT))
        .finish();
    bench::serve(Router::new().route("/graphql", post(graphql)).with_state(schema)).await
}

async fn graphql(
    State(schema): State<PlainSchema>,
    headers: HeaderMap,
    request: GraphQLRequest,
) -> GraphQLResponse {
    let token = headers.get("x-auth-token").and_then(|token| token.to_str().ok());
    let token = Token(token.unwrap_or_default().into());
    schema.execute(request.into_inner().data(token)).await.into()
}

/// The caller's token.
#[derive(Clone)]
struct Token(Arc<str>);

/// Caller, project and id of a record.
type Key = (Arc<str>, String, String);

struct Query;

#[Object]
impl Query {
    async fn screen_record(
        &self,
        context: &Context<'_>,
        project_id: ID,
        id: ID,
    ) -> async_graphql::Result<Option<ScreenRecord>> {
        let Token(token) = context.data::<Token>()?;
        let key = (Arc::clone(token), project_id.0, id.0);
        let cache = context.data::<Cache<Key, Arc<ScreenRecord>>>()?;
        if let Some(record) = cache.get(&key).await {
            return Ok(Some(ScreenRecord::clone(&record)));
        }
        let loader = context.data::<DataLoader<Records>>()?;
        let record = loader.load_one(key.clone()).await?;
        if let Some(record) = &record {
            cache.insert(key, Arc::new(record.clone())).await;
        }
        Ok(record)
    }
}

/// Loads records, those of a batch side by side.
struct Records {
    base: String,
    client: reqwest::Client,
}

impl Loader<Key> for Records {
    type Value = ScreenRecord;
    type Error = Arc<reqwest::Error>;

    async fn load(&self, keys: &[Key]) -> Result<HashMap<Key, ScreenRecord>, Self::Error> {
        let loaded = join_all(keys.iter().map(|key| self.load_one(key))).await;
        loaded.into_iter().map(|loaded| loaded.map_err(Arc::new)).collect()
    }
}

impl Records {
    async fn load_one(&self, key: &Key) -> Result<(Key, ScreenRecord), reqwest::Error> {
        let (token, project, id) = key;
        let address = format!("{}/v2/{project}/screen-records/{id}", self.base);
        let request = self.client.get(address).header("x-auth-token", &**token);
        let wire: Wire = request.send().await?.error_for_status()?.json().await?;
        Ok((key.clone(), wire.record(project)))
    }
}

/// The upstream's spelling.
#[derive(Deserialize)]
struct Wire {
    id: String,
    desktop_id: Option<String>,
    desktop_name: Option<String>,
    username: Option<String>,
    size: Option<i64>,
    duration: Option<i32>,
    r#type: Option<ScreenRecordType>,
    status: Option<ScreenRecordStatus>,
    start_time: Option<serde_json::Value>,
    end_time: Option<serde_json::Value>,
    update_time: Option<serde_json::Value>,
}

#[derive(Clone, SimpleObject)]
struct ScreenRecord {
    id: ID,
    project_id: ID,
    desktop_id: Option<ID>,
    desktop_name: Option<String>,
    username: Option<String>,
    size: Option<i64>,
    duration: Option<i32>,
    r#type: Option<ScreenRecordType>,
    status: Option<ScreenRecordStatus>,
    start_time: Option<DateTime>,
    end_time: Option<DateTime>,
    update_time: Option<DateTime>,
}

#[derive(Clone, Copy, Deserialize, Enum, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ScreenRecordType {
    Full,
    Interval,
    Operation,
    Session,
}

#[derive(Clone, Copy, Deserialize, Enum, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ScreenRecordStatus {
    Recording,
    RecCompleted,
    RecFailed,
    Uploading,
    UploadCompleted,
    UploadFailed,
}

/// An instant, written as the gateway writes it.
#[derive(Clone, Serialize, Deserialize)]
struct DateTime(String);

scalar!(DateTime);

impl Wire {
    fn record(self, project: &str) -> ScreenRecord {
        ScreenRecord {
            id: self.id.into(),
            project_id: project.into(),
            desktop_id: self.desktop_id.map(ID),
            desktop_name: self.desktop_name,
            username: self.username,
            size: self.size,
            duration: self.duration,
            r#type: self.r#type,
            status: self.status,
            start_time: self.start_time.and_then(instant),
            end_time: self.end_time.and_then(instant),
            update_time: self.update_time.and_then(instant),
        }
    }
}

/// Reads the shapes that the simulated upstreams write.
fn instant(value: serde_json::Value) -> Option<DateTime> {
    let instant = match value {
        serde_json::Value::Number(number) => Timestamp::from_millisecond(number.as_i64()?).ok()?,
        serde_json::Value::String(text) => text.parse().ok().or_else(|| {
            let local: civil::DateTime = text.parse().ok()?;
            TimeZone::UTC.to_timestamp(local).ok()
        })?,
        _ => return None,
    };
    Some(DateTime(instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()))
}
