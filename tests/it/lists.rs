//! Lists: pages by cursors, and the records that they leave in the cache.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream, Seen, TOKEN, patient};

/// Recordings `r{from}` down to `r0`, each a second older than the one before.
fn records(newest: usize) -> Vec<Value> {
    let record = |number: usize| {
        let start = format!("2026-01-01T00:{:02}:{:02}Z", number / 60, number % 60);
        json!({ "id": format!("r{number}"), "status": "UPLOAD_COMPLETED", "start_time": start })
    };
    (0..=newest).rev().map(record).collect()
}

/// An upstream that lists rows which a test may change.
async fn listing(rows: Vec<Value>) -> (Gateway, Arc<Mutex<Vec<Value>>>) {
    let rows = Arc::new(Mutex::new(rows));
    let listed = Arc::clone(&rows);
    let upstream = ScriptedUpstream::start(move |seen| {
        seen.page_of("screen_records", &listed.lock().unwrap())
    })
    .await;
    (Gateway::before(upstream).await, rows)
}

fn list(arguments: &str, selection: &str) -> String {
    format!(r#"{{ screenRecords(projectId: "{PROJECT}" {arguments}) {{ {selection} }} }}"#)
}

/// The ids of the list; empty if there is no list.
fn ids(answer: &Value) -> Vec<&str> {
    let nodes = answer["data"]["screenRecords"]["nodes"].as_array();
    nodes.into_iter().flatten().filter_map(|node| node["id"].as_str()).collect()
}

const PART: &str = "nodes { id } pageInfo { hasNextPage hasPreviousPage endCursor } totalCount";

#[tokio::test]
async fn a_list_is_paged_through_by_cursors() {
    let (gateway, _) = listing(records(4)).await;

    let first = gateway.query(&list("first: 2", PART)).await;
    let info = &first["data"]["screenRecords"]["pageInfo"];
    let after = format!("first: 3 after: {}", info["endCursor"]);
    let second = gateway.query(&list(&after, PART)).await;

    assert_eq!((ids(&first), ids(&second)), (vec!["r4", "r3"], vec!["r2", "r1", "r0"]));
    assert_eq!(first["data"]["screenRecords"]["totalCount"], 5);
    assert_eq!((&info["hasNextPage"], &info["hasPreviousPage"]), (&json!(true), &json!(false)));
    let info = &second["data"]["screenRecords"]["pageInfo"];
    assert_eq!((&info["hasNextPage"], &info["hasPreviousPage"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn rows_that_shift_between_two_pages_are_not_repeated() {
    let (gateway, rows) = listing(records(4)).await;
    let first = gateway.query(&list("first: 2", PART)).await;
    *rows.lock().unwrap() = records(7);

    let cursor = &first["data"]["screenRecords"]["pageInfo"]["endCursor"];
    let second = gateway.query(&list(&format!("first: 2 after: {cursor}"), PART)).await;

    assert_eq!(ids(&second), ["r2", "r1"]);
}

#[tokio::test]
async fn a_cursor_stays_valid_after_a_restart() {
    let (gateway, _) = listing(records(4)).await;
    let first = gateway.query(&list("first: 2", PART)).await;
    let cursor = &first["data"]["screenRecords"]["pageInfo"]["endCursor"];

    let (restarted, _) = listing(records(4)).await;
    let second = restarted.query(&list(&format!("first: 2 after: {cursor}"), PART)).await;

    assert_eq!(ids(&second), ["r2", "r1"]);
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused_before_anything_is_sent() {
    let (gateway, _) = listing(records(4)).await;
    let first = gateway.query(&list("first: 2", PART)).await;
    let cursor = &first["data"]["screenRecords"]["pageInfo"]["endCursor"];
    let calls = gateway.upstream_requests();

    for arguments in [
        format!(r#"after: {cursor} filter: {{ username: "u" }}"#),
        r#"after: "no cursor""#.to_owned(),
        "first: 1001".to_owned(),
        "first: -1".to_owned(),
        "filter: { status: UNKNOWN }".to_owned(),
        r#"filter: { username: "" }"#.to_owned(),
        "filter: { desktopNames: [] }".to_owned(),
    ] {
        let answer = gateway.query(&list(&arguments, "totalCount")).await;

        let code = &answer["errors"][0]["extensions"]["code"];
        assert_eq!(code, "BAD_USER_INPUT", "{arguments}: {answer}");
        assert_eq!(answer["data"], Value::Null);
    }
    assert_eq!(gateway.upstream_requests(), calls);
}

#[tokio::test]
async fn a_large_page_is_read_in_concurrent_calls_of_100_rows() {
    let (gateway, _) = listing(records(249)).await;
    gateway.upstream.hold();

    let document = list("first: 250", "nodes { id }");
    let (answer, ()) = tokio::join!(gateway.query(&document), async {
        gateway.upstream.arrived(3).await;
        gateway.upstream.release();
    });

    assert_eq!((ids(&answer).len(), gateway.upstream_requests()), (250, 3));
    let mut pages: Vec<_> = gateway
        .upstream
        .seen()
        .iter()
        .map(|seen| (seen.parameter("offset").unwrap(), seen.parameter("limit").unwrap()))
        .collect();
    pages.sort();
    let page = |offset: &str, limit: &str| (offset.to_owned(), limit.to_owned());
    assert_eq!(pages, [page("0", "100"), page("100", "100"), page("200", "50")]);
}

#[tokio::test]
async fn opening_a_listed_record_costs_no_call() {
    let (gateway, _) = listing(records(4)).await;
    gateway.query(&list("first: 5", "nodes { id }")).await;

    let document =
        format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "r3") {{ id startTime }} }}"#);
    let answer = gateway.query(&document).await;

    assert_eq!(answer["data"]["screenRecord"]["startTime"], "2026-01-01T00:00:03.000Z");
    assert_eq!(gateway.upstream_requests(), 1);
}

#[tokio::test]
async fn a_page_is_cached_for_one_caller_and_for_seconds() {
    let (gateway, _) = listing(records(4)).await;
    let document = list("first: 2", "nodes { id }");

    gateway.query(&document).await;
    gateway.query(&document).await;
    assert_eq!(gateway.upstream_requests(), 1, "a page was not kept");

    gateway.query_as("another-token", &document).await;
    assert_eq!(gateway.upstream_requests(), 2, "a page crossed callers");

    gateway.advance(Duration::from_secs(5));
    gateway.query(&document).await;
    assert_eq!(gateway.upstream_requests(), 3, "a page was served past its life");
}

#[tokio::test]
async fn a_stale_page_replaces_an_outage_but_not_a_refusal() {
    let (gateway, _) = listing(records(4)).await;
    let document = list("first: 2", "nodes { id }");
    gateway.query(&document).await;
    gateway.advance(Duration::from_secs(30));

    gateway.upstream.answer_with(|_| Reply::json(503, &json!({ "error_code": "WKS.00050902" })));
    let stale = gateway.query(&document).await;
    gateway.advance(Duration::from_secs(1));
    gateway.upstream.answer_with(|_| Reply::json(403, &json!({ "error_code": "WKS.00081102" })));
    let refused = gateway.query(&document).await;
    gateway.upstream.answer_with(|_| Reply::json(503, &json!({ "error_code": "WKS.00050902" })));
    let dropped = gateway.query(&document).await;

    assert_eq!((ids(&stale).len(), &stale["extensions"]["stale"]), (2, &json!(true)));
    assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(dropped["errors"][0]["extensions"]["code"], "UPSTREAM_UNAVAILABLE");
}

#[tokio::test]
async fn a_thousand_requests_for_one_page_make_one_call() {
    let upstream =
        ScriptedUpstream::start(|seen| seen.page_of("screen_records", &records(4))).await;
    let gateway = Gateway::configured(upstream, patient).await;
    gateway.upstream.hold();
    let document = list("first: 2", "nodes { id }");

    let asking = futures_util::future::join_all((0..1000).map(|_| gateway.query(&document)));
    let (answers, ()) = tokio::join!(asking, async {
        gateway.in_flight(1000).await;
        gateway.upstream.release();
    });

    assert!(answers.iter().all(|answer| ids(answer) == ["r4", "r3"]));
    assert_eq!(gateway.upstream_requests(), 1);
}

#[tokio::test]
async fn a_query_for_the_total_alone_reads_one_row() {
    let (gateway, _) = listing(records(4)).await;

    let answer = gateway.query(&list("", "totalCount")).await;

    assert_eq!(answer["data"]["screenRecords"]["totalCount"], 5);
    assert_eq!(gateway.upstream.seen()[0].parameter("limit").as_deref(), Some("1"));
}

#[tokio::test]
async fn filters_are_sent_as_the_upstream_names_them_and_times_in_utc() {
    let (gateway, _) = listing(records(4)).await;

    let filter = r#"filter: {
        desktopId: "d", desktopNames: ["a", "b"], username: "Amélie", status: REC_FAILED, type: SESSION,
        startedAfter: "2026-01-01T08:00:00.999+08:00", startedBefore: "2026-02-01T00:00:00Z"
    } orderBy: { field: START_TIME, direction: ASC }"#;
    let answer = gateway.query(&list(filter, "totalCount")).await;

    assert_eq!(answer.get("errors"), None);
    let seen = &gateway.upstream.seen()[0];
    for (name, value) in [
        ("desktop_id", "d"),
        ("desktop_names", "a,b"),
        ("username", "Amélie"),
        ("status", "REC_FAILED"),
        ("type", "SESSION"),
        ("start_time", "2026-01-01 00:00:00"),
        ("end_time", "2026-02-01 00:00:00"),
        ("sort_field", "start_time"),
        ("sort_type", "asc"),
    ] {
        assert_eq!(seen.parameter(name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_costs_no_other() {
    let rows = vec![
        json!({ "id": "r1" }),
        json!(5),
        json!({ "status": "RECORDING" }),
        json!({ "id": "r2", "size": "big" }),
    ];
    let (gateway, _) = listing(rows).await;

    let answer = gateway.query(&list("", "nodes { id size }")).await;

    let nodes = &answer["data"]["screenRecords"]["nodes"];
    assert_eq!(
        nodes,
        &json!([{ "id": "r1", "size": null }, null, null, { "id": "r2", "size": null }])
    );
    let paths: Vec<&Value> =
        answer["errors"].as_array().unwrap().iter().map(|error| &error["path"]).collect();
    assert_eq!(
        paths,
        [
            &json!(["screenRecords", "nodes", 1]),
            &json!(["screenRecords", "nodes", 2]),
            &json!(["screenRecords", "nodes", 3, "size"])
        ]
    );
}

#[tokio::test]
async fn an_error_body_with_status_200_is_an_error() {
    let (gateway, _) = listing(Vec::new()).await;
    gateway.upstream.answer_with(|_| Reply::json(200, &json!({ "error_code": "WKS.00010110" })));
    let answer = gateway.query(&list("", "totalCount")).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_ERROR");

    gateway.upstream.answer_with(|_| Reply::json(200, &json!({ "rows": [] })));
    let answer = gateway.query(&list("", "totalCount")).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_INVALID_RESPONSE");
}

/// The requested rows of a list, at most `most` of them.
fn capped_page(seen: &Seen, key: &str, rows: &[Value], most: usize) -> Reply {
    let number = |name: &str| seen.parameter(name).unwrap().parse::<usize>().unwrap();
    let shown: Vec<&Value> =
        rows.iter().skip(number("offset")).take(number("limit").min(most)).collect();
    Reply::json(200, &json!({ key: shown, "total_count": rows.len() }))
}

/// The ids `r{from}` down to `r{to}`.
fn down(from: usize, to: usize) -> Vec<String> {
    (to..=from).rev().map(|number| format!("r{number}")).collect()
}

#[tokio::test]
async fn an_upstream_that_returns_fewer_rows_than_requested_loses_none() {
    let rows = records(229);
    let upstream =
        ScriptedUpstream::start(move |seen| capped_page(seen, "screen_records", &rows, 50)).await;
    let gateway = Gateway::before(upstream).await;

    let hundred = gateway.query(&list("first: 100", PART)).await;
    let more = gateway.query(&list("first: 150", PART)).await;
    let cursor = &more["data"]["screenRecords"]["pageInfo"]["endCursor"];
    let rest = gateway.query(&list(&format!("first: 100 after: {cursor}"), PART)).await;

    assert_eq!(ids(&hundred), down(229, 130));
    assert_eq!(ids(&more), down(229, 80));
    assert_eq!(ids(&rest), down(79, 0));
    let has_next = |part: &Value| part["data"]["screenRecords"]["pageInfo"]["hasNextPage"].clone();
    assert_eq!([&hundred, &more, &rest].map(has_next), [true, true, false]);
}

#[tokio::test]
async fn an_upstream_that_returns_fewer_operations_than_requested_loses_none() {
    let rows: Vec<Value> = (0..120).map(|n| json!({ "id": format!("o{n}") })).collect();
    let upstream = ScriptedUpstream::start(move |seen| {
        if seen.path.contains("os-operations") {
            capped_page(seen, "operations", &rows, 10)
        } else {
            Reply::json(200, &json!({ "id": "r1" }))
        }
    })
    .await;
    let gateway = Gateway::before(upstream).await;

    let document = format!(
        r#"{{ screenRecord(projectId: "{PROJECT}", id: "r1") {{
            operations(first: 110) {{ nodes {{ id }} pageInfo {{ hasNextPage }} }} }} }}"#
    );
    let answer = gateway.query(&document).await;

    let operations = &answer["data"]["screenRecord"]["operations"];
    let nodes = operations["nodes"].as_array().unwrap();
    assert_eq!((nodes.len(), &nodes[109]["id"]), (110, &json!("o109")));
    assert_eq!(operations["pageInfo"]["hasNextPage"], true);
}

#[tokio::test]
async fn an_empty_page_before_the_total_is_an_error() {
    let rows = records(29);
    let upstream = ScriptedUpstream::start(move |seen| {
        let is_first = seen.parameter("offset").as_deref() == Some("0");
        let given: &[Value] = if is_first { &rows[..20] } else { &[] };
        Reply::json(200, &json!({ "screen_records": given, "total_count": 30 }))
    })
    .await;
    let gateway = Gateway::before(upstream).await;

    let answer = gateway.query(&list("first: 25", PART)).await;

    assert_eq!(answer["data"], Value::Null);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_INVALID_RESPONSE", "{answer}");
    assert_eq!(
        answer["errors"][0]["message"],
        "the upstream's answer has no rows from number 20 on, although it counts 30 in all"
    );
}

#[tokio::test]
async fn a_total_below_the_number_of_rows_loses_no_row() {
    let rows = records(29);
    let upstream = ScriptedUpstream::start(move |seen| {
        let number = |name: &str| seen.parameter(name).unwrap().parse::<usize>().unwrap();
        let shown: Vec<&Value> = rows.iter().skip(number("offset")).take(number("limit")).collect();
        Reply::json(200, &json!({ "screen_records": shown, "total_count": 5 }))
    })
    .await;
    let gateway = Gateway::before(upstream).await;

    let first = gateway.query(&list("first: 20", PART)).await;
    let cursor = &first["data"]["screenRecords"]["pageInfo"]["endCursor"];
    let rest = gateway.query(&list(&format!("first: 20 after: {cursor}"), PART)).await;

    assert_eq!(ids(&first), down(29, 10));
    assert_eq!(ids(&rest), down(9, 0));
    let has_next = |part: &Value| part["data"]["screenRecords"]["pageInfo"]["hasNextPage"].clone();
    assert_eq!([&first, &rest].map(has_next), [true, false]);
}

#[tokio::test]
async fn a_value_that_is_not_json_costs_no_other_row_or_field() {
    let body = b"{\"total_count\": 3, \"screen_records\": [{\"id\": \"r2\", \"username\": \"\xd5\xc5\xc8\xfd\"},\
        {\"id\": \"r1\", \"size\": NaN, \"username\": \"u\"}, {\"id\": \"r0\", \"username\": \"v\"}]}";
    let headers = [("content-type", "application/json")];
    let upstream = ScriptedUpstream::start(move |_| Reply::bytes(200, &headers, &body[..])).await;
    let gateway = Gateway::before(upstream).await;

    let answer = gateway.query(&list("", "totalCount nodes { id username size }")).await;

    assert_eq!(
        answer["data"]["screenRecords"],
        json!({ "totalCount": 3, "nodes": [
            { "id": "r2", "username": null, "size": null },
            { "id": "r1", "username": "u", "size": null },
            { "id": "r0", "username": "v", "size": null },
        ] }),
        "{answer}"
    );
    let errors: Vec<_> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (&error["path"], &error["extensions"]["upstream"]["value"]))
        .collect();
    let bad_name = json!("\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(
        errors,
        [
            (&json!(["screenRecords", "nodes", 0, "username"]), &bad_name),
            (&json!(["screenRecords", "nodes", 1, "size"]), &json!("NaN")),
        ]
    );
}

#[tokio::test]
async fn operations_are_a_connection_with_filters() {
    let upstream = ScriptedUpstream::start(|seen| {
        if !seen.path.contains("os-operations") {
            return Reply::json(200, &json!({ "id": "r1" }));
        }
        let rows: Vec<Value> = (0..3)
            .map(|n| {
                json!({ "id": format!("o{n}"), "event_type": "APP", "event_level": "PANIC",
                "operation_time": "2026-01-01 00:00:00", "relative_start_time": n * 10 })
            })
            .collect();
        seen.page_of("operations", &rows)
    })
    .await;
    let gateway = Gateway::before(upstream).await;

    let document = format!(
        r#"{{ screenRecord(projectId: "{PROJECT}", id: "r1") {{ operations(first: 2, filter: {{
            type: APP, event: "APP_START", level: ALARM, data: "x y" }}) {{
            totalCount pageInfo {{ hasNextPage }}
            edges {{ cursor node {{ id type level rawLevel time offset }} }} }} id }} }}"#
    );
    let answer = gateway.query(&document).await;

    assert_eq!(answer.get("errors"), None, "{answer}");
    let operations = &answer["data"]["screenRecord"]["operations"];
    assert_eq!(
        (&operations["totalCount"], &operations["pageInfo"]["hasNextPage"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(
        operations["edges"][1]["node"],
        json!({ "id": "o1", "type": "APP", "level": "UNKNOWN", "rawLevel": "PANIC",
            "time": "2026-01-01T00:00:00.000Z", "offset": 10 })
    );
    let seen = gateway.upstream.seen();
    let seen = seen.iter().find(|seen| seen.path.contains("os-operations")).unwrap();
    for (name, value) in [
        ("event_type", "APP"),
        ("event_id", "APP_START"),
        ("event_level", "ALARM"),
        ("event_data", "x y"),
    ] {
        assert_eq!(seen.parameter(name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn refused_operations_leave_the_record_intact() {
    let upstream = ScriptedUpstream::start(|seen| {
        if seen.path.contains("os-operations") {
            Reply::json(403, &json!({ "error_code": "WKS.00081102" }))
        } else {
            Reply::json(200, &json!({ "id": "r1" }))
        }
    })
    .await;
    let gateway = Gateway::before(upstream).await;

    let document = format!(
        r#"{{ screenRecord(projectId: "{PROJECT}", id: "r1") {{ id operations {{ totalCount }} }} }}"#
    );
    let answer = gateway.query(&document).await;

    assert_eq!(answer["data"]["screenRecord"], json!({ "id": "r1", "operations": null }));
    assert_eq!(answer["errors"][0]["path"], json!(["screenRecord", "operations"]));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn the_max_age_of_an_answer_is_that_of_its_page() {
    let (gateway, _) = listing(records(1)).await;
    gateway.advance(Duration::from_millis(1));

    let answer = gateway.post(&list("first: 1", "totalCount"), &[("x-auth-token", TOKEN)]).await;

    let max_age = answer.header("cache-control").strip_prefix("private, max-age=").unwrap();
    assert!(["4", "5"].contains(&max_age), "{max_age}");
    assert!(answer.header("cache-status").contains("fwd=miss"), "{:?}", answer.headers);
}

#[tokio::test]
async fn waiting_fields_are_answered_in_the_order_of_the_document() {
    let (gateway, _) = listing(records(1)).await;
    let selection = "totalCount nodes { b: downloadUrl operations { totalCount } a: id }";
    let document = json!({ "query": list("first: 1", selection) }).to_string();

    let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    let answer = request.header("x-auth-token", TOKEN).body(document).send().await.unwrap();
    let text = answer.text().await.unwrap();

    let keys = ["\"totalCount\":2", "\"nodes\":", "\"b\":", "\"operations\":", "\"a\":"];
    let places: Vec<_> = keys.map(|key| text.find(key)).into();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{text}");
}
