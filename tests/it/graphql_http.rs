//! GraphQL over HTTP.

use serde_json::{Value, json};

use crate::support::HttpAnswer;
use crate::support::{Gateway, RECORD, TOKEN, screen_record};

async fn gateway() -> Gateway {
    Gateway::answering(200, json!({ "id": RECORD, "status": "UPLOAD_COMPLETED" })).await
}

async fn send(
    gateway: &Gateway,
    method: reqwest::Method,
    query: &[(&str, &str)],
    headers: &[(&str, &str)],
    body: &str,
) -> HttpAnswer {
    let mut url: url::Url = gateway.url().parse().unwrap();
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let mut request = gateway.http().request(method, url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    HttpAnswer::of(request.send().await.unwrap()).await
}

async fn get(gateway: &Gateway, query: &[(&str, &str)], headers: &[(&str, &str)]) -> HttpAnswer {
    send(gateway, reqwest::Method::GET, query, headers, "").await
}

async fn post(gateway: &Gateway, headers: &[(&str, &str)], body: &str) -> HttpAnswer {
    send(gateway, reqwest::Method::POST, &[], headers, body).await
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_query_by_get_is_answered_and_validated() {
    let gateway = gateway().await;
    let document = screen_record("id");
    let query = [("query", document.as_str())];

    let first = get(&gateway, &query, &[("x-auth-token", TOKEN)]).await;
    let etag = first.header("etag").to_owned();
    let again = get(&gateway, &query, &[("x-auth-token", TOKEN), ("if-none-match", &etag)]).await;

    assert_eq!(first.json["data"]["screenRecord"]["id"], RECORD);
    assert_eq!(first.header("cache-control"), "private, max-age=59");
    assert_eq!((again.status, &again.json), (304, &Value::Null));
}

#[tokio::test]
async fn variables_and_operation_name_count_by_get_and_by_post() {
    let gateway = gateway().await;
    let document = "query A($p: ID!, $i: ID!) { screenRecord(projectId: $p, id: $i) { projectId } } query B { __typename }";
    let variables = r#"{"p": "project-1", "i": "record-1"}"#;
    let token = ("x-auth-token", TOKEN);

    let by_get = get(
        &gateway,
        &[("query", document), ("operationName", "A"), ("variables", variables)],
        &[token],
    )
    .await;
    let body =
        format!(r#"{{"query": "{document}", "operationName": "A", "variables": {variables}}}"#);
    let by_post = post(&gateway, &[JSON, token], &body).await;

    for answer in [by_get, by_post] {
        assert_eq!(
            answer.json,
            json!({ "data": { "screenRecord": { "projectId": "project-1" } } })
        );
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_executed_has_a_code_and_400_only_as_graphql_response() {
    let gateway = gateway().await;
    let strict = ("accept", "application/graphql-response+json");
    for (body, code) in [
        (r#"{"query": "{"}"#, "GRAPHQL_PARSE_FAILED"),
        (r#"{"query": "{ a \" }"}"#, "GRAPHQL_PARSE_FAILED"),
        (r#"{"query": "{ nothing }"}"#, "GRAPHQL_VALIDATION_FAILED"),
        (
            r#"{"query": "query A { __typename } query B { __typename }"}"#,
            "OPERATION_RESOLUTION_FAILURE",
        ),
        (r#"{"query": "{ __typename }", "operationName": "X"}"#, "OPERATION_RESOLUTION_FAILURE"),
        (
            r#"{"query": "query Q($i: ID!) { screenRecord(projectId: \"p\", id: $i) { id } }"}"#,
            "BAD_USER_INPUT",
        ),
        (
            r#"{"query": "query Q($i: ID!) { screenRecord(projectId: \"p\", id: $i) { id } }", "variables": {"i": null}}"#,
            "BAD_USER_INPUT",
        ),
        (
            r#"{"query": "query Q($i: ID!) { screenRecord(projectId: \"p\", id: $i) { id } }", "variables": {"i": {}}}"#,
            "BAD_USER_INPUT",
        ),
        (
            r#"{"query": "query Q($i: ID!) { screenRecord(projectId: \"p\", id: $i) { id } }", "variables": {"i": [1]}}"#,
            "BAD_USER_INPUT",
        ),
    ] {
        let lenient = post(&gateway, &[JSON], body).await;
        let strict = post(&gateway, &[JSON, strict], body).await;

        assert_eq!(
            lenient.json["errors"][0]["extensions"]["code"], code,
            "{body}: {}",
            lenient.json
        );
        assert_eq!(lenient.json.get("data"), None, "{body}");
        assert_eq!((lenient.status, strict.status), (200, 400), "{body}");
    }
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn a_request_that_is_not_graphql_is_refused_in_json() {
    let gateway = gateway().await;
    for (headers, body, status) in [
        (&[JSON][..], "{", 400),
        (&[JSON], "", 400),
        (&[JSON], "7", 400),
        (&[JSON], "{}", 400),
        (&[JSON], r#"{"query": 7}"#, 400),
        (&[JSON], r#"{"query": "{ __typename }", "variables": []}"#, 400),
        (&[JSON], r#"{"query": "{ __typename }", "operationName": 7}"#, 400),
        (&[JSON], r#"{"query": "{ __typename }", "extensions": "x"}"#, 400),
        (&[JSON], "[]", 400),
        (&[JSON], "[7]", 400),
        (&[], "{}", 415),
        (&[("content-type", "text/plain")], "{}", 415),
        (&[("content-type", "application/x-www-form-urlencoded")], "query=x", 415),
        (&[("content-type", "multipart/form-data; boundary=x")], "", 415),
        (&[("content-type", "application/json; charset=utf-16")], "{}", 415),
        (&[JSON, ("content-encoding", "gzip")], "{}", 415),
        (&[JSON, ("accept", "image/png")], "{}", 406),
    ] {
        let answer = post(&gateway, headers, body).await;

        assert_eq!(answer.status, status, "{headers:?} {body}");
        let message = answer.json["errors"][0]["message"].as_str();
        assert!(message.is_some_and(|message| !message.is_empty()), "{headers:?} {body}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_in_json() {
    let gateway = gateway().await;

    let deleted = send(&gateway, reqwest::Method::DELETE, &[], &[], "").await;
    let icon = format!("{}/assets/icon.svg", gateway.url());
    let posted = HttpAnswer::of(gateway.http().post(icon).send().await.unwrap()).await;
    let elsewhere = gateway.http().get(gateway.url() + "x").send().await.unwrap();
    let elsewhere = HttpAnswer::of(elsewhere).await;

    assert_eq!((deleted.status, deleted.header("allow")), (405, "GET, HEAD, POST, OPTIONS"));
    assert_eq!((posted.status, posted.header("allow")), (405, "GET, HEAD"));
    assert_eq!(posted.json["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    assert_eq!(elsewhere.status, 404);
    assert_eq!(elsewhere.json["errors"][0]["extensions"]["code"], "BAD_REQUEST");
}

#[tokio::test]
async fn fields_are_answered_in_the_order_of_the_document() {
    let gateway = gateway().await;
    let field = |alias: &str, id: &str| {
        format!("{alias}: screenRecord(projectId: \"p\", id: \"{id}\") {{ status id }} ")
    };
    let document = format!(
        "query {{ {} ...F {} __typename }} fragment F on Query {{ {} }}",
        field("a", "r1"),
        field("c", "../x"),
        field("b", "r2")
    );
    let body = json!({ "query": document }).to_string();

    let answer = gateway.http().post(gateway.url()).body(body).header(JSON.0, JSON.1);
    let text = answer.header("x-auth-token", TOKEN).send().await.unwrap().text().await.unwrap();

    let places: Vec<_> =
        ["\"a\":", "\"b\":", "\"c\":", "\"__typename\":"].map(|key| text.find(key)).into();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{text}");
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_bounded() {
    let gateway = gateway().await;
    let operation = r#"{"query": "{ __typename }"}"#;
    let faulty = r#"{"query": "{ x }"}"#;

    let batch = post(&gateway, &[JSON], &format!("[{operation},{faulty}]")).await;
    let too_many = post(&gateway, &[JSON], &format!("[{}]", [operation; 11].join(","))).await;

    assert_eq!(batch.json[0], json!({ "data": { "__typename": "Query" } }));
    assert_eq!(batch.json[1]["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(too_many.status, 400);
    assert_eq!(too_many.json["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn a_batch_is_refused_for_what_its_operations_cost_together() {
    let gateway = gateway().await;
    let half = json!({ "query": format!("{{{}}}", "a:__typename ".repeat(51)) });

    let alone = post(&gateway, &[JSON], &half.to_string()).await;
    let both = post(&gateway, &[JSON], &json!([half, half]).to_string()).await;

    assert_eq!(alone.json, json!({ "data": { "a": "Query" } }));
    let message = "the request has 102 aliases: limits.max_aliases allows 100";
    assert_eq!(both.json["errors"][0]["message"], message);
}

#[tokio::test]
async fn an_answer_has_the_media_type_that_the_client_prefers() {
    const ANSWER: &str = "application/json; charset=utf-8";
    const GRAPHQL: &str = "application/graphql-response+json; charset=utf-8";
    const HTML: &str = "text/html; charset=utf-8";
    let gateway = gateway().await;
    for (accept, content_type) in [
        ("", ANSWER),
        ("*/*", ANSWER),
        ("application/*", ANSWER),
        ("application/json", ANSWER),
        ("application/graphql-response+json", GRAPHQL),
        ("application/graphql-response+json; charset=utf-8, application/json;q=0.9", GRAPHQL),
        ("application/graphql-response+json;q=0.5, application/json", ANSWER),
        ("application/json;q=0, */*", GRAPHQL),
        ("APPLICATION/JSON", ANSWER),
        ("text/html,application/xhtml+xml,*/*;q=0.8", HTML),
        ("*/*, application/graphql-response+json", GRAPHQL),
        ("application/json;q=0", ""),
    ] {
        let answer = get(&gateway, &[("query", "{ __typename }")], &[("accept", accept)]).await;

        let expected = if content_type.is_empty() { (406, ANSWER) } else { (200, content_type) };
        assert_eq!((answer.status, answer.header("content-type")), expected, "of {accept:?}");
    }
}

/// The fullest introspection query of the usual tools, with `unwrapped` levels of `ofType`.
fn introspection_query(unwrapped: usize) -> String {
    let of_type = "ofType { kind name ".repeat(unwrapped) + &"} ".repeat(unwrapped);
    format!(
        "query Introspection {{
          __schema {{
            description
            queryType {{ name kind }} mutationType {{ name kind }} subscriptionType {{ name kind }}
            types {{ ...Full }}
            directives {{
              name description isRepeatable locations args(includeDeprecated: true) {{ ...Input }}
            }}
          }}
        }}
        fragment Full on __Type {{
          kind name description specifiedByURL isOneOf
          fields(includeDeprecated: true) {{
            name description
            args(includeDeprecated: true) {{ ...Input }}
            type {{ ...Reference }}
            isDeprecated deprecationReason
          }}
          inputFields(includeDeprecated: true) {{ ...Input }}
          interfaces {{ ...Reference }}
          enumValues(includeDeprecated: true) {{ name description isDeprecated deprecationReason }}
          possibleTypes {{ ...Reference }}
        }}
        fragment Input on __InputValue {{
          name description type {{ ...Reference }} defaultValue isDeprecated deprecationReason
        }}
        fragment Reference on __Type {{ kind name {of_type} }}"
    )
}

#[tokio::test]
async fn the_fullest_introspection_query_of_the_usual_tools_is_answered() {
    let gateway = gateway().await;
    for unwrapped in [7, 9, 13] {
        let answer = gateway.query(&introspection_query(unwrapped)).await;

        assert_eq!(answer.get("errors"), None);
        assert_eq!(answer["data"]["__schema"]["queryType"]["name"], "Query");
    }
}

#[tokio::test]
async fn parameters_that_are_not_utf_8_are_refused() {
    let gateway = gateway().await;
    for query in ["query=%7B__typename%7D&operationName=%FF", "query=%C3%28"] {
        let answer = gateway.http().get(format!("{}?{query}", gateway.url())).send().await.unwrap();
        let answer = HttpAnswer::of(answer).await;

        assert_eq!(answer.status, 400, "of {query}");
        assert_eq!(answer.json["errors"][0]["message"], "the parameters are not UTF-8");
    }
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_refused_wherever_the_bytes_are() {
    let gateway = gateway().await;
    for body in [&b"{\"query\":\"{__typename}\",\"extensions\":{\"other\":\"\xff\"}}"[..], b"\xff"]
    {
        let request = gateway.http().post(gateway.url()).header("Content-Type", "application/json");
        let answer = HttpAnswer::of(request.body(body).send().await.unwrap()).await;

        assert_eq!(answer.status, 400);
        assert_eq!(answer.json["errors"][0]["message"], "the body is not UTF-8");
    }
}

#[tokio::test]
async fn a_null_persisted_query_is_ignored() {
    let gateway = gateway().await;
    let body = r#"{"query": "{ __typename }", "extensions": {"persistedQuery": null}}"#;

    let answer = post(&gateway, &[JSON], body).await;

    assert_eq!(answer.json, json!({ "data": { "__typename": "Query" } }));
}

#[tokio::test]
async fn a_body_may_begin_with_a_byte_order_mark() {
    let gateway = gateway().await;
    let operation = r#"{"query": "{ __typename }"}"#;
    for (body, expected) in [
        (format!("\u{feff}{operation}"), json!({ "data": { "__typename": "Query" } })),
        (format!("\u{feff}[{operation}]"), json!([{ "data": { "__typename": "Query" } }])),
    ] {
        let answer = post(&gateway, &[JSON], &body).await;

        assert_eq!((answer.status, answer.json), (200, expected));
    }
}

#[tokio::test]
async fn a_document_id_beside_a_query_is_ignored_like_any_unknown_member() {
    let gateway = gateway().await;
    for member in [r#""id": 7"#, r#""documentId": {}"#, r#""doc_id": true"#, r#""id": "x""#] {
        let body = format!(r#"{{"query": "{{ __typename }}", {member}}}"#);

        let answer = post(&gateway, &[JSON], &body).await;

        assert_eq!(answer.json, json!({ "data": { "__typename": "Query" } }), "with {member}");
    }
    let without_query = post(&gateway, &[JSON], r#"{"id": 7}"#).await;
    assert_eq!(without_query.status, 400);
    assert_eq!(without_query.json["errors"][0]["message"], "the id of a document has to be a text");
}

#[tokio::test]
async fn graphiql_is_served_to_browsers_with_a_strict_policy() {
    let gateway = gateway().await;
    let page = gateway.http().get(gateway.url()).header("accept", "text/html,*/*;q=0.8");

    let page = page.send().await.unwrap();

    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    let html = page.text().await.unwrap();
    for file in html.split('"').filter(|part| part.starts_with("graphql/assets/")) {
        let address = format!("http://{}/{file}", gateway.address);
        assert_eq!(gateway.http().get(address).send().await.unwrap().status(), 200, "{file}");
    }
    assert!(!html.contains("https://"), "the page names another host");
}

#[tokio::test]
async fn without_introspection_the_schema_shows_neither_whole_nor_by_suggestions() {
    let upstream = crate::support::ScriptedUpstream::start(|_| crate::support::Reply::Hang).await;
    let gateway =
        Gateway::configured(upstream, |config| config.graphql.introspection = false).await;

    let introspected = gateway.query("{ __schema { types { name } } }").await;
    let guessed = gateway.query("{ screenRecor }").await;

    assert_eq!(
        introspected["errors"][0]["extensions"],
        json!({ "code": "GRAPHQL_VALIDATION_FAILED", "validationErrorCode": "INTROSPECTION_DISABLED" })
    );
    assert!(!guessed.to_string().contains("screenRecord"), "{guessed}");
}
