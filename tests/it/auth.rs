//! Whose credentials go upstream, and who may use them.

use std::time::Duration;

use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{AccessKey, CredentialsMode, Target};
use screen_record_gateway::domain::{ProjectId, Secret};
use screen_record_gateway::signature::{SignableRequest, Signature};
use screen_record_gateway::simulator::{Simulator, SimulatorConfig};
use serde_json::json;

use crate::support::{Gateway, RECORD, Reply, ScriptedUpstream, keep_log, log, screen_record};

const ACCESS: &str = "FAKEAK0EXAMPLE000001";
const SECRET: &str = "fakeSK/Example+Secret=Key~0000000000000001";

fn key(project: Option<&str>) -> AccessKey {
    AccessKey {
        access: Secret::new(ACCESS),
        secret: Secret::new(SECRET),
        security_token: None,
        project_id: project.map(str::to_owned),
    }
}

async fn signing(upstream: ScriptedUpstream) -> Gateway {
    Gateway::configured(upstream, |config| {
        config.upstream.credentials = CredentialsMode::AkSk(key(Some("sub-project")));
    })
    .await
}

async fn echo() -> ScriptedUpstream {
    ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await
}

#[tokio::test]
async fn a_request_under_the_gateways_key_carries_a_signature_that_verifies() {
    let gateway = signing(echo().await).await;

    let answer = gateway.post(&screen_record("id"), &[]).await.json;

    assert_eq!(answer["data"]["screenRecord"]["id"], RECORD);
    let seen = &gateway.upstream.seen()[0];
    let header = |name: &str| seen.headers[name].to_str().unwrap().to_owned();
    let (host, date, project) = (header("host"), header("x-sdk-date"), header("x-project-id"));
    let headers =
        [("host", host.as_str()), ("x-sdk-date", &date), ("x-project-id", project.as_str())];
    let (path, query) = (&*seen.path, "");
    let request = SignableRequest { method: "GET", path, query, headers: &headers, body: &[] };
    let expected = Signature::of(&request, SECRET).authorization(ACCESS);
    assert_eq!(header("authorization"), expected);
    assert!(!seen.headers.contains_key("x-auth-token"));
}

#[tokio::test]
async fn queries_and_bodies_are_signed_as_the_upstream_checks_them() {
    let keys = vec![(ACCESS.to_owned(), SECRET.to_owned())];
    let listen = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let simulated = SimulatorConfig { listen, access_keys: keys, ..SimulatorConfig::default() };
    let simulator = Simulator::bind(simulated, Clock::default()).await.unwrap();
    let endpoint = format!("http://{}", simulator.local_addr().unwrap());
    let project = simulator.sample().0.to_owned();
    tokio::spawn(simulator.run(std::future::pending()));
    let gateway = Gateway::configured(echo().await, |config| {
        config.upstream.default = Some(Target::at(endpoint.parse().unwrap()));
        config.upstream.credentials = CredentialsMode::AkSk(key(None));
    })
    .await;

    let document = format!(
        r#"{{ screenRecords(projectId: "{project}", first: 3, filter: {{
            status: UPLOAD_COMPLETED, startedAfter: "2020-01-01T00:00:00Z" }}) {{
            nodes {{ downloadUrl operations(filter: {{ type: APP }}) {{ totalCount }} }} }} }}"#
    );
    let answer = gateway.post(&document, &[]).await.json;

    assert_eq!(answer.get("errors"), None, "{answer}");
    let nodes = answer["data"]["screenRecords"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    assert!(nodes.iter().all(|node| node["downloadUrl"].is_string()), "{answer}");
}

#[tokio::test]
async fn under_the_gateways_key_the_callers_token_never_reaches_the_upstream() {
    let gateway = signing(echo().await).await;

    gateway.query(&screen_record("id")).await;

    assert!(!gateway.upstream.seen()[0].headers.contains_key("x-auth-token"));
}

#[tokio::test]
async fn a_refused_key_is_not_tried_again_for_five_minutes() {
    let body = include_str!("../fixtures/samples/errors/apigw-0301-signature-wrong-401.json");
    let upstream = ScriptedUpstream::start(move |_| Reply::bytes(401, &[], body)).await;
    let gateway = signing(upstream).await;

    let first = gateway.query(&screen_record("id")).await;
    gateway.advance(Duration::from_secs(299));
    let second = gateway.query(&screen_record("id")).await;
    let (readiness, _) = gateway.admin_get("/readyz").await;
    gateway.advance(Duration::from_secs(2));
    gateway.query(&screen_record("id")).await;

    for answer in [&first, &second] {
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_UNAUTHENTICATED");
    }
    assert_eq!(readiness, 503);
    assert_eq!(gateway.upstream_requests(), 2);
}

#[tokio::test]
async fn clocks_that_differ_are_named_in_the_log_when_a_key_is_refused() {
    keep_log();
    let body = include_str!("../fixtures/samples/errors/apigw-0301-signature-wrong-401.json");
    let theirs = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let theirs = theirs.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let upstream =
        ScriptedUpstream::start(move |_| Reply::bytes(401, &[("date", &theirs)], body)).await;
    let gateway = signing(upstream).await;

    gateway.query(&screen_record("id")).await;

    let seconds = log()
        .split("skew_seconds=")
        .nth(1)
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| (7190..=7200).contains(&seconds)), "{seconds:?}");
}

#[tokio::test]
async fn a_denial_of_the_gateways_key_reaches_no_client_with_its_encoded_reason() {
    let body = include_str!("../fixtures/samples/errors/iam5-denied-403.json");
    let upstream = ScriptedUpstream::start(move |_| Reply::bytes(403, &[], body)).await;
    let gateway = signing(upstream).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert!(!answer.to_string().contains("HY0L8G1lOe3rcfgxfKVPEXAMPLE"), "{answer}");
}

#[tokio::test]
async fn a_project_that_is_not_served_is_forbidden_without_a_call() {
    let gateway = Gateway::configured(echo().await, |config| {
        config.inbound.projects = Some([ProjectId::parse("another").unwrap()].into());
    })
    .await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(
        answer["errors"][0]["extensions"],
        json!({ "code": "FORBIDDEN", "retryable": false })
    );
    assert_eq!(gateway.upstream_requests(), 0);
}
