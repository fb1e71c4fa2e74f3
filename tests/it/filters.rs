//! Filters that the upstream does not have: the gateway looks for them in the upstream's rows.

use std::fmt::Write as _;

use screen_record_gateway::config::Config;
use serde_json::{Value, json};

use crate::support::{Gateway, PROJECT, ScriptedUpstream, Seen};

pub(crate) const STATUSES: [&str; 8] = [
    "RECORDING",
    "REC_COMPLETED",
    "REC_FAILED",
    "UPLOADING",
    "UPLOAD_COMPLETED",
    "UPLOAD_FAILED",
    "ARCHIVED",
    "",
];
const TYPES: [&str; 6] = ["FULL", "INTERVAL", "OPERATION", "USER_OPERATION", "SESSION", "NEW"];
const USERS: [&str; 5] = ["alice", "alice2", "bob", "张三", ""];
const DESKTOPS: [&str; 5] = ["D-1", "d1", "d2", "D3", ""];
const POOLS: [&str; 4] = ["P-1", "p1", "p2", ""];

/// Numbers that are the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    pub(crate) fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }
}

/// A recording of second `start` of 2026 with random values. An empty value is left out.
pub(crate) fn random_row(number: usize, start: i64, numbers: &mut Numbers) -> Value {
    let mut row = json!({ "id": format!("r{number}"), "start_time": instant(start) });
    for (name, values) in [
        ("status", &STATUSES[..]),
        ("type", &TYPES),
        ("username", &USERS),
        ("desktop_id", &DESKTOPS),
        ("desktop_pool_id", &POOLS),
        ("policy_id", &["y-1", "y2", ""]),
    ] {
        let value = numbers.pick(values);
        if !value.is_empty() {
            row[name] = json!(value);
        }
    }
    if numbers.below(6) > 0 {
        row["duration"] = json!(numbers.below(500));
        row["size"] = json!(numbers.below(1 << 33));
    }
    if row["status"] != "RECORDING" && numbers.below(5) > 0 {
        row["end_time"] = json!(instant(start + i64::try_from(numbers.below(500)).unwrap()));
    }
    row
}

/// A second of 2026, as the upstream writes it.
pub(crate) fn instant(second: i64) -> String {
    let begin = "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
    (begin + jiff::SignedDuration::from_secs(second)).to_string()
}

/// The rows that the upstream's own filters leave, as it understands them: a user by a part of the name.
pub(crate) fn found<'r>(seen: &Seen, rows: &'r [Value]) -> Vec<&'r Value> {
    let is = |row: &Value, field: &str| {
        seen.parameter(field).is_none_or(|value| row[field] == value.as_str())
    };
    let time = |name| seen.parameter(name).map(|text| text.replace(' ', "T") + "Z");
    let (from, to) = (time("start_time"), time("end_time"));
    let is_found = |row: &&Value| {
        let start = row["start_time"].as_str().unwrap_or_default();
        let user = seen.parameter("username").unwrap_or_default();
        row["username"].as_str().unwrap_or_default().contains(&user)
            && is(row, "desktop_id")
            && is(row, "status")
            && is(row, "type")
            && from.as_deref().is_none_or(|from| start >= from)
            && to.as_deref().is_none_or(|to| start <= to)
    };
    rows.iter().filter(is_found).collect()
}

/// An upstream that lists rows and has the documented filters.
pub(crate) async fn listing(rows: Vec<Value>) -> ScriptedUpstream {
    ScriptedUpstream::start(move |seen| {
        let found: Vec<Value> = found(seen, &rows).into_iter().cloned().collect();
        seen.page_of("screen_records", &found)
    })
    .await
}

/// Rows a minute apart, the newest first.
fn rows(count: usize) -> Vec<Value> {
    let mut numbers = Numbers(7);
    let row = |number: usize| random_row(number, 60 * i64::try_from(number).unwrap(), &mut numbers);
    let mut rows: Vec<Value> = (0..count).map(row).collect();
    rows.reverse();
    rows
}

fn list(arguments: &str) -> String {
    format!(
        "{{ screenRecords(projectId: \"{PROJECT}\" {arguments}) {{ \
         nodes {{ id }} totalCount pageInfo {{ hasNextPage endCursor }} }} }}"
    )
}

fn filtered(filter: &str) -> String {
    list(&format!("first: 1000 filter: {{ {filter} }}"))
}

/// The ids of a list.
fn ids(answer: &Value) -> Vec<&str> {
    let nodes = answer["data"]["screenRecords"]["nodes"].as_array();
    let nodes = nodes.unwrap_or_else(|| unreachable!("{answer}"));
    nodes.iter().map(|node| node["id"].as_str().unwrap()).collect()
}

fn folded(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('-', "").to_lowercase()
}

/// The status or type as the schema shows it, if the row has one.
fn shown<'r>(row: &'r Value, field: &str) -> Option<&'r str> {
    match row[field].as_str()? {
        "ARCHIVED" | "NEW" => Some("UNKNOWN"),
        "USER_OPERATION" => Some("OPERATION"),
        value => Some(value),
    }
}

fn was_running(row: &Value, at: i64) -> bool {
    let at = instant(at);
    let not_ended = match row["end_time"].as_str() {
        Some(end) => *end >= *at,
        None => row["status"] == "RECORDING",
    };
    *row["start_time"].as_str().unwrap() <= *at && not_ended
}

type Condition = fn(&Value) -> bool;

const CONDITIONS: &[(&str, Condition)] = &[
    ("statuses: [REC_FAILED, UPLOAD_FAILED]", |row| {
        ["REC_FAILED", "UPLOAD_FAILED"].contains(&row["status"].as_str().unwrap_or_default())
    }),
    ("statuses: [UPLOADING]", |row| row["status"] == "UPLOADING"),
    ("statuses: [REC_FAILED]", |row| row["status"] == "REC_FAILED"),
    ("statuses: [UNKNOWN]", |row| shown(row, "status") == Some("UNKNOWN")),
    ("status: RECORDING statuses: [UPLOADING, RECORDING]", |row| row["status"] == "RECORDING"),
    ("status: RECORDING statuses: [UPLOADING]", |_| false),
    ("types: [OPERATION]", |row| shown(row, "type") == Some("OPERATION")),
    ("types: [SESSION, UNKNOWN]", |row| {
        ["SESSION", "UNKNOWN"].contains(&shown(row, "type").unwrap_or_default())
    }),
    ("types: [FULL]", |row| row["type"] == "FULL"),
    ("usernames: [\"alice\"]", |row| row["username"] == "alice"),
    ("usernames: [\"bob\", \"张三\", \"Bob\"]", |row| {
        ["bob", "张三"].contains(&row["username"].as_str().unwrap_or_default())
    }),
    ("username: \"alice\" usernames: [\"alice2\", \"bob\"]", |row| row["username"] == "alice2"),
    ("desktopIds: [\"D1\"]", |row| folded(&row["desktop_id"]) == "d1"),
    ("desktopIds: [\"d-2\", \"d3\"]", |row| {
        ["d2", "d3"].contains(&folded(&row["desktop_id"]).as_str())
    }),
    ("desktopPoolId: \"P1\"", |row| folded(&row["desktop_pool_id"]) == "p1"),
    ("policyId: \"Y1\"", |row| folded(&row["policy_id"]) == "y1"),
    ("minDuration: 250", |row| row["duration"].as_i64().is_some_and(|s| s >= 250)),
    ("maxDuration: 100", |row| row["duration"].as_i64().is_some_and(|s| s <= 100)),
    ("minDuration: 0", |row| row["duration"].is_i64()),
    ("minDuration: 100 maxDuration: 100", |row| row["duration"] == 100),
    ("runningAt: \"2026-01-01T02:00:00.500Z\"", |row| was_running(row, 7200)),
    ("runningAt: \"2026-01-01T02:00:00Z\" statuses: [RECORDING]", |row| {
        was_running(row, 7200) && row["status"] == "RECORDING"
    }),
    ("runningAt: \"2026-01-01T09:00:00+08:00\" startedAfter: \"2026-01-01T00:58:00Z\"", |row| {
        was_running(row, 3600) && *row["start_time"].as_str().unwrap() >= *instant(58 * 60)
    }),
    ("runningAt: \"2026-01-01T02:00:00Z\" startedBefore: \"2026-01-01T01:58:30.9Z\"", |row| {
        was_running(row, 7200) && *row["start_time"].as_str().unwrap() <= *instant(7110)
    }),
    ("runningAt: \"2026-02-01T00:00:00Z\" startedBefore: \"2026-01-02T00:00:00Z\"", |_| false),
];

#[tokio::test]
async fn a_filtered_list_holds_the_rows_that_meet_every_condition() {
    let rows = rows(230);
    let gateway = Gateway::before(listing(rows.clone()).await).await;

    for (filter, condition) in CONDITIONS {
        let answer = gateway.query(&filtered(filter)).await;

        let expected: Vec<&str> = rows
            .iter()
            .filter(|row| condition(row))
            .map(|row| row["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids(&answer), expected, "{filter}");
        let list = &answer["data"]["screenRecords"];
        assert_eq!(list["totalCount"], expected.len(), "{filter}");
        assert_eq!(list["pageInfo"]["hasNextPage"], false, "{filter}");
    }
}

#[tokio::test]
async fn a_condition_that_the_upstream_documents_is_sent_and_checked_again() {
    let gateway = Gateway::before(listing(rows(230)).await).await;

    for (filter, sent) in [
        ("statuses: [UPLOADING]", [None, Some("UPLOADING"), None]),
        ("statuses: [REC_FAILED]", [None; 3]),
        ("statuses: [UNKNOWN]", [None; 3]),
        ("statuses: [UPLOADING, RECORDING]", [None; 3]),
        ("status: RECORDING statuses: [UPLOADING]", [None, Some("RECORDING"), None]),
        ("types: [SESSION]", [None, None, Some("SESSION")]),
        ("types: [OPERATION]", [None; 3]),
        ("usernames: [\"alice\"]", [Some("alice"), None, None]),
        ("usernames: [\"alice\", \"bob\"]", [None; 3]),
        ("username: \"ali\" usernames: [\"alice\"]", [Some("ali"), None, None]),
    ] {
        let calls = gateway.upstream_requests();
        gateway.query(&filtered(filter)).await;

        for seen in gateway.upstream.seen().iter().skip(calls) {
            let got = ["username", "status", "type"].map(|name| seen.parameter(name));
            assert_eq!(got.each_ref().map(Option::as_deref), sent, "{filter}");
        }
    }
}

#[tokio::test]
async fn what_runs_at_an_instant_is_looked_for_15_days_back() {
    let gateway = Gateway::before(listing(rows(10)).await).await;

    let window = async |filter: &str| {
        let calls = gateway.upstream_requests();
        gateway.query(&filtered(filter)).await;
        let seen = gateway.upstream.seen()[calls].clone();
        ["start_time", "end_time"].map(|name| seen.parameter(name).unwrap())
    };

    assert_eq!(
        window("runningAt: \"2026-01-20T10:00:00.001Z\"").await,
        ["2026-01-05 10:00:00", "2026-01-20 10:00:01"]
    );
    let started = "startedAfter: \"2025-01-01T00:00:00Z\" startedBefore: \"2026-01-20T09:00:00Z\"";
    assert_eq!(
        window(&format!("runningAt: \"2026-01-20T10:00:00Z\" {started}")).await,
        ["2025-01-01 00:00:00", "2026-01-20 09:00:00"]
    );
}

#[tokio::test]
async fn an_empty_list_of_values_matches_nothing_and_sends_nothing() {
    let gateway = Gateway::before(listing(rows(10)).await).await;

    for filter in ["statuses: []", "types: []", "usernames: []", "desktopIds: []"] {
        let answer = gateway.query(&filtered(filter)).await;

        let list = &answer["data"]["screenRecords"];
        assert_eq!((ids(&answer).len(), &list["totalCount"]), (0, &json!(0)), "{filter}");
    }
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn a_value_that_makes_no_sense_is_refused_by_name_and_sends_nothing() {
    let gateway = Gateway::before(listing(rows(10)).await).await;

    for (filter, message) in [
        ("minDuration: -1", "filter.minDuration is -1: it must be 0 seconds or more"),
        ("maxDuration: -5", "filter.maxDuration is -5: it must be 0 seconds or more"),
        (
            "minDuration: 2 maxDuration: 1",
            "filter.minDuration is 2: it must not be more than maxDuration, 1",
        ),
        ("desktopPoolId: \"\"", "filter.desktopPoolId must be 1 to 255 characters"),
        ("policyId: \"a\\nb\"", "filter.policyId must be 1 to 255 characters"),
        ("desktopIds: [\"d1\", \" \"]", "filter.desktopIds must be 1 to 255 characters"),
        ("usernames: [\"\"]", "filter.usernames must be 1 to 255 characters"),
        (
            "status: UNKNOWN",
            "filter.status is UNKNOWN, which the upstream cannot look for: use statuses",
        ),
        (
            "runningAt: \"2026-01-01T00:00:00Z\" startedAfter: \"2026-01-02T00:00:00Z\"",
            "filter.startedAfter is 2026-01-02T00:00:00.000Z: it must not be later than runningAt",
        ),
    ] {
        let answer = gateway.query(&filtered(filter)).await;

        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{filter}: {answer}");
        assert!(error["message"].as_str().unwrap().contains(message), "{filter}: {answer}");
    }
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn a_filtered_list_is_walked_through_by_cursors_that_belong_to_it() {
    let all = rows(230);
    let gateway = Gateway::before(listing(all.clone()).await).await;
    let condition = "desktopIds: [\"d1\"]";

    let (mut walked, mut after) = (Vec::new(), Value::Null);
    loop {
        let arguments = format!("first: 7 after: {after} filter: {{ {condition} }}");
        let answer = gateway.query(&list(&arguments)).await;
        walked.extend(ids(&answer).into_iter().map(str::to_owned));
        let info = &answer["data"]["screenRecords"]["pageInfo"];
        after = info["endCursor"].clone();
        if info["hasNextPage"] == false {
            break;
        }
    }

    let expected: Vec<&Value> =
        all.iter().filter(|row| folded(&row["desktop_id"]) == "d1").map(|row| &row["id"]).collect();
    assert_eq!(json!(walked), json!(expected));
    for filter in ["desktopIds: [\"d2\"]", ""] {
        let other = list(&format!("after: {after} filter: {{ {filter} }}"));
        let answer = gateway.query(&other).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{filter}");
    }
}

#[tokio::test]
async fn filtered_lists_of_an_operation_share_the_rows_they_may_scan_and_plain_ones_do_not_count() {
    let few = |config: &mut Config| config.limits.max_scanned_rows = 150;
    let gateway = Gateway::configured(listing(rows(600)).await, few).await;
    let mut document = "{".to_owned();
    for (alias, arguments) in [
        ("plain", "first: 500"),
        ("one", "first: 500 filter: { minDuration: 1000 }"),
        ("other", "first: 500 filter: { minDuration: 1001 }"),
    ] {
        let list = list(arguments);
        let field = list.trim_matches(['{', '}', ' ']);
        write!(document, " {alias}: {field} }} }}").unwrap();
    }

    let answer = gateway.query(&(document + " }")).await;

    let part = |alias: &str| {
        let list = &answer["data"][alias];
        let rows = list["nodes"].as_array().unwrap().len();
        (rows, list["totalCount"].clone(), list["pageInfo"]["hasNextPage"].clone())
    };
    assert_eq!(part("plain"), (500, json!(600), json!(true)), "{answer}");
    assert_eq!(part("one"), (0, Value::Null, json!(true)));
    assert_eq!(part("other"), (0, Value::Null, json!(true)));
    let scanned = "gateway_access_scanned_rows_total 150";
    assert!(gateway.admin_get("/metrics").await.1.lines().any(|line| line == scanned));
}
