//! The upstream's API: the request of each call, and the reading of its response.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use http::Method;
use serde_json::json;

use super::api_request::{ApiRequest, Call, Query};
use super::attempt::Answer;
use super::project_client::ProjectClient;
use super::wire::{self, Listed};
use crate::domain::{
    DesktopOperation, DesktopOperationLevel, DesktopOperationType, Direction, DownloadLink,
    Failure, Field, OperationQuery, Page, RecordId, RecordQuery, ScreenRecord, ScreenRecordStatus,
    ScreenRecordType, Timestamp,
};
use crate::signature::canonical_query;

const SCREEN_RECORDS: Listed = Listed { rows: "screen_records", total: Some("total_count") };
const OPERATIONS: Listed = Listed { rows: "operations", total: Some("total_count") };

/// The paths of the calls without ids, for traces.
pub(super) const SHOW: &str = "/v2/{project_id}/screen-records/{record_id}";
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
        let outgoing = ApiRequest::get(path, SHOW);
        let answer = self.send(call, &outgoing).await?;
        let read = wire::screen_record(&answer.body, &self.route.target.time_zone);
        self.judged(read, &answer, call)
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
        let project = &self.project;
        let path = format!("/v2/{project}/screen-records");
        let query = paged(record_filters(query), range);
        let outgoing = ApiRequest { query, ..ApiRequest::get(path, LIST) };
        let answer = self.send(call, &outgoing).await?;
        let row = |row: &[u8]| wire::screen_record(row, &self.route.target.time_zone);
        self.judged(wire::list(&answer.body, SCREEN_RECORDS, row), &answer, call)
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
        let project = &self.project;
        let path = format!("/v2/{project}/screen-records/{id}/os-operations");
        let query = paged(operation_filters(query), range);
        let outgoing = ApiRequest { query, ..ApiRequest::get(path, LIST_OPERATIONS) };
        let answer = self.send(call, &outgoing).await?;
        let row = |row: &[u8]| wire::desktop_operation(row, &self.route.target.time_zone);
        self.judged(wire::list(&answer.body, OPERATIONS, row), &answer, call)
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
        let project = &self.project;
        let outgoing = ApiRequest {
            method: Method::POST,
            path: format!("/v2/{project}/screen-records/download-address"),
            template: LINKS,
            query: Vec::new(),
            body: Bytes::from(json!({ "record_ids": ids }).to_string()),
        };
        let answer = self.send(call, &outgoing).await?;
        let rows = self.judged(wire::download_links(&answer.body), &answer, call)?;
        let by_id = |row: wire::LinkRow| Some((RecordId::folded(&row.id?), row.link));
        Ok(rows.into_iter().filter_map(by_id).collect())
    }

    fn judged<T>(
        &self,
        read: Result<T, wire::Unlike>,
        answer: &Answer,
        call: &Call,
    ) -> Result<T, Failure> {
        read.map_err(|unlike| self.unlike(unlike, answer, call))
    }
}

/// Filter and order of a list of recordings, as in the query.
pub(crate) fn record_filter(query: &RecordQuery) -> String {
    canonical_query(&record_filters(query))
}

/// Filter of a list of operations, as in the query.
pub(crate) fn operation_filter(query: &OperationQuery) -> String {
    canonical_query(&operation_filters(query))
}

type Parameter = (Cow<'static, str>, Cow<'static, str>);

fn record_filters(query: &RecordQuery) -> Query {
    let direction = match query.direction {
        Direction::Ascending => "asc",
        Direction::Descending => "desc",
    };
    let names = query.desktop_names.as_ref().map(|names| names.join(","));
    let mut parameters =
        Vec::from([parameter("sort_field", "start_time"), parameter("sort_type", direction)]);
    let optional = [
        ("desktop_id", query.desktop_id.clone()),
        ("desktop_names", names),
        ("username", query.username.clone()),
        ("status", query.status.and_then(ScreenRecordStatus::to_upstream).map(str::to_owned)),
        ("type", query.kind.and_then(ScreenRecordType::to_upstream).map(str::to_owned)),
        ("start_time", query.started_after.map(filter_time)),
        ("end_time", query.started_before.map(filter_time)),
    ];
    parameters.extend(present(optional));
    parameters
}

fn operation_filters(query: &OperationQuery) -> Query {
    let optional = [
        ("event_type", query.kind.and_then(DesktopOperationType::to_upstream).map(str::to_owned)),
        ("event_id", query.event.clone()),
        (
            "event_level",
            query.level.and_then(DesktopOperationLevel::to_upstream).map(str::to_owned),
        ),
        ("event_data", query.data.clone()),
    ];
    present(optional).collect()
}

fn paged(mut parameters: Query, range: Range) -> Query {
    let Range { offset, limit } = range;
    parameters.push(parameter("limit", limit.to_string()));
    parameters.push(parameter("offset", offset.to_string()));
    parameters
}

fn present<const N: usize>(
    optional: [(&'static str, Option<String>); N],
) -> impl Iterator<Item = Parameter> {
    optional.into_iter().filter_map(|(name, value)| Some(parameter(name, value?)))
}

fn parameter(name: &'static str, value: impl Into<Cow<'static, str>>) -> Parameter {
    (Cow::Borrowed(name), value.into())
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

        let parameters = paged(record_filters(&query), Range { offset: 100, limit: 50 });

        assert_eq!(
            canonical_query(&parameters),
            "desktop_names=a%2Cb%20c&limit=50&offset=100&sort_field=start_time&sort_type=asc\
             &start_time=2026-01-01%2000%3A00%3A00&status=REC_FAILED&type=OPERATION"
        );
    }
}
