//! The audit log, as its reader sees it.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use futures_util::future::join_all;
use screen_record_gateway::app::App;
use screen_record_gateway::app::Outcome;
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{
    AccessKey, AuditConfig, AuditSink, Config, CredentialsMode, InboundAuth, JwksSource, JwtConfig,
};
use screen_record_gateway::domain::Secret;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::commands::output;
use crate::support::{
    AUDIENCE, Gateway, HttpAnswer, ISSUER, Issuer, PROJECT, RECORD, Reply, ScriptedUpstream, Seen,
    Socket, TestFile, client, config_for, key_set, patient, screen_record,
};

const KEY: &str = "canary-key-of-the-helpdesk";
const LINK: &str = "https://obs.example/video?signature=canary";
const REGION: &str = "ap-southeast-1";
const FULL: &str = "/dev/full";
/// The line that docs/DEPLOYMENT.md shows.
const DOCUMENTED: &str = r#"{"time":"2026-01-31T09:30:00.000Z","event":"recording.read","caller":"helpdesk","subject":null,"project":"089b2f9a3d80d3062f24c00ca4ed5cbd","region":"ap-southeast-1","record":"6c655e6a-1b2c-4d3e-8f90-b7f0edc7a082","username":"alice","requestId":"request-1","operationName":"Playback","client":"127.0.0.1"}"#;

/// An upstream with recordings of Alice, ten rows in each list, and a link for each recording.
async fn upstream() -> ScriptedUpstream {
    let recording =
        |id: &str| json!({ "id": id, "username": "alice", "status": "UPLOAD_COMPLETED" });
    let rows: Vec<Value> = (0..10).map(|number| recording(&format!("r{number}"))).collect();
    ScriptedUpstream::start(move |seen| match seen.path.split(['/', '?']).next_back() {
        _ if seen.path.contains("os-operations") => seen.page_of("operations", &[]),
        _ if seen.path.contains("/screen-records?") => seen.page_of("screen_records", &rows),
        Some("download-address") => Reply::json(200, &json!({ "address": links(seen) })),
        Some("missing") => Reply::json(404, &json!({ "error_code": "WKS.00211902" })),
        Some(id) => Reply::json(200, &recording(if is_usual(id) { RECORD } else { id })),
        None => Reply::Hang,
    })
    .await
}

fn links(seen: &Seen) -> Value {
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    let ids = body["record_ids"].as_array().unwrap().iter();
    ids.map(|id| json!({ "id": id, "download_url": LINK })).collect()
}

/// Whether an id is another spelling of that of the usual record.
fn is_usual(id: &str) -> bool {
    id.replace('-', "").eq_ignore_ascii_case(&RECORD.replace('-', ""))
}

fn key_file(projects: &str) -> TestFile {
    let sha256 = hex::encode(Sha256::digest(KEY));
    TestFile::of(&format!(
        "[[key]]\nname = \"helpdesk\"\nsha256 = \"{sha256}\"\nprojects = [\"{projects}\"]\n"
    ))
}

fn sign(config: &mut Config) {
    config.upstream.credentials = CredentialsMode::AkSk(AccessKey {
        access: Secret::new("FAKEAK0EXAMPLE000001"),
        secret: Secret::new("fakeSK/Example+Secret=Key~0000000000000001"),
        security_token: None,
        project_id: None,
    });
}

/// A gateway whose one caller is the helpdesk, who may see one project or all (`*`).
struct Audited {
    gateway: Gateway,
    log: TestFile,
    keys: TestFile,
}

impl Audited {
    /// Events are written before their answers are given, so that they are there to be read.
    async fn start() -> Self {
        Self::configured("*", |_| {}).await
    }

    async fn configured(projects: &str, adjust: impl FnOnce(&mut Config)) -> Self {
        let (log, keys) = (TestFile::of(""), key_file(projects));
        let gateway = Gateway::configured(upstream().await, |config| {
            config.inbound.auth = InboundAuth::ApiKey(keys.0.clone());
            config.audit = AuditConfig { sink: AuditSink::File(log.0.clone()), required: true };
            config.upstream.default.as_mut().unwrap().region = Some(REGION.to_owned());
            sign(config);
            adjust(config);
        })
        .await;
        Self { gateway, log, keys }
    }

    /// Narrows the helpdesk's rights by members of its key.
    async fn restrict(&self, rights: &str) {
        self.keys.write(&format!("{}{rights}\n", std::fs::read_to_string(&self.keys.0).unwrap()));
        assert!(matches!(self.gateway.reload().await, Outcome::Done { .. }));
    }

    /// With an audit log that can be opened and never be written.
    async fn full(required: bool) -> Self {
        let sink = AuditSink::File(FULL.into());
        Self::configured("*", |config| config.audit = AuditConfig { sink, required }).await
    }

    async fn post(&self, body: &Value, headers: &[(&str, &str)]) -> HttpAnswer {
        let request = self.gateway.http().post(self.gateway.url()).header("x-api-key", KEY);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let add = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        HttpAnswer::of(headers.iter().fold(request, add).send().await.unwrap()).await
    }

    async fn query(&self, document: &str) -> Value {
        self.post(&json!({ "query": document }), &[]).await.json
    }

    /// What is in the log by now.
    fn events(&self) -> Vec<Value> {
        events_in(&self.log.0)
    }
}

fn events_in(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Events without the members that differ from request to request.
fn without_request(mut events: Vec<Value>) -> Vec<Value> {
    for event in &mut events {
        let members = event.as_object_mut().unwrap();
        members.remove("time").unwrap();
        members.remove("requestId").unwrap();
    }
    events
}

/// Members of each event.
fn members<const N: usize>(events: &[Value], names: [&str; N]) -> Value {
    events.iter().map(|event| names.map(|name| event[name].clone())).map(Value::from_iter).collect()
}

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]["code"]
}

#[tokio::test]
async fn a_recording_its_operations_and_its_link_are_one_event_each_with_all_members() {
    let audited = Audited::start().await;
    let selection = "id downloadUrl downloadLink { url } operations { totalCount }";
    let query = format!("query Playback {}", screen_record(selection));
    let body = json!({ "query": query, "operationName": "Playback" });

    let answer = audited.post(&body, &[("x-request-id", "request-1")]).await;

    assert_eq!(answer.json["data"]["screenRecord"]["downloadLink"]["url"], LINK);
    let mut events = audited.events();
    for event in &mut events {
        let time = event.as_object_mut().unwrap().remove("time").unwrap();
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        assert!(jiff::Timestamp::now().duration_since(time).as_secs() < 60, "{time}");
    }
    events.sort_by_key(|event| event["event"].to_string());
    let event = |event: &str| {
        json!({
            "event": event, "caller": "helpdesk", "subject": null, "project": PROJECT,
            "region": REGION, "record": RECORD, "username": "alice", "requestId": "request-1",
            "operationName": "Playback", "client": "127.0.0.1",
        })
    };
    let expected = ["recording.download", "recording.operations", "recording.read"].map(event);
    assert_eq!(json!(events), json!(expected));
    let text = std::fs::read_to_string(&audited.log.0).unwrap();
    assert!(!text.contains("canary"), "a key or a link is in {text}");
}

#[tokio::test]
async fn a_line_is_written_as_the_documents_show_it() {
    let audited = Audited::start().await;
    let query = format!("query Playback {}", screen_record("id"));
    let body = json!({ "query": query, "operationName": "Playback" });

    audited.post(&body, &[("x-request-id", "request-1")]).await;

    let line = std::fs::read_to_string(&audited.log.0).unwrap();
    let time = serde_json::from_str::<Value>(&line).unwrap()["time"].to_string();
    let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "\"0000-00-00T00:00:00.000Z\"");
    assert_eq!(line.replace(&time, "\"2026-01-31T09:30:00.000Z\""), format!("{DOCUMENTED}\n"));
}

#[tokio::test]
async fn a_list_is_one_event_with_its_filter_as_it_was_sent_and_its_rows() {
    let audited = Audited::start().await;
    let query = "query ($user: String) { screenRecords(projectId: \"p\", first: 3, \
                 filter: { username: $user, status: RECORDING }) { nodes { id } } }";
    let body = json!({ "query": query, "variables": { "user": "alice" } });

    audited.post(&body, &[]).await;
    audited.query("{ screenRecords(projectId: \"p\") { totalCount } }").await;

    assert_eq!(
        members(&audited.events(), ["event", "project", "record", "username", "filter", "rows"]),
        json!([
            [
                "recordings.listed", "p", null, null,
                { "username": "alice", "status": "RECORDING" }, 3
            ],
            ["recordings.listed", "p", null, null, null, 0],
        ])
    );
}

#[tokio::test]
async fn statistics_are_one_event_with_their_filter_and_the_recordings_they_count() {
    let audited = Audited::start().await;
    let count = |arguments: &str| {
        format!("screenRecordStatistics(projectId: \"p\" {arguments}) {{ groups {{ count }} }}")
    };
    let of_bob = count("filter: { usernames: [\"bob\"] } groupBy: [DAY]");

    audited.query(&format!("{{ {} again: {} other: {of_bob} }}", count(""), count(""))).await;

    let mut events = audited.events();
    events.sort_by_key(|event| event["rows"].as_u64());
    let all = json!(["recordings.counted", "p", null, null, 10]);
    assert_eq!(
        members(&events, ["event", "project", "record", "filter", "rows"]),
        json!([["recordings.counted", "p", null, { "usernames": ["bob"] }, 0], all, all])
    );
}

#[tokio::test]
async fn a_link_in_a_row_of_a_list_is_an_event_of_its_recording() {
    let audited = Audited::start().await;

    audited.query("{ screenRecords(projectId: \"p\", first: 2) { nodes { downloadUrl } } }").await;

    let mut events = audited.events();
    events.sort_by_key(|event| event["record"].to_string());
    assert_eq!(
        members(&events, ["event", "record", "username"]),
        json!([
            ["recording.download", "r0", "alice"],
            ["recording.download", "r1", "alice"],
            ["recordings.listed", null, null],
        ])
    );
}

#[tokio::test]
async fn a_cached_answer_is_an_event_like_any_other() {
    let entities = format!(
        "{{ _entities(representations: [{{ __typename: \"ScreenRecord\", \
         projectId: \"{PROJECT}\", id: \"{RECORD}\" }}]) {{ ... on ScreenRecord {{ id }} }} }}"
    );
    let operations = screen_record("operations { totalCount }");
    let list = "{ screenRecords(projectId: \"p\", first: 2) { nodes { id } } }".to_owned();
    for query in [screen_record("id username"), entities, operations, list] {
        let audited = Audited::start().await;
        let first = audited.query(&query).await;
        assert_eq!(first.get("errors"), None, "{first}");
        let calls = audited.gateway.upstream_requests();
        let events = without_request(audited.events());

        for _ in 0..3 {
            assert_eq!(audited.query(&query).await, first);
        }

        assert_eq!(audited.gateway.upstream_requests(), calls, "not cached: {query}");
        assert!(!events.is_empty(), "no event of {query}");
        let expected = std::iter::repeat_n(events, 4).flatten().collect::<Vec<_>>();
        assert_eq!(without_request(audited.events()), expected, "of {query}");
    }
}

#[tokio::test]
async fn a_recording_that_an_answer_shows_under_many_names_is_one_event() {
    let audited = Audited::start().await;
    let other = RECORD.replace('-', "").to_uppercase();
    let field = |id: &str| format!("screenRecord(projectId: \"{PROJECT}\", id: \"{id}\")");
    let query = format!(
        "{{ a: {} {{ id }} b: {} {{ status }} c: {} {{ operations {{ totalCount }} \
         more: operations(first: 1) {{ totalCount }} }} }}",
        field(RECORD),
        field(&other),
        field(RECORD)
    );

    let answer = audited.query(&query).await;

    assert_eq!(answer.get("errors"), None, "{answer}");
    let mut events = audited.events();
    events.sort_by_key(|event| event["event"].to_string());
    assert_eq!(
        members(&events, ["event", "record"]),
        json!([["recording.operations", RECORD], ["recording.read", RECORD]])
    );
}

#[tokio::test]
async fn each_operation_of_a_batch_has_its_own_events() {
    let audited = Audited::start().await;
    let operation = |name: &str| json!({ "query": format!("query {name} {}", screen_record("id")), "operationName": name });

    audited
        .post(&json!([operation("A"), { "query": "{ __typename }" }, operation("B")]), &[])
        .await;

    let expected = json!([["recording.read", "A"], ["recording.read", "B"]]);
    assert_eq!(members(&audited.events(), ["event", "operationName"]), expected);
}

#[tokio::test]
async fn a_project_that_is_not_the_callers_is_a_denial_and_a_missing_recording_is_no_event() {
    let audited = Audited::configured("other", |_| {}).await;
    let denied = format!(
        "{{ a: {record} {{ id }} b: {record} {{ status }} \
         list: screenRecords(projectId: \"{PROJECT}\") {{ totalCount }} }}",
        record = format_args!("screenRecord(projectId: \"{PROJECT}\", id: \"{RECORD}\")")
    );
    let missing = "{ screenRecord(projectId: \"other\", id: \"missing\") { id } }";

    let refused = audited.query(&denied).await;
    let missing = audited.query(missing).await;

    assert_eq!((code(&refused), code(&missing)), (&json!("FORBIDDEN"), &json!("NOT_FOUND")));
    let mut events = audited.events();
    events.sort_by_key(|event| event["record"].to_string());
    assert_eq!(
        members(&events, ["event", "project", "record", "username", "caller"]),
        json!([
            ["access.denied", PROJECT, RECORD, null, "helpdesk"],
            ["access.denied", PROJECT, null, null, "helpdesk"],
        ])
    );
}

#[tokio::test]
async fn a_restricted_caller_has_a_denial_for_each_recording_that_is_not_shown() {
    let audited = Audited::start().await;
    audited.restrict("usernames = [\"bob\"]").await;
    let document = format!(
        "{{ invisible: screenRecord(projectId: \"{PROJECT}\", id: \"invisible\") {{ id }} \
         missing: screenRecord(projectId: \"{PROJECT}\", id: \"missing\") {{ id }} }}"
    );

    let answer = audited.query(&document).await;

    assert_eq!(answer["data"], json!({ "invisible": null, "missing": null }));
    let mut events = audited.events();
    events.sort_by_key(|event| event["record"].to_string());
    assert_eq!(
        members(&events, ["event", "project", "record", "username", "caller"]),
        json!([
            ["access.denied", PROJECT, "invisible", null, "helpdesk"],
            ["access.denied", PROJECT, "missing", null, "helpdesk"],
        ])
    );
}

#[tokio::test]
async fn a_field_without_its_permission_is_a_denial_beside_the_read() {
    let audited = Audited::start().await;
    audited.restrict("permissions = [\"read\"]").await;

    audited.query(&screen_record("id downloadUrl")).await;

    let mut events = audited.events();
    events.sort_by_key(|event| event["event"].to_string());
    assert_eq!(
        members(&events, ["event", "record"]),
        json!([["access.denied", RECORD], ["recording.read", RECORD]])
    );
}

#[tokio::test]
async fn the_bearer_of_a_token_is_named_by_its_subject_and_the_token_is_not_written() {
    let issuer = Issuer::new("k1");
    let (log, keys) = (TestFile::of(""), TestFile::of(&key_set(&[&issuer]).to_string()));
    let gateway = Gateway::configured(upstream().await, |config| {
        let jwks = JwksSource::File(keys.0.clone());
        config.inbound.auth = InboundAuth::Jwt(JwtConfig::new(jwks, ISSUER, AUDIENCE));
        config.audit = AuditConfig { sink: AuditSink::File(log.0.clone()), required: true };
        sign(config);
    })
    .await;
    let subject = format!("\"alice\"\n{}", "x".repeat(100));
    let token = issuer.token(&json!({ "sub": subject }));

    gateway.post(&screen_record("id"), &[("authorization", &format!("Bearer {token}"))]).await;

    let events = events_in(&log.0);
    let caller = format!("\\\"alice\\\"\\n{}…", "x".repeat(56));
    assert_eq!(members(&events, ["caller", "subject"]), json!([[caller, subject]]));
    let text = std::fs::read_to_string(&log.0).unwrap();
    assert!(token.split('.').all(|part| !text.contains(part)), "a part of the token is in {text}");
}

#[tokio::test]
async fn who_needs_no_credentials_has_no_name_and_the_token_is_not_written() {
    let log = TestFile::of("");
    let gateway = Gateway::configured(upstream().await, |config| {
        config.audit = AuditConfig { sink: AuditSink::File(log.0.clone()), required: true };
    })
    .await;

    gateway.query_as("canary-token", &screen_record("id")).await;

    let names = ["caller", "subject", "record", "client"];
    let expected = json!([[null, null, RECORD, "127.0.0.1"]]);
    assert_eq!(members(&events_in(&log.0), names), expected);
    assert!(!std::fs::read_to_string(&log.0).unwrap().contains("canary"));
}

#[tokio::test]
async fn an_answer_whose_required_events_cannot_be_written_is_refused_as_a_whole() {
    let audited = Audited::full(true).await;
    let record = json!({ "query": screen_record("id") });
    let harmless = json!({ "query": "{ __typename }" });
    let http = audited.gateway.http();
    let mut url: url::Url = audited.gateway.url().parse().unwrap();
    url.query_pairs_mut().append_pair("query", &screen_record("id"));
    let by_get = http.get(url).header("x-api-key", KEY);

    let miss = audited.post(&record, &[]).await;
    let hit = audited.post(&record, &[]).await;
    let batch = audited.post(&json!([harmless, record, harmless]), &[]).await;
    let by_get = by_get.send().await.unwrap();
    let by_get = HttpAnswer::of(by_get).await;
    let without_events = audited.post(&harmless, &[]).await;

    for refused in [miss, hit, batch, by_get] {
        assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
        assert_eq!(
            refused.json,
            json!({ "errors": [{
                "message": "the audit log cannot be written, so nothing is answered",
                "extensions": { "code": "AUDIT_UNAVAILABLE", "retryable": true },
            }] })
        );
    }
    assert_eq!(without_events.status, 200);
    audited.gateway.until_metric("gateway_audit_events_total{result=\"failed\"} 4").await;
}

#[tokio::test]
async fn an_answer_whose_events_are_not_required_is_given_and_the_lost_events_are_counted() {
    let audited = Audited::full(false).await;

    let answer = audited.query(&screen_record("id")).await;

    assert_eq!(answer["data"]["screenRecord"]["id"], RECORD);
    audited.gateway.until_metric("gateway_audit_events_total{result=\"failed\"} 1").await;
    audited.gateway.until_metric("gateway_audit_events_total{result=\"written\"} 0").await;
}

#[tokio::test]
async fn an_answer_that_an_error_replaces_shows_nothing() {
    let audited = Audited::configured("*", |config| config.limits.max_response_bytes = 256).await;

    let answer =
        audited.query("{ screenRecords(projectId: \"p\") { nodes { id username rawStatus } } }");

    assert_eq!(code(&answer.await), "RESPONSE_TOO_LARGE");
    assert_eq!(audited.events(), [] as [Value; 0]);
}

#[tokio::test]
async fn each_answer_over_a_socket_and_an_event_stream_is_an_event() {
    let audited = Audited::start().await;
    let subscription = format!("subscription {}", screen_record("status"));
    let (mut socket, _) = Socket::showing(&audited.gateway, json!({ "x-api-key": KEY })).await;

    socket.subscribe("1", &subscription).await;
    let over_socket = socket.hear().await;
    socket.hear().await;
    socket.subscribe("2", &screen_record("id")).await;
    socket.hear().await;
    let body = json!({ "query": subscription });
    audited.post(&body, &[("accept", "text/event-stream")]).await;

    let status = &over_socket.json()["payload"]["data"]["screenRecord"]["status"];
    assert_eq!(status, "UPLOAD_COMPLETED");
    let event = ["recording.read", RECORD, "alice", "helpdesk", "127.0.0.1"];
    let names = ["event", "record", "username", "caller", "client"];
    assert_eq!(members(&audited.events(), names), json!([event, event, event]));
}

#[tokio::test]
async fn an_answer_of_a_stream_without_its_required_event_is_an_error_and_the_last() {
    let audited = Audited::full(true).await;
    let subscription = format!("subscription {}", screen_record("status"));
    let (mut socket, _) = Socket::showing(&audited.gateway, json!({ "x-api-key": KEY })).await;

    socket.subscribe("1", &subscription).await;
    let (answer, end) = (socket.hear().await, socket.hear().await);
    socket.subscribe("2", "{ __typename }").await;
    let next = socket.hear().await;
    let request = audited.gateway.http().post(audited.gateway.url()).header("x-api-key", KEY);
    let request = request.header("accept", "text/event-stream");
    let request = request.header("content-type", "application/json");
    let stream = request.body(json!({ "query": subscription }).to_string()).send().await.unwrap();
    let stream = stream.text().await.unwrap();

    let payload = &answer.json()["payload"];
    assert_eq!((code(payload), &payload["data"]), (&json!("AUDIT_UNAVAILABLE"), &Value::Null));
    assert_eq!(end.json(), &json!({ "type": "complete", "id": "1" }));
    assert_eq!(next.json()["payload"]["data"]["__typename"], "Query");
    assert_eq!(stream.matches("event: next").count(), 1, "{stream}");
    assert!(stream.contains("AUDIT_UNAVAILABLE") && !stream.contains("UPLOAD_COMPLETED"));
    assert!(stream.ends_with("event: complete\ndata:\n\n"), "{stream}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_under_many_requests_at_once() {
    const REQUESTS: usize = 200;
    let audited = Audited::configured("*", |config| {
        config.audit.required = false;
        patient(config);
    })
    .await;

    let asking = (0..REQUESTS).map(|number| {
        let query =
            format!("{{ screenRecord(projectId: \"p\", id: \"id-{}\") {{ id }} }}", number % 50);
        let (audited, id) = (&audited, format!("request-{number}"));
        async move {
            let answer = audited.post(&json!({ "query": query }), &[("x-request-id", &id)]).await;
            assert_eq!(answer.status, 200, "{}", answer.json);
        }
    });
    join_all(asking).await;

    let all = format!("gateway_audit_events_total{{result=\"written\"}} {REQUESTS}");
    audited.gateway.until_metric(&all).await;
    let events = audited.events();
    let ids: HashSet<&str> =
        events.iter().map(|event| event["requestId"].as_str().unwrap()).collect();
    assert_eq!((events.len(), ids.len()), (REQUESTS, REQUESTS));
}

#[tokio::test]
async fn an_audit_log_that_cannot_be_opened_refuses_start_and_reload() {
    let folder = TestFile::of("this is no folder");
    let path = folder.0.join("audit.log");
    let problem = format!("audit.log {} cannot be used: it cannot be opened", path.display());
    let upstream = upstream().await;
    let mut config = config_for(upstream.address);
    config.audit.sink = AuditSink::File(path.clone());
    let settings = TestFile::of("");
    let gateway = Gateway::following(upstream, &settings, &[]).await;

    let start = App::build(&config, Clock::default()).await.map(drop).unwrap_err();
    settings.write(&format!("[audit]\nlog = \"{}\"\n", path.display()));
    let reload = gateway.reload().await;

    assert!(start.to_string().starts_with(&problem), "{start}");
    let Outcome::Refused(reasons) = reload else { unreachable!("accepted: {reload:?}") };
    assert!(reasons.concat().starts_with(&problem), "{reasons:?}");
}

#[test]
fn the_check_says_that_the_audit_log_cannot_be_opened_and_creates_no_file() {
    let folder = TestFile::of("this is no folder");
    let new = std::env::temp_dir().join(format!("new-audit-log-{}", std::process::id()));
    let check = |path: &Path| {
        let path = path.to_str().unwrap();
        output(&["check", "--upstream-endpoint", "http://127.0.0.1:9", "--audit-log", path], &[])
    };

    let (_, _, wrong) = check(&folder.0.join("audit.log"));
    let (_, _, right) = check(&new);

    assert!(wrong.contains("it cannot be opened for writing"), "{wrong}");
    assert!(!right.contains("audit") && !new.exists(), "{right}");
}

#[tokio::test]
async fn a_log_that_is_turned_on_has_events_of_what_was_cached_before() {
    let (settings, log) = (TestFile::of(""), TestFile::of(""));
    let gateway = Gateway::following(upstream().await, &settings, &[]).await;
    let queries = [
        screen_record("id"),
        "{ screenRecords(projectId: \"p\", first: 2) { nodes { id } } }".to_owned(),
    ];
    for query in queries.iter().cycle().take(6) {
        gateway.query(query).await;
    }
    let calls = gateway.upstream_requests();

    settings.write(&format!("[audit]\nlog = \"{}\"\nrequired = true\n", log.0.display()));
    gateway.reload().await;
    for query in &queries {
        gateway.query(query).await;
    }

    assert_eq!(gateway.upstream_requests(), calls);
    let expected = json!([["recording.read"], ["recordings.listed"]]);
    assert_eq!(members(&events_in(&log.0), ["event"]), expected);
}

/// The binary, as an operator runs it, for callers with keys.
struct Process {
    child: Child,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    stderr: Lines<BufReader<ChildStderr>>,
    url: String,
    _keys: TestFile,
}

impl Process {
    fn serve(upstream: &ScriptedUpstream, variables: &[(&str, &str)]) -> Self {
        let keys = key_file("*");
        let mut child = Command::new(env!("CARGO_BIN_EXE_screen-record-gateway"))
            .arg("serve")
            .env_clear()
            .env("GATEWAY_LISTEN", "127.0.0.1:0")
            .env("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0")
            .env("GATEWAY_LOG", "off")
            .env("GATEWAY_UPSTREAM__ENDPOINT", format!("http://{}", upstream.address))
            .env("GATEWAY_UPSTREAM__CREDENTIALS", "aksk")
            .env("HUAWEICLOUD_SDK_AK", "FAKEAK0EXAMPLE000001")
            .env("HUAWEICLOUD_SDK_SK", "fakeSK/Example+Secret=Key~0000000000000001")
            .env("GATEWAY_INBOUND__AUTH", "api-key")
            .env("GATEWAY_INBOUND__API_KEYS_FILE", &keys.0)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Some(BufReader::new(child.stdout.take().unwrap()).lines());
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, stdout, stderr, url: String::new(), _keys: keys }
    }

    /// With the address from what is printed to standard error.
    fn with_address_on_stderr(mut self) -> Self {
        self.url = address(&self.stderr.next().unwrap().unwrap());
        self
    }

    /// With the address from what is printed to standard output.
    fn with_address_on_stdout(mut self) -> Self {
        self.url = address(&self.stdout.as_mut().unwrap().next().unwrap().unwrap());
        self
    }

    async fn post(&self) -> HttpAnswer {
        let request = client().post(&self.url).header("content-type", "application/json");
        let body = json!({ "query": screen_record("id") }).to_string();
        HttpAnswer::of(request.header("x-api-key", KEY).body(body).send().await.unwrap()).await
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(line: &str) -> String {
    line.split_whitespace().find(|part| part.starts_with("http://")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_callers_are_known_standard_output_has_the_events_and_nothing_else_without_a_log() {
    let upstream = upstream().await;
    let mut process = Process::serve(&upstream, &[]).with_address_on_stderr();

    process.post().await;
    process.post().await;
    process.signal("-TERM");
    let stdout: Vec<Value> = process
        .stdout
        .take()
        .unwrap()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    let stderr: Vec<String> = process.stderr.by_ref().map(Result::unwrap).collect();

    let event = ["recording.read", "helpdesk", RECORD];
    assert_eq!(members(&stdout, ["event", "caller", "record"]), json!([event, event]));
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_refuses_what_is_required() {
    let upstream = upstream().await;
    let variables = [("GATEWAY_AUDIT__REQUIRED", "true")];
    let mut process = Process::serve(&upstream, &variables).with_address_on_stderr();

    let before = process.post().await;
    process.stdout = None;
    let after = process.post().await;

    assert_eq!((before.status, after.status), (200, 503));
    assert_eq!(code(&after.json), "AUDIT_UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_renamed_is_made_anew_on_a_hangup_and_no_event_is_lost() {
    let (upstream, log) = (upstream().await, TestFile::of(""));
    let rotated = TestFile::of("");
    let variables =
        [("GATEWAY_AUDIT__LOG", log.0.to_str().unwrap()), ("GATEWAY_AUDIT__REQUIRED", "true")];
    let process = Process::serve(&upstream, &variables).with_address_on_stdout();

    process.post().await;
    std::fs::rename(&log.0, &rotated.0).unwrap();
    process.post().await;
    process.signal("-HUP");
    let mut requests = 2;
    while log.0.metadata().map_or(0, |file| file.len()) == 0 {
        process.post().await;
        requests += 1;
    }
    process.post().await;

    let (old, new) = (events_in(&rotated.0), events_in(&log.0));
    assert!(old.len() >= 2 && !new.is_empty(), "{old:?} {new:?}");
    assert_eq!(old.len() + new.len(), requests + 1);
    let mode = std::os::unix::fs::PermissionsExt::mode(&log.0.metadata().unwrap().permissions());
    assert_eq!(mode & 0o137, 0, "others can read the file: {mode:o}");
}

#[tokio::test]
async fn a_line_that_broke_off_does_not_swallow_the_next_one() {
    let audited = Audited::start().await;
    let path = audited.log.0.clone();
    drop(audited.gateway);
    std::fs::write(&path, "{}\n{\"time\":\"20").unwrap();
    let gateway = Gateway::configured(upstream().await, |config| {
        config.audit = AuditConfig { sink: AuditSink::File(path.clone()), required: true };
    })
    .await;

    gateway.query(&screen_record("id")).await;

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (3, "{\"time\":\"20"));
    assert_eq!(serde_json::from_str::<Value>(lines[2]).unwrap()["record"], RECORD);
}
