//! Answers that the GraphQL specification determines.

use serde_json::{Value, json};

use crate::support::{Gateway, PROJECT, RECORD, Reply, ScriptedUpstream, TOKEN};

/// A gateway whose upstream has one recording, on its own and in a list.
async fn gateway() -> Gateway {
    let record = || json!({ "id": RECORD, "size": 7, "status": "UPLOAD_COMPLETED" });
    let upstream = ScriptedUpstream::start(move |seen| {
        if seen.path.split('?').next().is_some_and(|path| path.ends_with("/screen-records")) {
            seen.page_of("screen_records", &[record()])
        } else {
            Reply::json(200, &record())
        }
    });
    Gateway::before(upstream.await).await
}

async fn send(gateway: &Gateway, query: &str, variables: Value) -> Value {
    let text = written(gateway, &json!({ "query": query, "variables": variables })).await;
    serde_json::from_str(&text).unwrap()
}

/// The response as it is written, members in order.
async fn written(gateway: &Gateway, body: &Value) -> String {
    let request = gateway
        .http()
        .post(gateway.url())
        .header("content-type", "application/json")
        .header("x-auth-token", TOKEN)
        .body(body.to_string());
    request.send().await.unwrap().text().await.unwrap()
}

fn record(arguments: &str, selection: &str) -> String {
    format!(
        r#"{arguments}{{ screenRecord(projectId: "{PROJECT}", id: "{RECORD}") {{ {selection} }} }}"#
    )
}

#[tokio::test]
async fn a_variable_that_is_not_sent_has_its_default() {
    let gateway = gateway().await;
    let query = |default: &str, selection: &str| {
        record(&format!("query($x: Boolean = {default})"), selection)
    };

    let plain = send(&gateway, &query("true", "size @include(if: $x)"), json!({})).await;
    let merged = "size @include(if: $x) ... @skip(if: $x) { size id }";
    let other = send(&gateway, &query("false", merged), json!({})).await;
    let listed = format!(
        r#"query($n: Int = 0) {{ screenRecords(projectId: "{PROJECT}", first: $n) {{ nodes {{ id }} }} }}"#
    );
    let listed = send(&gateway, &listed, json!({})).await;

    assert_eq!(plain, json!({ "data": { "screenRecord": { "size": 7 } } }));
    assert_eq!(other, json!({ "data": { "screenRecord": { "size": 7, "id": RECORD } } }));
    assert_eq!(listed, json!({ "data": { "screenRecords": { "nodes": [] } } }));
}

#[tokio::test]
async fn an_object_without_fields_is_empty_and_not_null() {
    let gateway = gateway().await;
    let list = |selection: &str| {
        format!(r#"{{ screenRecords(projectId: "{PROJECT}") {{ {selection} }} }}"#)
    };

    let info = gateway.query(&list("pageInfo { hasNextPage @skip(if: true) }")).await;
    let rows = gateway.query(&list("nodes { id @skip(if: true) }")).await;
    let all = gateway.query(&list("totalCount @skip(if: true)")).await;

    assert_eq!(info, json!({ "data": { "screenRecords": { "pageInfo": {} } } }));
    assert_eq!(rows, json!({ "data": { "screenRecords": { "nodes": [{}] } } }));
    assert_eq!(all, json!({ "data": { "screenRecords": {} } }));
}

#[tokio::test]
async fn a_bad_date_time_is_a_request_error_without_a_call() {
    let gateway = gateway().await;
    let list = |declared: &str, value: &str| {
        let filter = format!("filter: {{ startedAfter: {value} }}");
        format!(
            r#"{declared}{{ screenRecords(projectId: "{PROJECT}", {filter}) {{ totalCount }} }}"#
        )
    };

    let literal = gateway.query(&list("", r#""yesterday""#)).await;
    let variables = json!({ "t": "yesterday" });
    let variable = send(&gateway, &list("query($t: DateTime)", "$t"), variables).await;
    let filter = r#"query($f: ScreenRecordFilter) { screenRecords(projectId: "p", filter: $f) { totalCount } }"#;
    let nested = send(&gateway, filter, json!({ "f": { "startedAfter": 1 } })).await;

    assert_eq!(literal["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(variable["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    assert_eq!(
        nested["errors"][0]["message"],
        "variable $f.startedAfter got a number: DateTime is needed"
    );
    for answer in [literal, variable, nested] {
        assert_eq!((answer.get("data"), gateway.upstream_requests()), (None, 0), "{answer}");
    }
}

#[tokio::test]
async fn a_variable_of_an_input_type_that_is_no_object_is_a_request_error() {
    let gateway = gateway().await;
    let filter = r#"query($f: ScreenRecordFilter) { screenRecords(projectId: "p", filter: $f) { totalCount } }"#;

    let answer = send(&gateway, filter, json!({ "f": "odd" })).await;

    let message = "variable $f got a text: ScreenRecordFilter is needed";
    assert_eq!(answer["errors"][0]["message"], message);
    assert_eq!((answer.get("data"), gateway.upstream_requests()), (None, 0), "{answer}");
}

#[tokio::test]
async fn an_error_of_a_non_null_root_field_nulls_data() {
    let gateway = gateway().await;

    let answer =
        gateway.query(r#"{ __typename screenRecords(projectId: "../p") { totalCount } }"#).await;

    assert_eq!(answer["data"], Value::Null);
    assert_eq!(answer["errors"][0]["path"], json!(["screenRecords"]));
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn keys_are_in_the_order_of_the_fields_that_are_not_skipped() {
    let gateway = gateway().await;
    let plain = record("", "id @skip(if: true) size id");
    let list = format!(
        r#"{{ screenRecords(projectId: "{PROJECT}") {{ totalCount @include(if: false) nodes {{ id }} totalCount }} }}"#
    );

    let plain = written(&gateway, &json!({ "query": plain })).await;
    let list = written(&gateway, &json!({ "query": list })).await;

    let record = format!(r#"{{"data":{{"screenRecord":{{"size":7,"id":"{RECORD}"}}}}}}"#);
    assert_eq!(plain, record);
    let rows = format!(r#"{{"nodes":[{{"id":"{RECORD}"}}],"totalCount":1}}"#);
    assert_eq!(list, format!(r#"{{"data":{{"screenRecords":{rows}}}}}"#));
}

#[tokio::test]
async fn equal_fields_are_one_also_below_a_list_and_in_a_subscription() {
    let gateway = gateway().await;
    let list =
        |selection: &str| format!(r#"screenRecords(projectId: "{PROJECT}") {{ {selection} }}"#);
    let both = format!("{{ {} {} }}", list("nodes { id }"), list("nodes { size } totalCount"));

    let answer = gateway.query(&both).await;
    let field = |selection: &str| {
        format!(r#"screenRecord(projectId: "{PROJECT}", id: "{RECORD}") {{ {selection} }}"#)
    };
    let subscription = format!(
        "subscription {{ ...F {} }} fragment F on Subscription {{ {} }}",
        field("size"),
        field("id skipped: size @skip(if: true)")
    );
    let stream = gateway
        .http()
        .post(gateway.url())
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .header("x-auth-token", TOKEN)
        .body(json!({ "query": subscription }).to_string());
    let events = stream.send().await.unwrap().text().await.unwrap();

    let rows = json!([{ "id": RECORD, "size": 7 }]);
    let expected = json!({ "data": { "screenRecords": { "nodes": rows, "totalCount": 1 } } });
    assert_eq!(answer, expected);
    let state = format!(r#"{{"data":{{"screenRecord":{{"id":"{RECORD}","size":7}}}}}}"#);
    assert!(events.contains(&state), "{events}");
}

#[tokio::test]
async fn lists_of_different_lengths_are_different_arguments() {
    let gateway = gateway().await;
    let list = |names: &str| {
        format!(
            r#"screenRecords(projectId: "{PROJECT}", filter: {{ desktopNames: {names} }}) {{ totalCount }}"#
        )
    };

    let answer =
        gateway.query(&format!("{{ {} {} }}", list(r#"["a"]"#), list(r#"["a", "b"]"#))).await;

    assert_eq!(answer["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
}
