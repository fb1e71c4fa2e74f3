//! What a client calls itself, in log, traces and metrics.

use serde_json::{Value, json};

use crate::support::{
    Gateway, Receiver, Reply, Said, ScriptedUpstream, Socket, TOKEN, keep_log, log,
};

const OPERATIONS: &str = "gateway_http_client_operations_total";

async fn gateway() -> Gateway {
    Gateway::before(ScriptedUpstream::start(|_| Reply::json(200, &json!({}))).await).await
}

/// Sends an operation that needs no upstream call.
async fn ask(gateway: &Gateway, headers: &[(&str, &str)]) -> Value {
    gateway.post("{ __typename }", headers).await.json
}

#[tokio::test]
async fn the_access_log_names_the_client_and_its_version() {
    keep_log();
    let gateway = gateway().await;
    let (cut, too_long) = ("n".repeat(64), "n".repeat(65));
    for (headers, shown) in [
        (
            [("apollographql-client-name", "web"), ("apollographql-client-version", "1.2")],
            r#"graphql.client.name="web" graphql.client.version="1.2""#,
        ),
        (
            [("graphql-client-name", "Player App"), ("graphql-client-version", "v2+beta")],
            r#"graphql.client.name="Player App" graphql.client.version="v2+beta""#,
        ),
        (
            [("graphql-client-name", "\"x\"\tcaller.name=root"), ("graphql-client-version", " ")],
            r#"graphql.client.name="xcaller.nameroot""#,
        ),
        ([("graphql-client-name", &too_long), ("accept", "*/*")], &cut),
    ] {
        ask(&gateway, &headers).await;

        let log = log();
        let line = log.lines().rfind(|line| line.contains("answered")).unwrap();
        assert!(line.contains(shown), "{shown} is not in {line}");
        assert!(!line.contains(&too_long), "{line}");
    }
}

#[tokio::test]
async fn operations_are_counted_by_client_and_the_first_twenty_names_have_a_label() {
    let gateway = gateway().await;
    for number in 0..25 {
        let name = format!("app-{number}");
        ask(&gateway, &[("graphql-client-name", &name), ("graphql-client-version", &name)]).await;
    }
    ask(&gateway, &[("apollographql-client-name", "app-3")]).await;
    gateway.post("{ nonsense }", &[("apollographql-client-name", "app-3")]).await;
    ask(&gateway, &[]).await;

    let (_, page) = gateway.admin_get("/metrics").await;

    for (labels, count) in [
        (r#"client="app-3",outcome="ok""#, 2),
        (r#"client="app-3",outcome="refused""#, 1),
        (r#"client="app-19",outcome="ok""#, 1),
        (r#"client="other",outcome="ok""#, 5),
        (r#"client="unnamed",outcome="ok""#, 1),
        (r#"client="unnamed",outcome="failed""#, 0),
    ] {
        let line = format!("{OPERATIONS}{{{labels}}} {count}");
        assert!(page.lines().any(|shown| shown == line), "{line} is not in {page}");
    }
    let series = page.lines().filter(|line| line.starts_with(OPERATIONS)).count();
    assert_eq!(series, 3 * (20 + 2), "in {page}");
}

#[tokio::test]
async fn a_socket_may_name_its_client_in_connection_init() {
    keep_log();
    let receiver = Receiver::start().await;
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({}))).await;
    let gateway = Gateway::configured(upstream, |config| {
        config.traces = Some(receiver.config());
    })
    .await;
    let payload = json!({
        "X-Auth-Token": TOKEN, "apollographql-client-name": "player", "graphql-client-version": 7,
    });

    let (mut socket, said) = Socket::showing(&gateway, payload).await;
    socket.subscribe("1", "query Who { __typename }").await;
    while !matches!(socket.hear().await, Said::Message(said) if said["type"] == "complete") {}

    assert!(matches!(said, Said::Message(said) if said["type"] == "connection_ack"));
    let series = format!("{OPERATIONS}{{client=\"player\",outcome=\"ok\"}} 1");
    gateway.until_metric(&series).await;
    let log = log();
    let line = log.lines().find(|line| line.contains("stream ended")).unwrap();
    assert!(line.contains(r#"graphql.client.name="player""#), "{line}");
    let spans = receiver.until("query", 1).await;
    let span = spans.iter().find(|span| span.name == "query").unwrap();
    assert_eq!(span.attribute("graphql.client.name"), Some("player"));
}
