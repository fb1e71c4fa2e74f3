//! The upstream's API: the request of each call, and the reading of its response.

use std::collections::HashMap;

use bytes::Bytes;
use http::Method;
use serde_json::json;

use super::project_client::{ApiRequest, Call, ProjectClient};
use super::wire;
use crate::domain::{
    DesktopOperation, DesktopOperationLevel, DesktopOperationType, Direction, DownloadLink,
    Failure, Field, OperationQuery, Page, RecordId, RecordQuery, ScreenRecord, ScreenRecordStatus,
    ScreenRecordType, Timestamp,
};
use crate::signature::canonical_query;

/// The paths of the calls without ids, for traces.
const SHOW: &str = "/v2/{project_id}/screen-records/{record_id}";
const LIST: &str = "/v2/{project_id}/screen-records";
const LIST_OPERATIONS: &str = "/v2/{project_id}/screen-records/{record_id}/os-operations";
const LINKS: &str = "/v2/{project_id}/screen-records/download-address";

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// Number of its first row in the whole list, from 0.
    pub offset: u32,
    /// Rows in it, 1 to [`Range::LARGEST`].
    pub limit: u32,
}

impl Range {
    /// The most rows of one call: the smaller one of the upstream's two documents, which say 100 (English
    /// pages of 2025) and 1000 (Chinese pages of 2026).
    pub const LARGEST: u32 = 100;
}

/// The most ids of one call for download addresses. No document has a limit; this is that of similar calls.
pub(crate) const MOST_LINKS: usize = 100;

impl ProjectClient {
    /// Reads one recording.
    ///
    /// # Errors
    /// The meaning of the upstream's error, or why there was no response.
    pub async fn show_screen_record(
        &self,
        call: &Call,
        id: &RecordId,
    ) -> Result<ScreenRecord, Failure> {
        let path = ["/v2/", self.project.as_str(), "/screen-records/", id.as_str()].concat();
        let zone = &self.route.target.time_zone;
        let request = get(path, SHOW, String::new());
        self.send(call, &request, |body| wire::screen_record(body, zone)).await
    }

    /// Reads a part of the list of recordings.
    ///
    /// # Errors
    /// As [`Self::show_screen_record`].
    pub async fn list_screen_records(
        &self,
        call: &Call,
        query: &RecordQuery,
        range: Range,
    ) -> Result<Page<ScreenRecord>, Failure> {
        let path = format!("/v2/{}/screen-records", self.project);
        let zone = &self.route.target.time_zone;
        let request = get(path, LIST, paged(&record_filters(query), range));
        let row = |row: &[u8]| wire::screen_record(row, zone);
        self.send(call, &request, |body| wire::list(body, "screen_records", row)).await
    }

    /// Reads a part of the list of a recording's operations.
    ///
    /// # Errors
    /// As [`Self::show_screen_record`].
    pub async fn list_desktop_operations(
        &self,
        call: &Call,
        id: &RecordId,
        query: &OperationQuery,
        range: Range,
    ) -> Result<Page<DesktopOperation>, Failure> {
        let path = format!("/v2/{}/screen-records/{id}/os-operations", self.project);
        let zone = &self.route.target.time_zone;
        let request = get(path, LIST_OPERATIONS, paged(&operation_filters(query), range));
        let row = |row: &[u8]| wire::desktop_operation(row, zone);
        self.send(call, &request, |body| wire::list(body, "operations", row)).await
    }

    /// Requests links to the videos of up to [`MOST_LINKS`] recordings. The result holds the recordings
    /// that the upstream's response names, by [`RecordId::folded`].
    ///
    /// # Errors
    /// As [`Self::show_screen_record`].
    pub(crate) async fn list_download_links(
        &self,
        call: &Call,
        ids: &[RecordId],
    ) -> Result<HashMap<String, Field<DownloadLink>>, Failure> {
        let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
        let request = ApiRequest {
            method: Method::POST,
            path: format!("/v2/{}/screen-records/download-address", self.project),
            template: LINKS,
            query: String::new(),
            body: Bytes::from(json!({ "record_ids": ids }).to_string()),
        };
        let rows = self.send(call, &request, wire::download_links).await?;
        let by_id = |row: wire::LinkRow| Some((RecordId::folded(&row.id?), row.link));
        Ok(rows.into_iter().filter_map(by_id).collect())
    }
}

fn get(path: String, template: &'static str, query: String) -> ApiRequest {
    ApiRequest { method: Method::GET, path, template, query, body: Bytes::new() }
}

/// Parameters of a query; those without a value are left out.
type QueryParameters<const N: usize> = [(&'static str, Option<String>); N];

/// Filter and order of a list of recordings, as in the query.
pub(crate) fn record_filter(query: &RecordQuery) -> String {
    written(&record_filters(query))
}

/// Filter of a list of operations, as in the query.
pub(crate) fn operation_filter(query: &OperationQuery) -> String {
    written(&operation_filters(query))
}

fn written(parameters: &[(&'static str, Option<String>)]) -> String {
    let present = parameters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    canonical_query(present)
}

fn paged(filters: &[(&'static str, Option<String>)], Range { offset, limit }: Range) -> String {
    let page = [("limit", Some(limit.to_string())), ("offset", Some(offset.to_string()))];
    written(&[filters, &page].concat())
}

fn record_filters(query: &RecordQuery) -> QueryParameters<9> {
    let direction = match query.direction {
        Direction::Ascending => "asc",
        Direction::Descending => "desc",
    };
    [
        ("sort_field", Some("start_time".to_owned())),
        ("sort_type", Some(direction.to_owned())),
        ("desktop_id", query.desktop_id.clone()),
        ("desktop_names", query.desktop_names.as_ref().map(|names| names.join(","))),
        ("username", query.username.clone()),
        ("status", query.status.and_then(ScreenRecordStatus::to_upstream).map(str::to_owned)),
        ("type", query.kind.and_then(ScreenRecordType::to_upstream).map(str::to_owned)),
        ("start_time", query.started_after.map(filter_time)),
        ("end_time", query.started_before.map(filter_time)),
    ]
}

fn operation_filters(query: &OperationQuery) -> QueryParameters<4> {
    let level = query.level.and_then(DesktopOperationLevel::to_upstream);
    [
        ("event_type", query.kind.and_then(DesktopOperationType::to_upstream).map(str::to_owned)),
        ("event_id", query.event.clone()),
        ("event_level", level.map(str::to_owned)),
        ("event_data", query.data.clone()),
    ]
}

/// The only documented form of times in filters: to the second, in UTC.
fn filter_time(time: Timestamp) -> String {
    time.as_utc().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_requested_with_the_upstreams_own_parameters() {
        let time = |text: &str| Timestamp::from_utc(text.parse().unwrap());
        let query = RecordQuery {
            desktop_names: Some(vec!["a".to_owned(), "b c".to_owned()]),
            status: Some(ScreenRecordStatus::RecFailed),
            kind: Some(ScreenRecordType::Operation),
            started_after: time("2026-01-01T00:00:00.999"),
            direction: Direction::Ascending,
            ..RecordQuery::default()
        };

        assert_eq!(
            paged(&record_filters(&query), Range { offset: 100, limit: 50 }),
            "desktop_names=a%2Cb%20c&limit=50&offset=100&sort_field=start_time&sort_type=asc\
             &start_time=2026-01-01%2000%3A00%3A00&status=REC_FAILED&type=OPERATION"
        );
    }
}
