//! The size limit of an answer, and that an answer holds every error.

use serde_json::{Value, json};

use crate::support::{
    Gateway, HttpAnswer, PROJECT, RECORD, Reply, Said, ScriptedUpstream, Socket, TOKEN,
    screen_record,
};

/// The smallest limit there is.
const LIMIT: usize = 1024;

/// A gateway with a small limit. Each recording has a text of 300 bytes, which are 1800 as JSON in one of
/// them.
async fn limited() -> Gateway {
    let upstream = ScriptedUpstream::start(|seen| {
        let long = if seen.path.ends_with("escapes") { "\u{1}" } else { "x" }.repeat(300);
        let record = |id| json!({ "id": id, "username": long, "status": "RECORDING" });
        let operation = |id| json!({ "id": id, "event_data": long });
        if seen.path.contains("os-operations") {
            return seen.page_of("operations", &rows(9, operation));
        }
        if seen.path.contains("limit=") {
            return seen.page_of("screen_records", &rows(9, record));
        }
        Reply::json(200, &record("r".to_owned()))
    });
    Gateway::configured(upstream.await, |config| config.limits.max_response_bytes = LIMIT).await
}

fn rows(count: usize, row: impl Fn(String) -> Value) -> Vec<Value> {
    (0..count).map(|number| row(format!("r{number}"))).collect()
}

/// `fields` times the same field, under different aliases.
fn repeated(fields: usize, field: &str) -> String {
    let aliased = |number| format!("a{number}: {field}");
    (0..fields).map(aliased).collect::<Vec<_>>().join(" ")
}

/// `fields` times the field with the long text.
fn names(fields: usize) -> String {
    repeated(fields, "username")
}

fn list(selection: &str) -> String {
    format!(r#"{{ screenRecords(projectId: "{PROJECT}", first: 9) {{ {selection} }} }}"#)
}

fn assert_is_too_large(answer: &Value, of: &str) {
    let error = &answer["errors"][0];
    assert_eq!(answer["data"], Value::Null, "{of}");
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{of}: {answer}");
    assert_eq!(error["extensions"]["code"], "RESPONSE_TOO_LARGE", "{of}: {answer}");
    assert_eq!(error["extensions"]["retryable"], false, "{of}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("1024") && message.contains("limits.max_response_bytes"), "{message}");
}

#[tokio::test]
async fn an_answer_over_the_limit_is_replaced_by_an_error_however_it_is_executed() {
    let gateway = limited().await;
    let escaped =
        format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "escapes") {{ username }} }}"#);
    let operations = screen_record("operations(first: 9) { nodes { data } }");
    for document in [
        // By a plan, and by async-graphql.
        screen_record(&names(4)),
        screen_record(&format!("{} downloadUrl", names(4))),
        list("nodes { username }"),
        list("edges { node { username } }"),
        operations,
        // Only as JSON.
        escaped,
        list(&format!("nodes {{ {}: id }}", "a".repeat(200))),
    ] {
        for _from_the_upstream_then_from_the_cache in 0..3 {
            let answer = gateway.post(&document, &[("x-auth-token", TOKEN)]).await;

            assert_eq!(answer.status, 200);
            assert_is_too_large(&answer.json, &document);
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn an_answer_within_the_limit_is_sent_whole() {
    let gateway = limited().await;

    for document in [screen_record(&names(3)), list("nodes { status }")] {
        for _from_the_upstream_then_from_the_cache in 0..3 {
            let answer = gateway.query(&document).await;

            assert_eq!(answer.get("errors"), None, "{document}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_limit_counts_a_batch_as_one_answer() {
    let gateway = limited().await;
    let one = screen_record(&names(2));
    assert_eq!(gateway.query(&one).await.get("errors"), None);

    for other in [&one, &list("nodes { username }")] {
        let body = json!([{ "query": one }, { "query": other }, { "query": "{ __typename }" }]);
        let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
        let request = request.header("x-auth-token", TOKEN).body(body.to_string());
        let answer = HttpAnswer::of(request.send().await.unwrap()).await;

        assert_is_too_large(&answer.json, other);
    }
}

#[tokio::test]
async fn an_answer_with_an_explanation_is_limited_too() {
    let gateway = limited().await;
    let record = format!(r#"screenRecord(projectId: "{PROJECT}", id: "r") {{ id }}"#);
    let document = format!("{{ {} }}", repeated(8, &record));
    assert_eq!(gateway.query(&document).await.get("errors"), None);

    let headers = [("x-auth-token", TOKEN), ("x-gateway-explain", "1")];
    let answer = gateway.post(&document, &headers).await;

    assert_is_too_large(&answer.json, "an explanation");
}

#[tokio::test]
async fn an_event_over_the_limit_is_replaced_and_the_socket_stays_open() {
    let gateway = limited().await;
    let (mut socket, _) = Socket::showing(&gateway, json!({ "x-auth-token": TOKEN })).await;
    let watch = format!("subscription {}", screen_record(&names(4)));

    socket.subscribe("1", &watch).await;
    let event = socket.hear().await;
    socket.subscribe("2", &screen_record("id")).await;
    let other = socket.hear().await;

    let is_next = |said: &Said| said.json()["type"] == "next";
    assert!(is_next(&event) && is_next(&other), "{event:?} {other:?}");
    assert_is_too_large(&event.json()["payload"], "an event");
    assert_eq!(other.json()["payload"]["data"]["screenRecord"]["id"], "r");
}

#[tokio::test]
async fn an_event_of_an_event_stream_is_limited_too() {
    let gateway = limited().await;

    let headers = [("x-auth-token", TOKEN), ("accept", "text/event-stream")];
    let mut request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let body = json!({ "query": screen_record(&names(4)) }).to_string();
    let text = request.body(body).send().await.unwrap().text().await.unwrap();

    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert_is_too_large(&serde_json::from_str(data).unwrap(), "an event");
}

#[tokio::test]
async fn every_null_has_its_error() {
    let upstream = ScriptedUpstream::start(|seen| {
        let broken = |id| json!({ "id": id, "size": "no number", "duration": "no number" });
        if seen.path.contains("limit=") {
            return seen.page_of("screen_records", &rows(300, broken));
        }
        Reply::json(200, &broken("r".to_owned()))
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    let aliases = repeated(40, "size");

    for (document, nulls) in [
        (
            format!(
                r#"{{ screenRecords(projectId: "{PROJECT}", first: 300) {{
                    nodes {{ size duration }} }} }}"#
            ),
            600,
        ),
        // By a plan.
        (
            format!(
                r#"{{ a: screenRecord(projectId: "{PROJECT}", id: "{RECORD}") {{ {aliases} }}
                    b: screenRecord(projectId: "{PROJECT}", id: "other") {{ {aliases} }} }}"#
            ),
            80,
        ),
    ] {
        let answer = gateway.query(&document).await;

        let mut paths: Vec<String> = answer["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["path"].to_string())
            .collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), nulls);
        assert_eq!(answer["data"].to_string().matches("null").count(), nulls);
    }
}

#[tokio::test]
async fn a_name_that_would_make_errors_huge_is_refused() {
    let gateway = limited().await;
    let query = |length: usize| screen_record(&format!("{}: id", "a".repeat(length)));

    let allowed = gateway.query(&query(256)).await;
    let refused = gateway.query(&query(257)).await;

    assert_eq!(allowed.get("errors"), None);
    let error = &refused["errors"][0];
    assert_eq!(error["extensions"]["code"], "QUERY_TOO_COMPLEX");
    assert!(error["message"].as_str().unwrap().contains("257 bytes"), "{error}");
}
