//! `X-Gateway-Explain: 1`: answers that list the source of each read.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Gateway, HttpAnswer, PROJECT, RECORD, RedisServer, Reply, ScriptedUpstream, TOKEN,
    screen_record,
};

const EXPLAIN: (&str, &str) = ("x-gateway-explain", "1");

/// An upstream of recordings, lists of two and links.
async fn upstream() -> ScriptedUpstream {
    ScriptedUpstream::start(|seen| {
        if seen.path.ends_with("/download-address") {
            let link = json!({ "id": RECORD, "download_url": "https://obs.example/v?sig=s" });
            return Reply::json(200, &json!({ "address": [link] }));
        }
        let path = seen.path.split('?').next().unwrap_or_default();
        match path.rsplit('/').next() {
            Some("screen-records") => {
                let rows = ["a", "b"].map(|id| json!({ "id": id, "status": "RECORDING" }));
                seen.page_of("screen_records", &rows)
            }
            Some("os-operations") => {
                Reply::json(200, &json!({ "operations": [], "total_count": 0 }))
            }
            Some("missing") => Reply::json(404, &json!({ "error_code": "WKS.00211902" })),
            Some("broken") => Reply::json(500, &json!({})),
            id => Reply::json(200, &json!({ "id": id, "status": "RECORDING" })),
        }
    })
    .await
}

async fn gateway() -> Gateway {
    Gateway::before(upstream().await).await
}

async fn explained(gateway: &Gateway, document: &str) -> HttpAnswer {
    gateway.post(document, &[("x-auth-token", TOKEN), EXPLAIN]).await
}

fn cache(answer: &HttpAnswer) -> &Value {
    &answer.json["extensions"]["cache"]
}

fn record(alias: &str, id: &str, selection: &str) -> String {
    format!(r#"{alias}: screenRecord(projectId: "{PROJECT}", id: "{id}") {{ {selection} }}"#)
}

/// The outcome of each read, by path, in the order of paths.
fn outcomes(cache: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = |one: &Value| (one["path"].to_string(), text(&one["kind"]), text(&one["outcome"]));
    let mut outcomes: Vec<_> = cache.as_array().unwrap().iter().map(told).collect();
    outcomes.sort();
    outcomes
}

#[tokio::test]
async fn explain_shows_age_and_upstream_status_of_a_miss_and_a_hit() {
    let gateway = gateway().await;

    let miss = explained(&gateway, &screen_record("id")).await;
    gateway.advance(Duration::from_secs(2));
    let hit = explained(&gateway, &screen_record("id")).await;

    assert_eq!(miss.json["data"]["screenRecord"]["id"], RECORD);
    let (first, second) = (&cache(&miss)[0], &cache(&hit)[0]);
    assert_eq!(first["path"], json!(["screenRecord"]));
    assert_eq!((&first["kind"], &first["outcome"]), (&json!("record"), &json!("miss")));
    assert_eq!((&first["upstreamStatus"], &first["tier"]), (&json!(200), &Value::Null));
    assert_eq!(second["outcome"], "hit");
    assert_eq!((&second["upstreamStatus"], &second["tier"]), (&Value::Null, &json!("process")));
    let (age, fresh) = (&second["ageMs"], &second["freshForMs"]);
    let (age, fresh) = (age.as_u64().unwrap(), fresh.as_u64().unwrap());
    assert!((2000..5000).contains(&age) && (4999..=5000).contains(&(age + fresh)), "{age} {fresh}");
    assert_eq!(second["staleForMs"], 0);
    assert_eq!(cache(&hit).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn explain_shows_how_long_stale_data_has_been_stale() {
    let gateway = gateway().await;
    gateway.query(&screen_record("id")).await;
    gateway.advance(Duration::from_secs(7));

    let answer = explained(&gateway, &screen_record("id")).await;

    let read = &cache(&answer)[0];
    assert_eq!((&read["outcome"], &read["freshForMs"]), (&json!("stale"), &json!(0)));
    assert!((2000..10_000).contains(&read["staleForMs"].as_u64().unwrap()), "{read}");
}

#[tokio::test]
async fn explain_shows_stale_data_that_replaces_an_error() {
    let gateway = gateway().await;
    gateway.query(&screen_record("id")).await;
    gateway.advance(Duration::from_mins(1));
    gateway.upstream.answer_with(|_| Reply::json(503, &json!({})));

    let answer = explained(&gateway, &screen_record("id")).await;

    assert_eq!(answer.json["extensions"]["stale"], true);
    let read = &cache(&answer)[0];
    assert_eq!(read["outcome"], "stale_on_error");
    assert_eq!((&read["upstreamStatus"], &read["tier"]), (&json!(503), &json!("process")));
}

#[tokio::test]
async fn explain_shows_a_failure_without_an_age() {
    let gateway = gateway().await;
    let document = format!("{{ {} }}", record("x", "broken", "id"));

    let answer = explained(&gateway, &document).await;

    let expected = json!({
        "path": ["x"], "kind": "record", "outcome": "miss", "tier": null, "ageMs": null,
        "freshForMs": null, "staleForMs": null, "upstreamStatus": 500,
    });
    assert_eq!(cache(&answer), &json!([expected]));
    assert_eq!(answer.json["errors"][0]["path"], json!(["x"]));
}

#[tokio::test]
async fn explain_lists_each_field_under_its_path() {
    let gateway = gateway().await;
    gateway.query(&format!("{{ {} }}", record("x", "r1", "id"))).await;
    let operations = "operations { totalCount }";
    let list = format!(
        r#"rows: screenRecords(projectId: "{PROJECT}", first: 2) {{ nodes {{ id {operations} }} }}"#
    );
    let (kept, missing) = (record("kept", "r1", "id"), record("gone", "missing", "id"));
    let linked = record("linked", RECORD, "link: downloadUrl");

    let answer = explained(&gateway, &format!("{{ {kept} {missing} {linked} {list} }}")).await;

    let told = |path: &str, kind: &str, outcome: &str| {
        (path.to_owned(), kind.to_owned(), outcome.to_owned())
    };
    let expected = [
        told(r#"["gone"]"#, "record", "miss"),
        told(r#"["kept"]"#, "record", "hit"),
        told(r#"["linked","link"]"#, "link", "miss"),
        told(r#"["linked"]"#, "record", "miss"),
        told(r#"["rows","nodes",0,"operations"]"#, "page", "miss"),
        told(r#"["rows","nodes",1,"operations"]"#, "page", "miss"),
        told(r#"["rows"]"#, "page", "miss"),
    ];
    assert_eq!(outcomes(cache(&answer)), expected, "{}", answer.json);
    let again = explained(&gateway, &format!("{{ {linked} {list} }}")).await;
    assert!(
        outcomes(cache(&again)).iter().all(|(_, _, outcome)| outcome == "hit"),
        "{}",
        again.json
    );
    assert!(!cache(&again).to_string().contains("sig="), "a link is a secret");
}

#[tokio::test]
async fn explain_lists_an_entity_under_its_index() {
    let gateway = gateway().await;
    let query =
        "query ($r: [_Any!]!) { _entities(representations: $r) { ... on ScreenRecord { id } } }";
    let key = |id: &str| json!({ "__typename": "ScreenRecord", "projectId": PROJECT, "id": id });
    let body = json!({ "query": query, "variables": { "r": [key("a"), key("b")] } });

    let answer = send(&gateway, &body, true).await;

    let told = outcomes(cache(&answer));
    let paths: Vec<&str> = told.iter().map(|(path, ..)| &**path).collect();
    assert_eq!(paths, [r#"["_entities",0]"#, r#"["_entities",1]"#]);
}

async fn send(gateway: &Gateway, body: &Value, is_explained: bool) -> HttpAnswer {
    let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    let mut request = request.header("x-auth-token", TOKEN).body(body.to_string());
    if is_explained {
        request = request.header(EXPLAIN.0, EXPLAIN.1);
    }
    HttpAnswer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn explain_lists_the_reads_of_each_operation_of_a_batch() {
    let gateway = gateway().await;
    gateway.query(&format!("{{ {} }}", record("a", "r1", "id"))).await;
    let operation = |alias, id| json!({ "query": format!("{{ {} }}", record(alias, id, "id")) });
    let batch = json!([operation("a", "r1"), operation("b", "r2"), { "query": "{ __typename }" }]);

    let answer = send(&gateway, &batch, true).await.json;

    let cache = |place: usize| outcomes(&answer[place]["extensions"]["cache"]);
    assert_eq!(cache(0), [(r#"["a"]"#.to_owned(), "record".to_owned(), "hit".to_owned())]);
    assert_eq!(cache(1), [(r#"["b"]"#.to_owned(), "record".to_owned(), "miss".to_owned())]);
    assert_eq!(answer[2]["extensions"]["cache"], json!([]));
}

#[tokio::test]
async fn explain_has_no_effect_without_introspection() {
    let off = |config: &mut screen_record_gateway::config::Config| {
        config.graphql.introspection = false;
    };
    let gateway = Gateway::configured(upstream().await, off).await;

    let answer = explained(&gateway, &screen_record("id")).await;

    assert_eq!(answer.json, json!({ "data": { "screenRecord": { "id": RECORD } } }));
    assert_eq!(answer.header("cache-control"), "private, max-age=4");
}

#[tokio::test]
async fn explain_needs_the_header_value_1() {
    let gateway = gateway().await;
    for value in ["0", "true", ""] {
        let headers = [("x-auth-token", TOKEN), (EXPLAIN.0, value)];

        let answer = gateway.post(&screen_record("id"), &headers).await;

        assert_eq!(answer.json.get("extensions"), None, "of {value:?}");
    }
}

#[tokio::test]
async fn an_explained_answer_bypasses_the_response_cache() {
    let gateway = gateway().await;
    let list =
        format!(r#"{{ screenRecords(projectId: "{PROJECT}", first: 1) {{ nodes {{ id }} }} }}"#);
    for document in [list, screen_record("id")] {
        // Sent several times, so that the response is cached.
        for _ in 0..3 {
            assert_eq!(gateway.query(&document).await.get("extensions"), None);
        }

        let answer = explained(&gateway, &document).await;
        let again = explained(&gateway, &document).await;
        let plain = gateway.query(&document).await;

        assert_eq!(cache(&answer)[0]["outcome"], "hit", "{document}");
        assert_eq!(cache(&again)[0]["outcome"], "hit", "{document}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(plain.get("extensions"), None, "{document}");
        assert_eq!(plain["data"], answer.json["data"], "{document}");
    }
}

#[tokio::test]
async fn a_request_after_an_explained_one_is_answered_without_explanation() {
    let gateway = gateway().await;
    let list =
        format!(r#"{{ screenRecords(projectId: "{PROJECT}", first: 1) {{ nodes {{ id }} }} }}"#);
    for document in [list, screen_record("id")] {
        for _ in 0..3 {
            assert!(cache(&explained(&gateway, &document).await).is_array());
        }

        assert_eq!(gateway.query(&document).await.get("extensions"), None, "{document}");
    }
}

#[tokio::test]
async fn explain_shows_nothing_of_other_callers_caches() {
    let gateway = gateway().await;
    gateway.query_as("another-token", &screen_record("id")).await;

    let mine = explained(&gateway, &screen_record("id")).await;

    assert_eq!(cache(&mine).as_array().unwrap().len(), 1);
    assert_eq!(cache(&mine)[0]["outcome"], "miss");
    assert!(cache(&mine)[0]["ageMs"].as_u64().unwrap() < 1000);
}

#[tokio::test]
async fn event_streams_are_not_explained() {
    let gateway = gateway().await;
    let body = json!({ "query": screen_record("id") }).to_string();
    let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    let request = request.header("accept", "text/event-stream").header("x-auth-token", TOKEN);

    let answer = request.header(EXPLAIN.0, EXPLAIN.1).body(body).send().await.unwrap();

    let events = answer.text().await.unwrap();
    assert!(events.contains(RECORD) && !events.contains("extensions"), "{events}");
}

#[tokio::test]
async fn explain_tells_the_shared_cache_from_the_memory_of_the_process() {
    let (upstream, redis) = (upstream().await, RedisServer::start().await);
    let config = redis.config();
    let replica = async || {
        let shared = config.clone();
        let set =
            move |to: &mut screen_record_gateway::config::Config| to.cache.shared = Some(shared);
        let gateway = Gateway::configured(upstream.clone(), set).await;
        gateway.until_metric("gateway_shared_cache_up 1").await;
        gateway
    };
    let (one, other) = (replica().await, replica().await);
    one.query(&screen_record("id")).await;
    one.until_metric("gateway_shared_cache_writes_total{outcome=\"written\"} 1").await;

    let first = explained(&other, &screen_record("id")).await;
    let second = explained(&other, &screen_record("id")).await;

    let told = |answer: &HttpAnswer| {
        (cache(answer)[0]["outcome"].clone(), cache(answer)[0]["tier"].clone())
    };
    assert_eq!(told(&first), (json!("hit"), json!("shared")));
    assert_eq!(told(&second), (json!("hit"), json!("process")));
}
