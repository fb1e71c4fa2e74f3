//! What restricted callers see: their own recordings, and of all others as little as of missing ones.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use screen_record_gateway::config::{
    AccessKey, Config, CredentialsMode, InboundAuth, JwksSource, JwtConfig,
};
use screen_record_gateway::domain::Secret;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{
    AUDIENCE, Gateway, HttpAnswer, ISSUER, Issuer, PROJECT, RedisServer, Reply, Said,
    ScriptedUpstream, Seen, Socket, TestFile, keep_log, key_set, log, seconds_from_now,
};

/// A header with a credential.
type Header = (&'static str, String);

/// What a grant is narrowed to. Each of them shows a recording of alice on desktop `D-1` of pool `P-1` only,
/// except the last, which shows none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Constraint {
    Username,
    Desktop,
    Pool,
    NoRead,
}

const CONSTRAINTS: [Constraint; 4] =
    [Constraint::Username, Constraint::Desktop, Constraint::Pool, Constraint::NoRead];

/// A gateway, a restricted caller and an unrestricted one.
struct World {
    gateway: Gateway,
    restricted: Header,
    unrestricted: Header,
    is_down: Arc<AtomicBool>,
    _file: TestFile,
}

/// A whole HTTP answer, without what differs between any two answers.
#[derive(Debug, PartialEq)]
struct Exchange {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// A recording as the upstream has it. Ids that begin with `visible` and `hidden` exist.
fn record(id: &str) -> Option<Value> {
    let (username, desktop, pool) = match id.split('-').next()? {
        "visible" => ("alice", "d1", "p1"),
        "hiddenn" => ("alice2", "d2", "p2"),
        _ => return None,
    };
    Some(json!({
        "id": id, "username": username, "desktop_id": desktop, "desktop_pool_id": pool,
        "status": "RECORDING", "type": "FULL", "start_time": "2026-01-01T00:00:00Z",
    }))
}

fn answer(seen: &Seen) -> Reply {
    let path = seen.path.split('?').next().unwrap_or_default();
    if path.ends_with("/os-operations") {
        return Reply::json(200, &json!({ "operations": [{ "id": "o" }], "total_count": 1 }));
    }
    if path.ends_with("/download-address") {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        let ids = body["record_ids"].as_array().unwrap().iter();
        let link = |id: &Value| json!({ "id": id, "download_url": "https://obs.example/v?sig=s" });
        return Reply::json(200, &json!({ "address": ids.map(link).collect::<Vec<_>>() }));
    }
    let id = path.rsplit('/').next().unwrap_or_default();
    match record(id) {
        Some(record) => Reply::json(200, &record),
        None => Reply::json(404, &json!({ "error_code": "WKS.00211902", "error_msg": id })),
    }
}

/// The scripted upstream, and the switch that takes it down.
async fn upstream() -> (ScriptedUpstream, Arc<AtomicBool>) {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&is_down);
    let upstream = ScriptedUpstream::start(move |seen| {
        if down.load(Ordering::Relaxed) {
            return Reply::json(503, &json!({ "error_code": "WKS.00000503" }));
        }
        answer(seen)
    });
    (upstream.await, is_down)
}

pub(crate) fn own_credentials(config: &mut Config) {
    config.upstream.credentials = CredentialsMode::AkSk(AccessKey {
        access: Secret::new("FAKEAK0EXAMPLE000001"),
        secret: Secret::new("fakeSK/Example+Secret=Key~0000000000000001"),
        security_token: None,
        project_id: None,
    });
    config.subscriptions.poll_interval = Duration::from_millis(10);
    // Longer than any test takes.
    config.cache.ttl_not_found = Duration::from_mins(1);
}

/// An entry of a key file.
pub(crate) fn key(key: &str, rights: &str) -> String {
    let sha256 = hex::encode(Sha256::digest(key));
    format!("[[key]]\nname = \"{key}\"\nsha256 = \"{sha256}\"\nprojects = [\"*\"]\n{rights}\n")
}

fn by_key(key: &str) -> Header {
    ("x-api-key", key.to_owned())
}

impl World {
    async fn of(constraint: Constraint) -> Self {
        let (upstream, is_down) = upstream().await;
        Self::before(upstream, is_down, constraint, |_| {}).await
    }

    async fn before(
        upstream: ScriptedUpstream,
        is_down: Arc<AtomicBool>,
        constraint: Constraint,
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let rights = match constraint {
            Constraint::Username => "usernames = [\"alice\"]",
            Constraint::Desktop => "desktop_ids = [\"D-1\"]",
            Constraint::Pool => "desktop_pool_ids = [\"P1\", \"p-3\"]",
            Constraint::NoRead => return Self::without_read(upstream, is_down, adjust).await,
        };
        let file = TestFile::of(&[key("restricted", rights), key("unrestricted", "")].concat());
        let gateway = Gateway::configured(upstream, |config| {
            own_credentials(config);
            config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
            adjust(config);
        });
        let (restricted, unrestricted) = (by_key("restricted"), by_key("unrestricted"));
        Self { gateway: gateway.await, restricted, unrestricted, is_down, _file: file }
    }

    async fn without_read(
        upstream: ScriptedUpstream,
        is_down: Arc<AtomicBool>,
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let issuer = Issuer::new("one");
        let file = TestFile::of(&key_set(&[&issuer]).to_string());
        let gateway = Gateway::configured(upstream, |config| {
            own_credentials(config);
            let mut jwt = JwtConfig::new(JwksSource::File(file.0.clone()), ISSUER, AUDIENCE);
            jwt.claims.permissions = Some("scope".to_owned());
            config.inbound.auth = InboundAuth::Jwt(jwt);
            adjust(config);
        });
        let bearer = |scope: &str| {
            let exp = seconds_from_now(86_400);
            let token = issuer.token(&json!({ "scope": scope, "sub": scope, "exp": exp }));
            ("authorization", format!("Bearer {token}"))
        };
        let all = "screen-records:read screen-records:operations screen-records:download";
        let restricted = bearer("openid screen-records:operations screen-records:download");
        let unrestricted = bearer(all);
        Self { gateway: gateway.await, restricted, unrestricted, is_down, _file: file }
    }

    async fn ask(&self, caller: &Header, body: &Value, headers: &[(&str, &str)]) -> Exchange {
        let request = self.gateway.http().post(self.gateway.url());
        let request =
            request.header("content-type", "application/json").header(caller.0, &caller.1);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        let shown = response
            .headers()
            .iter()
            .filter(|(name, _)| *name != "x-request-id" && *name != "date");
        let mut headers: Vec<_> = shown
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        Exchange { status, headers, body: response.text().await.unwrap() }
    }

    async fn query(&self, caller: &Header, document: &str) -> Value {
        let answer = self.ask(caller, &json!({ "query": document }), &[]).await;
        serde_json::from_str(&answer.body).unwrap()
    }

    /// What a caller gets by a way to a recording.
    async fn go(&self, caller: &Header, way: Way, id: &str) -> Exchange {
        let (body, headers) = way.request(id);
        self.ask(caller, &body, &headers).await
    }

    fn down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }
}

/// A way to a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Query,
    Alias,
    Batch,
    Fields,
    Entities,
    Operations,
    Download,
    Explain,
    NoCache,
    Stream,
    /// Lists and statistics, which are not among [`WAYS`]: they do not say that a recording is missing.
    Lists,
}

const WAYS: [Way; 10] = [
    Way::Query,
    Way::Alias,
    Way::Batch,
    Way::Fields,
    Way::Entities,
    Way::Operations,
    Way::Download,
    Way::Explain,
    Way::NoCache,
    Way::Stream,
];

impl Way {
    fn request(self, id: &str) -> (Value, Vec<(&'static str, &'static str)>) {
        let read = |selection: &str| {
            format!(r#"screenRecord(projectId: "{PROJECT}", id: "{id}") {{ {selection} }}"#)
        };
        let query = |selection: &str| json!({ "query": format!("{{ {} }}", read(selection)) });
        match self {
            Self::Query => (query("username"), vec![]),
            Self::Alias => {
                let (one, other) = (read("id"), read("status desktopId"));
                (json!({ "query": format!("{{ a: {one} b: {other} }}") }), vec![])
            }
            Self::Batch => (json!([query("id"), { "query": "{ __typename }" }]), vec![]),
            // Needs the library: there is no plan.
            Self::Fields => (query("... @include(if: true) { username } desktop { id }"), vec![]),
            Self::Entities => {
                let query = "query ($r: [_Any!]!) { _entities(representations: $r) { \
                             ... on ScreenRecord { username } } }";
                let key = json!({ "__typename": "ScreenRecord", "projectId": PROJECT, "id": id });
                (json!({ "query": query, "variables": { "r": [key] } }), vec![])
            }
            Self::Operations => (query("operations { totalCount nodes { id } }"), vec![]),
            Self::Download => (query("downloadUrl"), vec![]),
            Self::Lists => {
                let filter = format!("filter: {{ desktopNames: [\"{id}\"] types: [FULL] }}");
                let list = list(&filter, "totalCount nodes { id } pageInfo { hasNextPage }");
                let counted = counted(&filter);
                (json!({ "query": format!("{{ {list} {counted} }}") }), vec![])
            }
            Self::Explain => (query("username"), vec![("x-gateway-explain", "1")]),
            Self::NoCache => (query("username"), vec![("cache-control", "no-cache")]),
            Self::Stream => {
                let document = format!("subscription {{ {} }}", read("username"));
                (json!({ "query": document }), vec![("accept", "text/event-stream")])
            }
        }
    }
}

/// What has happened to a recording before the restricted caller asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    ReadByAnother,
    ReadTwiceByAnother,
    StaleOfAnother,
    Denied,
    DeniedLongAgo,
    Outage,
    OutageAfterReadByAnother,
}

const BEFORE: [Before; 8] = [
    Before::Nothing,
    Before::ReadByAnother,
    Before::ReadTwiceByAnother,
    Before::StaleOfAnother,
    Before::Denied,
    Before::DeniedLongAgo,
    Before::Outage,
    Before::OutageAfterReadByAnother,
];

impl Before {
    async fn happen(self, world: &World, way: Way, id: &str) {
        let other = &world.unrestricted;
        // A stream of a recording that is being recorded does not end.
        let read = if way == Way::Stream { Way::Query } else { way };
        match self {
            Self::Nothing | Self::Outage => {}
            Self::ReadByAnother | Self::OutageAfterReadByAnother => {
                world.go(other, read, id).await;
            }
            Self::ReadTwiceByAnother => {
                world.go(other, read, id).await;
                world.go(other, read, id).await;
            }
            Self::StaleOfAnother => {
                world.go(other, read, id).await;
                world.gateway.advance(Duration::from_secs(20));
            }
            Self::Denied => {
                world.go(&world.restricted, read, id).await;
            }
            Self::DeniedLongAgo => {
                world.go(&world.restricted, read, id).await;
                world.gateway.advance(Duration::from_secs(61));
            }
        }
        world.down(matches!(self, Self::Outage | Self::OutageAfterReadByAnother));
    }
}

/// What a restricted caller gets for a recording, and how many calls that makes.
async fn denied(world: &World, way: Way, before: Before, id: &str) -> (Exchange, usize) {
    before.happen(world, way, id).await;
    let calls = world.gateway.upstream_requests();
    let answer = world.go(&world.restricted, way, id).await;
    world.down(false);
    (answer, world.gateway.upstream_requests() - calls)
}

#[tokio::test]
async fn an_invisible_recording_is_answered_as_a_missing_one_whatever_was_read_before() {
    for constraint in CONSTRAINTS {
        let world = World::of(constraint).await;
        for (number, (way, before)) in
            WAYS.iter().flat_map(|way| BEFORE.map(|before| (*way, before))).enumerate()
        {
            let id = |kind: &str| format!("{kind}-{number:03}");

            let hidden = denied(&world, way, before, &id("hiddenn")).await;
            let missing = denied(&world, way, before, &id("missing")).await;

            assert_eq!(hidden, missing, "{constraint:?} {way:?} {before:?}");
            let is_outage = matches!(before, Before::Outage | Before::OutageAfterReadByAnother);
            let code = if is_outage { "UPSTREAM_UNAVAILABLE" } else { "NOT_FOUND" };
            let body = &hidden.0.body;
            assert!(body.contains(code), "{constraint:?} {way:?} {before:?}: {body}");
            assert!(!body.contains("alice") && !body.contains("d2"), "{body}");
            if !is_outage {
                assert!(!body.contains("\"upstream\""), "{body}");
                let told = hidden
                    .0
                    .headers
                    .iter()
                    .find(|(name, _)| name == "cache-status" || name == "age");
                assert_eq!(told, None, "{constraint:?} {way:?} {before:?}");
            }
        }
    }
}

#[tokio::test]
async fn lists_and_statistics_with_an_invisible_recording_are_those_without_it() {
    for constraint in CONSTRAINTS {
        let (upstream, is_down) = upstream().await;
        let down = Arc::clone(&is_down);
        upstream.answer_with(move |seen| match seen.parameter("desktop_names") {
            _ if down.load(Ordering::Relaxed) => Reply::json(503, &json!({})),
            Some(id) => seen.page_of("screen_records", &Vec::from_iter(record(&id))),
            None => answer(seen),
        });
        let world = World::before(upstream, is_down, constraint, |_| {}).await;
        for (number, before) in BEFORE.into_iter().enumerate() {
            let id = |kind: &str| format!("{kind}-{number:03}");

            let hidden = denied(&world, Way::Lists, before, &id("hiddenn")).await;
            let missing = denied(&world, Way::Lists, before, &id("missing")).await;

            assert_eq!(hidden, missing, "{constraint:?} {before:?}");
            let is_outage = matches!(before, Before::Outage | Before::OutageAfterReadByAnother);
            let (body, nothing) =
                (&hidden.0.body, "\"groups\":[],\"scanned\":0,\"isComplete\":true");
            assert!(is_outage || body.contains(nothing), "{constraint:?} {before:?}: {body}");
        }
    }
}

#[tokio::test]
async fn a_visible_recording_is_answered_as_to_an_unrestricted_caller() {
    for constraint in [Constraint::Username, Constraint::Desktop, Constraint::Pool] {
        let world = World::of(constraint).await;
        // A stream does not end, and an explanation says how old a recording is to the millisecond.
        let ways = WAYS.into_iter().filter(|way| !matches!(way, Way::Stream | Way::Explain));
        for (number, way) in ways.enumerate() {
            let id = |caller: &str| format!("visible-{caller}-{number}");
            let cold = [
                world.go(&world.restricted, way, &id("r")).await,
                world.go(&world.unrestricted, way, &id("u")).await,
            ];
            let warm = [
                world.go(&world.restricted, way, &id("r")).await,
                world.go(&world.unrestricted, way, &id("u")).await,
            ];

            assert!(!cold[0].body.contains("errors"), "{constraint:?} {way:?}: {}", cold[0].body);
            let alike = |exchange: &Exchange| {
                let body = exchange.body.replace(&id("u"), &id("r"));
                (exchange.status, exchange.headers.clone(), body)
            };
            assert_eq!(alike(&cold[0]), alike(&cold[1]), "{constraint:?} {way:?}");
            assert_eq!(alike(&warm[0]), alike(&warm[1]), "{constraint:?} {way:?}");
        }
        let cached = world.go(&world.restricted, Way::Query, "visible-u-0").await;
        assert!(cached.body.contains("alice"), "{}", cached.body);
    }
}

#[tokio::test]
async fn a_visible_recording_is_served_stale_in_an_outage_and_an_invisible_one_is_not() {
    let world = World::of(Constraint::Username).await;
    for id in ["visible-1", "hiddenn-1"] {
        world.go(&world.unrestricted, Way::Query, id).await;
    }
    world.gateway.advance(Duration::from_mins(1));
    world.down(true);

    let visible = world.go(&world.restricted, Way::Query, "visible-1").await;
    let hidden = world.go(&world.restricted, Way::Query, "hiddenn-1").await;

    assert!(visible.body.contains("alice") && visible.body.contains("stale"), "{}", visible.body);
    assert!(hidden.body.contains("UPSTREAM_UNAVAILABLE"), "{}", hidden.body);
}

#[tokio::test]
async fn what_another_replica_has_cached_of_an_invisible_recording_is_not_used() {
    let redis = RedisServer::start().await;
    let (upstream, is_down) = upstream().await;
    let world = async || {
        let down = Arc::clone(&is_down);
        let shared = redis.config();
        let world = World::before(upstream.clone(), down, Constraint::Desktop, |config| {
            config.cache.shared = Some(shared);
        });
        let world = world.await;
        world.gateway.until_metric("gateway_shared_cache_up 1").await;
        world
    };
    let (one, other) = (world().await, world().await);
    for id in ["visible-1", "hiddenn-1", "missing-1"] {
        one.go(&one.unrestricted, Way::Query, id).await;
    }
    one.gateway.until_metric("gateway_shared_cache_writes_total{outcome=\"written\"} 2").await;

    let [visible, hidden, missing] = [
        denied(&other, Way::Query, Before::Nothing, "visible-1").await,
        denied(&other, Way::Query, Before::Nothing, "hiddenn-1").await,
        denied(&other, Way::Query, Before::Nothing, "missing-1").await,
    ];

    assert!(visible.0.body.contains("alice") && visible.1 == 0, "{visible:?}");
    assert_eq!(hidden, missing);
    assert_eq!(hidden.1, 1);
}

#[tokio::test]
async fn a_field_without_its_permission_is_null_with_forbidden_and_nothing_is_sent_for_it() {
    let (gateway, _file) = with_key("helpdesk", "permissions = [\"read\"]").await;
    let document = format!(
        r#"{{ screenRecord(projectId: "{PROJECT}", id: "visible-1") {{
            username downloadUrl downloadLink {{ url }} operations {{ totalCount }} }} }}"#
    );

    let answer = gateway.post(&document, &[("x-api-key", "helpdesk")]).await.json;

    let record = json!({
        "username": "alice", "downloadUrl": null, "downloadLink": null, "operations": null,
    });
    assert_eq!(answer["data"]["screenRecord"], record);
    let mut errors: Vec<_> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["path"][1].clone(), error["extensions"]["code"].clone()))
        .collect();
    errors.sort_by_key(|(path, _)| path.to_string());
    let fields = ["downloadLink", "downloadUrl", "operations"];
    assert_eq!(errors, fields.map(|field| (json!(field), json!("FORBIDDEN"))));
    assert_eq!(gateway.upstream_requests(), 1);
}

/// A gateway with one caller, and the file that has the caller's key.
async fn with_key(name: &str, rights: &str) -> (Gateway, TestFile) {
    let file = TestFile::of(&key(name, rights));
    let (upstream, _) = upstream().await;
    let gateway = Gateway::configured(upstream, |config| {
        own_credentials(config);
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
    })
    .await;
    (gateway, file)
}

/// A socket of a caller.
async fn socket(gateway: &Gateway, key: &str) -> Socket {
    let mut socket = Socket::open(gateway, &[("x-api-key", key)]).await.unwrap();
    socket.say(json!({ "type": "connection_init" })).await;
    socket.hear().await;
    socket
}

fn subscription(id: &str) -> String {
    format!(r#"subscription {{ screenRecord(projectId: "{PROJECT}", id: "{id}") {{ username }} }}"#)
}

#[tokio::test]
async fn a_recording_that_another_caller_watches_stays_invisible_to_a_restricted_one() {
    let world = World::of(Constraint::Username).await;
    let mut other = socket(&world.gateway, "unrestricted").await;
    other.subscribe("1", &subscription("hiddenn-1")).await;
    assert_eq!(other.hear().await.json()["payload"]["data"]["screenRecord"]["username"], "alice2");
    let mut restricted = socket(&world.gateway, "restricted").await;

    restricted.subscribe("1", &subscription("hiddenn-1")).await;
    let hidden = [restricted.hear().await, restricted.hear().await];
    restricted.subscribe("1", &subscription("missing-1")).await;
    let missing = [restricted.hear().await, restricted.hear().await];

    assert_eq!(hidden, missing);
    let errors = &hidden[0].json()["payload"]["errors"];
    assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND");
    assert_eq!(hidden[1].json()["type"], "complete");
}

#[tokio::test]
async fn a_watched_recording_that_becomes_invisible_ends_as_one_that_is_deleted() {
    let mut ends = Vec::new();
    for later in [record("hiddenn-1"), None] {
        let is_changed = Arc::new(AtomicBool::new(false));
        let changed = Arc::clone(&is_changed);
        let upstream =
            ScriptedUpstream::start(move |seen| match (changed.load(Ordering::Relaxed), &later) {
                (false, _) => answer(seen),
                (true, Some(record)) => Reply::json(200, record),
                (true, None) => Reply::json(404, &json!({ "error_code": "WKS.00211902" })),
            });
        let world =
            World::before(upstream.await, Arc::default(), Constraint::Username, |_| {}).await;
        let mut socket = socket(&world.gateway, "restricted").await;
        socket.subscribe("1", &subscription("visible-1")).await;
        let first = socket.hear().await;
        assert_eq!(first.json()["payload"]["data"]["screenRecord"]["username"], "alice");

        is_changed.store(true, Ordering::Relaxed);

        ends.push([socket.hear().await, socket.hear().await]);
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0][0].json()["payload"]["errors"][0]["extensions"]["code"], "NOT_FOUND");
}

#[tokio::test]
async fn a_grant_that_is_narrowed_counts_for_the_next_read_and_ends_sockets() {
    let (gateway, file) = with_key("one", "").await;
    let document = subscription("hiddenn-1").replace("subscription", "query");
    let mut socket = socket(&gateway, "one").await;
    socket.subscribe("1", &subscription("hiddenn-1")).await;
    socket.hear().await;
    let before = gateway.post(&document, &[("x-api-key", "one")]).await.json;

    file.write(&key("one", "usernames = [\"alice\"]"));
    gateway.reload().await;

    let after = gateway.post(&document, &[("x-api-key", "one")]).await.json;
    assert_eq!(before["data"]["screenRecord"]["username"], "alice2");
    assert_eq!(after["errors"][0]["extensions"]["code"], "NOT_FOUND");
    assert_eq!(socket.hear().await, Said::Closed(4403, "Forbidden".to_owned()));
}

#[tokio::test]
async fn no_answer_goes_over_a_socket_once_its_grant_is_narrowed() {
    let (gateway, file) = with_key("one", "").await;
    let mut socket = socket(&gateway, "one").await;

    file.write(&key("one", "usernames = [\"alice\"]"));
    gateway.reload().await;
    socket.subscribe("1", &subscription("hiddenn-1").replace("subscription", "query")).await;

    assert_eq!(socket.hear().await, Said::Closed(4403, "Forbidden".to_owned()));
}

/// A row of a list.
fn row(number: usize, username: &str, desktop: &str) -> Value {
    let start =
        format!("2026-01-01T{:02}:{:02}:{:02}Z", number / 3600, number / 60 % 60, number % 60);
    json!({
        "id": format!("r{number}"), "username": username, "desktop_id": desktop,
        "desktop_pool_id": "p1", "status": "UPLOAD_COMPLETED", "start_time": start,
    })
}

/// Rows from the newest to the oldest. Each tenth is of alice on desktop `d1`, her namesakes have the others.
fn rows(count: usize) -> Vec<Value> {
    let row = |number| match number % 10 {
        9 => row(number, "alice", "d1"),
        _ => row(number, "alice2", "d2"),
    };
    (0..count).rev().map(row).collect()
}

/// An upstream that lists rows, and looks for users whose names contain a text.
async fn listing(rows: Vec<Value>) -> ScriptedUpstream {
    let found = move |seen: &Seen| {
        let username = seen.parameter("username").unwrap_or_default();
        let is_found =
            |row: &&Value| row["username"].as_str().unwrap_or_default().contains(&username);
        rows.iter().filter(is_found).cloned().collect::<Vec<_>>()
    };
    ScriptedUpstream::start(move |seen| seen.page_of("screen_records", &found(seen))).await
}

/// Lists of an upstream, for one key with some rights and for an unrestricted one.
struct Lists {
    gateway: Gateway,
    _file: TestFile,
}

impl Lists {
    async fn of(rows: Vec<Value>, rights: &str, adjust: impl FnOnce(&mut Config)) -> Self {
        let file = TestFile::of(&[key("one", rights), key("all", "")].concat());
        let gateway = Gateway::configured(listing(rows).await, |config| {
            own_credentials(config);
            config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
            adjust(config);
        });
        Self { gateway: gateway.await, _file: file }
    }

    async fn query(&self, key: &str, document: &str) -> Value {
        self.gateway.post(document, &[("x-api-key", key)]).await.json
    }

    /// A part of the list.
    async fn part(&self, key: &str, arguments: &str) -> Part {
        let answer = self.query(key, &format!("{{ {} }}", list(arguments, PART))).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        Part::of(&answer["data"]["screenRecords"])
    }

    /// The ids of all parts, and how many parts there were.
    async fn walk(&self, key: &str, first: usize) -> (Vec<String>, usize) {
        let (mut ids, mut after) = (Vec::new(), "null".to_owned());
        for parts in 1.. {
            let part = self.part(key, &format!("first: {first} after: {after}")).await;
            ids.extend(part.ids);
            if !part.has_next {
                return (ids, parts);
            }
            after = part.end.to_string();
        }
        unreachable!("the list has no end")
    }

    fn calls(&self) -> usize {
        self.gateway.upstream_requests()
    }
}

const PART: &str = "nodes { id username } edges { cursor } totalCount \
                    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";

fn counted(arguments: &str) -> String {
    format!(
        "screenRecordStatistics(projectId: \"{PROJECT}\" {arguments} groupBy: [DESKTOP, USERNAME]) {{ \
         groups {{ desktopId username count }} scanned isComplete }}"
    )
}

fn list(arguments: &str, selection: &str) -> String {
    format!(r#"screenRecords(projectId: "{PROJECT}" {arguments}) {{ {selection} }}"#)
}

/// A part of a list.
#[derive(Debug)]
struct Part {
    ids: Vec<String>,
    total: Value,
    has_next: bool,
    end: Value,
}

impl Part {
    fn of(connection: &Value) -> Self {
        let nodes = connection["nodes"].as_array().unwrap().iter();
        Self {
            ids: nodes.map(|node| node["id"].as_str().unwrap().to_owned()).collect(),
            total: connection["totalCount"].clone(),
            has_next: connection["pageInfo"]["hasNextPage"].as_bool().unwrap(),
            end: connection["pageInfo"]["endCursor"].clone(),
        }
    }
}

fn every_tenth(count: usize) -> Vec<String> {
    (0..count).rev().filter(|number| number % 10 == 9).map(|number| format!("r{number}")).collect()
}

#[tokio::test]
async fn a_list_of_one_user_is_looked_for_by_the_upstream_and_checked_again() {
    let lists = Lists::of(rows(250), "usernames = [\"alice\"]", |_| {}).await;

    let part = lists.part("one", "first: 100").await;

    assert_eq!((part.ids, part.total), (every_tenth(250), json!(25)));
    assert!(!part.has_next);
    let seen = lists.gateway.upstream.seen();
    let filters: BTreeSet<_> = seen.iter().map(|seen| seen.parameter("username")).collect();
    assert_eq!(filters, BTreeSet::from([Some("alice".to_owned())]));
}

#[tokio::test]
async fn a_list_is_scanned_for_visible_rows_and_walked_through_by_its_cursors() {
    for rights in ["desktop_ids = [\"D-1\"]", "usernames = [\"alice\", \"bob\"]"] {
        let lists = Lists::of(rows(250), rights, |_| {}).await;

        let first = lists.part("one", "first: 3").await;
        let walked = lists.walk("one", 4).await;

        assert_eq!((first.ids, first.total), (every_tenth(250)[..3].to_vec(), json!(25)));
        assert_eq!(walked, (every_tenth(250), 7));
        let seen = lists.gateway.upstream.seen();
        assert!(seen.iter().all(|seen| seen.parameter("username").is_none()));
    }
}

#[tokio::test]
async fn a_part_may_be_short_or_empty_and_its_cursor_says_where_the_scan_stood() {
    let few = |config: &mut Config| config.limits.max_scanned_rows = 95;
    let lists = Lists::of(rows(1000), "desktop_ids = [\"d1\"]", few).await;

    let first = lists.part("one", "first: 50").await;
    let (ids, parts) = lists.walk("one", 50).await;

    assert_eq!((first.ids.len(), first.has_next, first.total), (10, true, Value::Null));
    assert_eq!((ids, parts), (every_tenth(1000), 11));
    let unmatched = Lists::of(rows(1000), "desktop_ids = [\"d3\"]", few).await;
    let empty = unmatched.part("one", "first: 50").await;
    assert_eq!((empty.ids.len(), empty.has_next, empty.total), (0, true, Value::Null));
    assert!(empty.end.is_string());
}

#[tokio::test]
async fn the_lists_of_one_operation_share_the_rows_that_they_may_scan() {
    let few = |config: &mut Config| config.limits.max_scanned_rows = 300;
    let lists = Lists::of(rows(10_000), "desktop_ids = [\"d3\"]", few).await;
    let mut document = "{".to_owned();
    for alias in 0..5 {
        let filter = format!("filter: {{ startedAfter: \"2026-01-01T00:00:0{alias}Z\" }}");
        write!(document, " a{alias}: {}", list(&filter, PART)).unwrap();
    }

    let answer = lists.query("one", &(document + " }")).await;

    assert_eq!(answer.get("errors"), None, "{answer}");
    assert_eq!(lists.calls(), 3);
    let scanned = "gateway_access_scanned_rows_total 300";
    assert!(lists.gateway.admin_get("/metrics").await.1.lines().any(|line| line == scanned));
}

#[tokio::test]
async fn a_list_that_can_hold_nothing_visible_is_empty_without_a_call() {
    let lists =
        Lists::of(rows(50), "usernames = [\"alice\"]\ndesktop_ids = [\"d1\"]", |_| {}).await;

    for filter in [
        "username: \"alice2\"",
        "username: \"ali\"",
        "desktopId: \"d2\"",
        "usernames: [\"alice2\"]",
        "usernames: []",
    ] {
        let part = lists.part("one", &format!("filter: {{ {filter} }}")).await;

        assert_eq!((part.ids.len(), part.has_next, part.total), (0, false, json!(0)), "{filter}");
    }
    let world = World::of(Constraint::NoRead).await;
    let document = format!("{{ {} }}", list("", PART));
    let answer = world.query(&world.restricted, &document).await;
    assert_eq!(Part::of(&answer["data"]["screenRecords"]).total, json!(0));
    assert_eq!((lists.calls(), world.gateway.upstream_requests()), (0, 0));
}

#[tokio::test]
async fn statistics_of_a_restricted_caller_are_those_of_the_visible_rows() {
    for rights in ["desktop_ids = [\"D-1\"]", "usernames = [\"alice\", \"bob\"]"] {
        let mut all = rows(250);
        all.push(json!(7));
        let lists = Lists::of(all, rights, |_| {}).await;

        let answer = lists.query("one", &format!("{{ {} }}", counted(""))).await;

        let group = json!({ "desktopId": "d1", "username": "alice", "count": 25 });
        assert_eq!(
            answer["data"]["screenRecordStatistics"],
            json!({ "groups": [group], "scanned": 25, "isComplete": true }),
            "{rights}"
        );
    }
    let lists = Lists::of(rows(50), "usernames = [\"alice\"]", |_| {}).await;
    lists.query("one", &format!("{{ {} }}", counted(""))).await;
    assert_eq!(lists.gateway.upstream.seen()[0].parameter("username").as_deref(), Some("alice"));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_not_shown_to_a_restricted_caller() {
    let rows = vec![
        json!(7),
        json!({ "id": "r1", "username": { "name": "hidden" } }),
        json!({ "id": "r2" }),
        row(3, "", "d1"),
        row(4, "alice", "d1"),
    ];
    let lists = Lists::of(rows, "usernames = [\"alice\", \"\u{e9}\"]", |_| {}).await;

    let part = lists.part("one", "").await;

    assert_eq!((part.ids, part.total), (vec!["r4".to_owned()], json!(1)));
}

#[tokio::test]
async fn an_error_about_a_list_does_not_say_how_many_rows_it_has() {
    let lists = Lists::of(rows(20), "desktop_ids = [\"d1\"]", |_| {}).await;
    lists.gateway.upstream.answer_with(|seen| match seen.parameter("offset").as_deref() {
        Some("0") => {
            Reply::json(200, &json!({ "screen_records": [row(1, "u", "d2")], "total_count": 4711 }))
        }
        _ => Reply::json(200, &json!({ "screen_records": [], "total_count": 4711 })),
    });

    for field in [list("", PART), counted("")] {
        let answer = lists.query("one", &format!("{{ {field} }}")).await;

        let code = &answer["errors"][0]["extensions"]["code"];
        assert_eq!(code, "UPSTREAM_INVALID_RESPONSE", "{answer}");
        assert!(!answer.to_string().contains("4711"), "{answer}");
    }
}

#[tokio::test]
async fn what_an_unrestricted_list_put_into_the_cache_stays_invisible() {
    let lists = Lists::of(rows(20), "usernames = [\"alice\"]", |_| {}).await;
    lists.gateway.upstream.answer_with({
        let rows = rows(20);
        move |seen| {
            if seen.path.contains("screen-records?") {
                return seen.page_of("screen_records", &rows);
            }
            Reply::json(200, &rows[1])
        }
    });
    lists.part("all", "").await;
    let read =
        |id: &str| format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "{id}") {{ id }} }}"#);

    let visible = lists.query("one", &read("r9")).await;
    let hidden = lists.query("one", &read("r18")).await;

    assert_eq!(visible["data"]["screenRecord"]["id"], "r9");
    assert_eq!(
        hidden["errors"][0]["extensions"],
        json!({ "code": "NOT_FOUND", "retryable": false })
    );
}

#[tokio::test]
async fn callers_of_one_name_with_different_grants_do_not_share_responses() {
    let issuer = Issuer::new("one");
    let file = TestFile::of(&key_set(&[&issuer]).to_string());
    let gateway = Gateway::configured(listing(rows(50)).await, |config| {
        own_credentials(config);
        let mut jwt = JwtConfig::new(JwksSource::File(file.0.clone()), ISSUER, AUDIENCE);
        jwt.claims.desktop_ids = Some("desktops".to_owned());
        config.inbound.auth = InboundAuth::Jwt(jwt);
    })
    .await;
    let ask = async |desktops: Value| {
        let token = issuer.token(&json!({ "desktops": desktops }));
        let header = ("authorization", format!("Bearer {token}"));
        let document = format!("{{ {} }}", list("", PART));
        let answer = gateway.post(&document, &[(header.0, &header.1)]).await.json;
        Part::of(&answer["data"]["screenRecords"]).total
    };

    let totals = [
        ask(json!(["d1", "d2"])).await,
        ask(json!("d1")).await,
        ask(json!("d1")).await,
        ask(json!("D-2")).await,
        ask(json!("d1 d2")).await,
        ask(Value::Null).await,
    ];

    assert_eq!(totals, [json!(50), json!(5), json!(5), json!(45), json!(0), json!(0)]);
}

/// The bytes of a cursor.
fn decoded(cursor: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(cursor.as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_restricted_callers_cursors_show_neither_ids_nor_places() {
    let few = |config: &mut Config| config.limits.max_scanned_rows = 400;
    let lists = Lists::of(rows(1000), "desktop_ids = [\"d1\"]", few).await;
    let mut cursors = Vec::new();
    for _ in 0..2 {
        for (first, after) in
            [(2, "null".to_owned()), (20, "null".to_owned()), (500, "null".to_owned())]
        {
            cursors.push(lists.part("one", &format!("first: {first} after: {after}")).await.end);
            // Not from the response cache.
            lists.gateway.advance(Duration::from_secs(6));
        }
    }

    let cursors: Vec<_> = cursors.iter().map(decoded).collect();

    let different: BTreeSet<_> = cursors.iter().collect();
    assert_eq!(different.len(), cursors.len());
    let sizes: BTreeSet<_> = cursors.iter().map(Vec::len).collect();
    assert_eq!(sizes.len(), 1);
    let plain = decoded(&lists.part("all", "first: 1").await.end);
    for number in 0..1000 {
        let print = &Sha256::digest(format!("r{number}"))[..8];
        let holds = |cursor: &Vec<u8>| cursor.windows(8).any(|bytes| bytes == print);
        assert!(!cursors.iter().any(holds), "of r{number}");
        assert_eq!(holds(&plain), number == 999);
    }
}

#[tokio::test]
async fn a_cursor_of_another_grant_or_key_is_refused() {
    let secret =
        |config: &mut Config| config.cache.key_secret = Some(Secret::new("of all replicas"));
    let rights = "desktop_ids = [\"d1\"]";
    let [one, replica] =
        [Lists::of(rows(50), rights, secret).await, Lists::of(rows(50), rights, secret).await];
    let stranger = Lists::of(rows(50), rights, |_| {}).await;
    let narrower = Lists::of(rows(50), &format!("{rights}\nusernames = [\"alice\"]"), secret).await;
    let sealed = one.part("one", "first: 2").await.end;
    let plain = one.part("all", "first: 2").await.end;

    let next = replica.part("one", &format!("after: {sealed}")).await;

    assert_eq!(next.ids, every_tenth(50)[2..]);
    for (lists, key, cursor) in [
        (&one, "all", &sealed),
        (&one, "one", &plain),
        (&stranger, "one", &sealed),
        (&narrower, "one", &sealed),
        (&one, "one", &json!("AgAA")),
    ] {
        let document = format!("{{ {} }}", list(&format!("after: {cursor}"), PART));
        let answer = lists.query(key, &document).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{answer}");
    }
    let filtered =
        format!("{{ {} }}", list(&format!("after: {sealed} filter: {{ type: FULL }}"), PART));
    let other_list = one.query("one", &filtered).await;
    assert_eq!(other_list["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }

    /// Some of the texts, as a TOML list.
    fn some(&mut self, from: &[&str]) -> (BTreeSet<String>, String) {
        let picked: BTreeSet<String> =
            from.iter().filter(|_| self.below(3) == 0).map(|text| (*text).to_owned()).collect();
        let text = format!("{:?}", picked.iter().collect::<Vec<_>>());
        (picked, text)
    }
}

const USERS: [&str; 5] = ["user-anna", "user-ann", "user-bert", "user-*", "user-cleo user-dora"];
const DESKTOPS: [&str; 4] = ["desk1aaa", "desk2bbb", "desk3ccc", "desk4ddd"];
const POOLS: [&str; 3] = ["pool1xxx", "pool2yyy", "pool3zzz"];

/// A random grant: the rights in a key file, and what they show.
struct RandomGrant {
    rights: String,
    visible: BTreeSet<String>,
}

impl RandomGrant {
    fn over(records: &[Value], random: &mut Random) -> Self {
        let mut rights = String::new();
        let mut shown: Vec<&Value> = records.iter().collect();
        for (name, field, values) in [
            ("usernames", "username", &USERS[..]),
            ("desktop_ids", "desktop_id", &DESKTOPS[..]),
            ("desktop_pool_ids", "desktop_pool_id", &POOLS[..]),
        ] {
            // One constraint at least.
            if name != "usernames" && random.below(2) == 0 {
                continue;
            }
            let (picked, text) = random.some(values);
            writeln!(rights, "{name} = {text}").unwrap();
            shown.retain(|record| {
                record[field].as_str().is_some_and(|value| picked.contains(value))
            });
        }
        let visible =
            shown.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
        Self { rights, visible }
    }
}

fn random_records(random: &mut Random) -> Vec<Value> {
    let record = |number: usize| {
        let mut record = row(number, random.pick(&USERS), random.pick(&DESKTOPS));
        record["id"] = json!(format!("rec{number:03}{:08x}", random.below(usize::MAX >> 33)));
        record["desktop_pool_id"] = json!(random.pick(&POOLS));
        if random.below(8) == 0 {
            record["username"] = Value::Null;
        }
        record
    };
    (0..120).rev().map(record).collect()
}

/// What an answer must not hold: the id and the user of a recording.
fn private_texts(record: &Value) -> [String; 2] {
    ["id", "username"].map(|field| record[field].as_str().unwrap_or("-none-").to_owned())
}

impl RandomGrant {
    /// The ids and users of recordings that the grant does not show, without those that an answer may hold
    /// because they are part of another text.
    fn hidden(&self, records: &[Value]) -> BTreeSet<String> {
        let is_visible = |record: &&Value| self.visible.contains(record["id"].as_str().unwrap());
        let shown: Vec<_> = records.iter().filter(is_visible).flat_map(private_texts).collect();
        let is_hidden = |text: &String| !shown.iter().any(|shown| shown.contains(text));
        records.iter().flat_map(private_texts).filter(is_hidden).collect()
    }

    /// Checks an answer, and the count of a list without a filter.
    fn check(&self, records: &[Value], answer: &HttpAnswer, is_filtered: bool) {
        let whole = format!("{} {:?}", answer.json, answer.headers);
        for text in self.hidden(records) {
            assert!(!whole.contains(&text), "{} saw {text}: {whole}", self.rights);
        }
        let counted = &answer.json["data"]["screenRecordStatistics"];
        let (scanned, visible) = (counted["scanned"].as_u64().unwrap(), self.visible.len() as u64);
        let is_right = is_filtered || counted["isComplete"] == false || scanned == visible;
        assert!(is_right && scanned <= visible, "{} counted {counted}", self.rights);
        let list = &answer.json["data"]["screenRecords"];
        let (total, visible) = (&list["totalCount"], json!(self.visible.len()));
        let is_right = is_filtered || total.is_null() || *total == visible;
        assert!(is_right, "{} counted {total}, not {visible}", self.rights);
        for edge in list["edges"].as_array().unwrap() {
            let cursor = decoded(&edge["cursor"]);
            for record in records {
                let print = &Sha256::digest(record["id"].as_str().unwrap())[..8];
                assert!(!cursor.windows(8).any(|bytes| bytes == print));
            }
        }
    }
}

/// Some recordings by id and a part of the list; whether the list has a filter.
fn random_document(records: &[Value], random: &mut Random) -> (String, bool) {
    let mut document = "{".to_owned();
    for alias in 0..6 {
        let id = &records[random.below(records.len())]["id"];
        let arguments = format!("projectId: \"{PROJECT}\", id: {id}");
        write!(document, " a{alias}: screenRecord({arguments}) {{ id username }}").unwrap();
    }
    let filter = match random.below(8) {
        0 => format!("filter: {{ username: {:?} }}", random.pick(&USERS)),
        1 => format!("filter: {{ desktopId: {:?} }}", random.pick(&DESKTOPS)),
        2 => format!("filter: {{ usernames: [{:?}] }}", random.pick(&USERS)),
        3 => format!(
            "filter: {{ desktopIds: [{:?}] statuses: [UPLOAD_COMPLETED, RECORDING] }}",
            random.pick(&DESKTOPS)
        ),
        _ => String::new(),
    };
    let part = list(&format!("first: {} {filter}", 1 + random.below(60)), PART);
    (document + &part + &counted(&filter) + "}", !filter.is_empty())
}

/// An upstream of these recordings, one by one and in a list.
async fn upstream_of(records: &[Value]) -> ScriptedUpstream {
    let records = records.to_vec();
    ScriptedUpstream::start(move |seen| {
        if seen.path.contains("/screen-records?") {
            let username = seen.parameter("username").unwrap_or_default();
            let is_found =
                |row: &&Value| row["username"].as_str().unwrap_or_default().contains(&username);
            let found: Vec<_> = records.iter().filter(is_found).cloned().collect();
            return seen.page_of("screen_records", &found);
        }
        let id = seen.path.rsplit('/').next().unwrap_or_default();
        match records.iter().find(|record| record["id"] == id) {
            Some(record) => Reply::json(200, record),
            None => Reply::json(404, &json!({ "error_code": "WKS.00211902" })),
        }
    })
    .await
}

#[tokio::test]
async fn random_grants_let_nothing_invisible_through() {
    keep_log();
    let mut random = Random(17);
    let records = random_records(&mut random);
    let grants: Vec<_> = (0..24).map(|_| RandomGrant::over(&records, &mut random)).collect();
    let keys = grants.iter().enumerate();
    let keys = keys.map(|(number, grant)| key(&format!("key{number}"), &grant.rights));
    let file = TestFile::of(&keys.collect::<String>());
    let gateway = Gateway::configured(upstream_of(&records).await, |config| {
        own_credentials(config);
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
        config.limits.max_scanned_rows = 150;
    })
    .await;

    for round in 0..3 {
        for (number, grant) in grants.iter().enumerate() {
            let (document, is_filtered) = random_document(&records, &mut random);
            let key = format!("key{number}");
            let answer = gateway.post(&document, &[("x-api-key", &key)]).await;
            grant.check(&records, &answer, is_filtered);
        }
        gateway.advance(Duration::from_secs(4 * round));
    }

    let metrics = gateway.admin_get("/metrics").await.1;
    let log = log();
    let is_ours = |line: &&str| line.contains(" screen_record_gateway");
    let lines: Vec<_> = log.lines().filter(is_ours).collect();
    assert!(!lines.is_empty());
    for text in records.iter().flat_map(private_texts) {
        assert!(!metrics.contains(&text));
        assert!(!lines.iter().any(|line| line.contains(&text)), "{text}");
    }
}

/// Milliseconds that the middle one of some answers took.
async fn median(world: &World, ids: impl Iterator<Item = String>) -> f64 {
    let mut times = Vec::new();
    for id in ids {
        let since = std::time::Instant::now();
        world.go(&world.restricted, Way::Query, &id).await;
        times.push(since.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[tokio::test]
#[ignore = "prints how long answers take, on a machine with nothing else to do"]
async fn the_time_of_invisible_and_missing_recordings() {
    let world = World::of(Constraint::Username).await;
    for round in 0..3 {
        let ids = |kind: &'static str| (0..1000).map(move |n| format!("{kind}-{round}{n:04}"));
        let cold = [median(&world, ids("hiddenn")).await, median(&world, ids("missing")).await];
        let again = |kind: &'static str| (0..1000).map(move |_| format!("{kind}-{round}0999"));
        let cached =
            [median(&world, again("hiddenn")).await, median(&world, again("missing")).await];
        println!("cold: invisible {:.3} ms, missing {:.3} ms", cold[0], cold[1]);
        println!("cached: invisible {:.3} ms, missing {:.3} ms", cached[0], cached[1]);
    }
}
