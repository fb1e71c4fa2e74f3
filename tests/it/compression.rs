//! Compression of large answers.

use std::io::Read as _;

use reqwest::header::HeaderMap;
use screen_record_gateway::config::Config;
use serde_json::{Value, json};

use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream, TOKEN, client, screen_record};

/// An answer as it stood on the wire.
struct Raw {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Raw {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn coding(&self) -> &str {
        self.header("content-encoding")
    }

    /// The body, decoded as its headers say.
    fn decoded(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        match self.coding() {
            "gzip" => flate2::read::GzDecoder::new(&*self.body).read_to_end(&mut plain).unwrap(),
            "br" => brotli::Decompressor::new(&*self.body, 4096).read_to_end(&mut plain).unwrap(),
            "zstd" => zstd::stream::copy_decode(&*self.body, &mut plain).map(|()| 0).unwrap(),
            "" => return self.body.clone(),
            other => unreachable!("{other} is no coding of ours"),
        };
        plain
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.decoded()).unwrap()
    }
}

/// A client that neither requests nor decodes a coding by itself.
fn raw_client() -> reqwest::Client {
    let _ = client();
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    builder.no_gzip().no_brotli().no_zstd().no_deflate().build().unwrap()
}

/// An upstream with a list, and with links for its rows.
async fn upstream() -> ScriptedUpstream {
    ScriptedUpstream::start(|seen| {
        if seen.path.ends_with("/download-address") {
            let asked: Value = serde_json::from_slice(&seen.body).unwrap();
            let link =
                |id: &Value| json!({ "id": id, "download_url": "https://obs.example/?sig=s" });
            let links: Vec<Value> =
                asked["record_ids"].as_array().unwrap().iter().map(link).collect();
            return Reply::json(200, &json!({ "address": links }));
        }
        if !seen.path.contains("/screen-records?") {
            return Reply::json(200, &json!({ "id": "one", "status": "RECORDING" }));
        }
        let row = |n| json!({ "id": format!("recording-{n}"), "status": "UPLOAD_COMPLETED" });
        seen.page_of("screen_records", &(0..1000).map(row).collect::<Vec<_>>())
    })
    .await
}

async fn gateway() -> Gateway {
    Gateway::before(upstream().await).await
}

fn list(first: usize, selection: &str) -> String {
    format!(
        r#"{{ screenRecords(projectId: "{PROJECT}", first: {first}) {{ nodes {{ {selection} }} }} }}"#
    )
}

async fn post(gateway: &Gateway, body: &Value, accepted: &str) -> Raw {
    let request = raw_client().post(gateway.url()).header("content-type", "application/json");
    let request = request.header("x-auth-token", TOKEN).header("accept-encoding", accepted);
    Raw::of(request.body(body.to_string())).await
}

async fn query(gateway: &Gateway, document: &str, accepted: &str) -> Raw {
    post(gateway, &json!({ "query": document }), accepted).await
}

fn get(gateway: &Gateway, method: reqwest::Method, accepted: &str) -> reqwest::RequestBuilder {
    let mut url: url::Url = gateway.url().parse().unwrap();
    url.query_pairs_mut().append_pair("query", &list(100, "id status rawStatus"));
    let request = raw_client().request(method, url).header("x-auth-token", TOKEN);
    request.header("accept-encoding", accepted).header("apollo-require-preflight", "1")
}

#[tokio::test]
async fn a_large_answer_is_the_same_in_every_coding() {
    let gateway = gateway().await;
    let plain = query(&gateway, &list(100, "id status rawStatus"), "identity").await;
    assert_eq!((plain.coding(), plain.body.len() > 4096), ("", true));
    for coding in ["gzip", "br", "zstd"] {
        let answer = query(&gateway, &list(100, "id status rawStatus"), coding).await;

        assert_eq!((answer.status, answer.coding()), (200, coding));
        assert_eq!(answer.decoded(), plain.body, "in {coding}");
        assert!(answer.body.len() * 4 < plain.body.len(), "{coding}: {}", answer.body.len());
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        assert_eq!(answer.header("content-type"), plain.header("content-type"));
        assert_eq!(answer.headers.get_all("vary").iter().count(), 1);
        assert!(answer.header("vary").contains("Accept-Encoding"), "{}", answer.header("vary"));
    }
}

#[tokio::test]
async fn an_answer_that_takes_long_to_compress_is_whole() {
    let gateway = gateway().await;
    let document = list(1000, "id status rawStatus projectId desktopName username");
    let plain = query(&gateway, &document, "identity").await;
    assert!(plain.body.len() > 100_000, "{}", plain.body.len());
    for coding in ["gzip", "br", "zstd"] {
        let answer = query(&gateway, &document, coding).await;

        assert_eq!((answer.coding(), answer.decoded() == plain.body), (coding, true));
    }
}

#[tokio::test]
async fn answers_in_a_batch_are_compressed_as_one() {
    let gateway = gateway().await;
    let operation = json!({ "query": list(60, "id status") });
    let batch = json!([operation, operation, { "query": "{ __typename }" }]);

    let answer = post(&gateway, &batch, "gzip").await;

    assert_eq!(answer.coding(), "gzip");
    assert_eq!(answer.json()[1]["data"]["screenRecords"]["nodes"][29]["id"], "recording-29");
    assert_eq!(answer.json()[2]["data"]["__typename"], "Query");
}

#[tokio::test]
async fn a_small_answer_is_sent_as_it_is() {
    let gateway = gateway().await;
    for accepted in ["gzip, br, zstd", "gzip, identity;q=0"] {
        let answer = query(&gateway, &screen_record("id"), accepted).await;

        assert_eq!((answer.status, answer.coding()), (200, ""), "{accepted}");
        assert_eq!(answer.json()["data"]["screenRecord"]["id"], "one");
    }
}

#[tokio::test]
async fn a_coding_that_the_client_does_not_accept_is_not_sent() {
    let gateway = gateway().await;
    for (accepted, coding) in [
        ("", ""),
        ("deflate, compress", ""),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip;q=1.0, br;q=0.9, zstd;q=0.8", "gzip"),
        ("X-GZIP", "gzip"),
        ("gzip ; q=0.5", "gzip"),
        ("*;q=0.1, zstd;q=0", "br"),
        ("gzip;q=0.5, *;q=0", "gzip"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("*;q=0", ""),
        ("gzip;q=2", ""),
        (";q=1, gzip", "gzip"),
        ("gzip;q=0, br;q=0.2", "br"),
        ("gzip, br;q=0.9, zstd;q=0", "gzip"),
        ("identity, gzip;q=0.9", ""),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("*", "zstd"),
        // No coding is acceptable, so the answer is sent as it is.
        ("identity;q=0", ""),
        ("identity;q=0, compress", ""),
    ] {
        let answer = query(&gateway, &list(100, "id status"), accepted).await;

        assert_eq!((answer.status, answer.coding()), (200, coding), "of {accepted:?}");
        assert_eq!(answer.json()["data"]["screenRecords"]["nodes"][99]["id"], "recording-99");
    }
}

#[tokio::test]
async fn no_answer_with_a_signed_link_is_compressed() {
    let gateway = gateway().await;
    let linked = list(100, "id downloadUrl");
    let batch = json!([{ "query": list(100, "id") }, { "query": linked }]);

    let alone = query(&gateway, &linked, "gzip, br, zstd").await;
    let among_others = post(&gateway, &batch, "gzip, br, zstd").await;
    let without = query(&gateway, &list(100, "id status"), "gzip").await;

    assert!(alone.body.len() > 4096 && String::from_utf8_lossy(&alone.body).contains("sig=s"));
    assert_eq!((alone.coding(), among_others.coding(), without.coding()), ("", "", "gzip"));
}

#[tokio::test]
async fn every_coding_has_a_validator_of_its_own() {
    let gateway = gateway().await;
    let mut tags = Vec::new();
    for accepted in ["identity", "gzip", "br", "zstd"] {
        let answer = Raw::of(get(&gateway, reqwest::Method::GET, accepted)).await;
        tags.push((accepted, answer.header("etag").to_owned()));
    }
    for (accepted, own) in &tags {
        for (coding, tag) in &tags {
            let request = get(&gateway, reqwest::Method::GET, accepted);

            let answer = Raw::of(request.header("if-none-match", tag)).await;

            let status = if coding == accepted { 304 } else { 200 };
            assert_eq!(answer.status, status, "{accepted} with the tag of {coding}");
            assert_eq!(answer.header("etag"), own);
            assert!(answer.header("vary").contains("Accept-Encoding"));
            if status == 304 {
                assert_eq!((answer.body.len(), answer.coding()), (0, ""));
            }
        }
    }
    assert!(tags.iter().all(|(_, tag)| tag.starts_with('"') && tag.len() > 30), "{tags:?}");
}

#[tokio::test]
async fn a_head_has_the_headers_of_its_get_and_no_body() {
    let gateway = gateway().await;

    let whole = Raw::of(get(&gateway, reqwest::Method::GET, "br")).await;
    let head = Raw::of(get(&gateway, reqwest::Method::HEAD, "br")).await;

    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-encoding", "content-length", "etag", "vary", "content-type"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
    assert_eq!(whole.header("content-length"), whole.body.len().to_string());
}

#[tokio::test]
async fn a_head_over_http_2_has_headers_only() {
    let gateway = gateway().await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let endpoint = format!("{}?query={{__typename}}", gateway.url());
    let file = format!("{}/assets/icon.svg", gateway.url());
    let nothing = format!("http://{}/nothing", gateway.address);
    for (url, status) in [(endpoint, 200), (file, 200), (nothing, 404)] {
        let whole = Raw::of(client.get(&url).header("x-auth-token", TOKEN)).await;
        let head = Raw::of(client.head(&url).header("x-auth-token", TOKEN)).await;

        assert_eq!((head.status, head.body.len(), whole.status), (status, 0, status), "{url}");
        assert_eq!(head.header("content-length"), whole.body.len().to_string(), "{url}");
    }
}

#[tokio::test]
async fn a_cached_response_is_compressed_as_each_client_accepts() {
    let gateway = gateway().await;
    let document = list(100, "id status");
    let plain = query(&gateway, &document, "identity").await;
    for coding in ["gzip", "zstd", "gzip"] {
        let answer = query(&gateway, &document, coding).await;

        assert_eq!((answer.coding(), answer.decoded() == plain.body), (coding, true));
    }
    assert_eq!(query(&gateway, &document, "identity").await.body, plain.body);
}

#[tokio::test]
async fn an_event_stream_is_never_compressed() {
    let gateway = gateway().await;
    let body = json!({ "query": list(100, "id status") }).to_string();
    let request = raw_client().post(gateway.url()).header("content-type", "application/json");
    let request = request.header("x-auth-token", TOKEN).header("accept", "text/event-stream");

    let answer = Raw::of(request.header("accept-encoding", "gzip, br, zstd").body(body)).await;

    let events = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(answer.coding(), "");
    assert!(events.len() > 4096 && events.contains("event: complete"), "{events}");
}

#[tokio::test]
async fn compression_can_be_turned_off() {
    let off = |config: &mut Config| config.graphql.compression = false;
    let gateway = Gateway::configured(upstream().await, off).await;

    let answer = query(&gateway, &list(100, "id status"), "gzip, br, zstd").await;
    let script = format!("{}/assets/worker.js", gateway.url());
    let asset = Raw::of(raw_client().get(script).header("accept-encoding", "gzip")).await;

    assert_eq!((answer.coding(), asset.coding(), asset.status), ("", "", 200));
}

#[tokio::test]
async fn the_files_of_graphiql_are_compressed_once() {
    let gateway = gateway().await;
    let get = async |name: &str, accepted: &str, tag: &str| {
        let request = raw_client().get(format!("{}/assets/{name}", gateway.url()));
        Raw::of(request.header("accept-encoding", accepted).header("if-none-match", tag)).await
    };
    let plain = get("notices.txt", "identity", "").await;
    for coding in ["gzip", "br", "zstd"] {
        let first = get("notices.txt", coding, "").await;
        let second = get("notices.txt", coding, "").await;
        let known = get("notices.txt", coding, first.header("etag")).await;
        let foreign = get("notices.txt", coding, plain.header("etag")).await;

        assert_eq!((first.coding(), first.decoded() == plain.body), (coding, true));
        assert!(first.body == second.body && first.body.len() * 2 < plain.body.len());
        assert_eq!((known.status, known.body.len(), foreign.status), (304, 0, 200));
        assert!(first.header("vary").contains("Accept-Encoding"));
    }
    assert_eq!(get("icon.svg", "gzip", "").await.coding(), "");
}
