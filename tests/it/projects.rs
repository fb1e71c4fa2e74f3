//! Projects in several regions: each is read from its own region, with its own credentials, and nothing of
//! one region ever reaches another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use screen_record_gateway::app::Outcome;
use screen_record_gateway::config::ProjectConfig;
use screen_record_gateway::domain::ProjectId;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::support::{Gateway, HttpAnswer, Reply, ScriptedUpstream, Seen, TestFile, keep_log, log};

const EAST: &str = "ea57";
const WEST: &str = "3e57";
const BOTH: [&str; 2] = [EAST, WEST];

/// Two regions beside the one of projects that no table names.
struct Regions {
    east: ScriptedUpstream,
    west: ScriptedUpstream,
    settings: TestFile,
}

impl Regions {
    async fn start() -> Self {
        let (east, west) = (region("east").await, region("west").await);
        let regions = Self { east, west, settings: TestFile::of("") };
        regions.place(EAST, &regions.east);
        regions
    }

    /// Writes the settings: the project of the east is in a region, that of the west in the west.
    fn place(&self, east: &str, region: &ScriptedUpstream) {
        self.write(&[(east, "east-1", region), (WEST, "west-1", &self.west)]);
    }

    /// Writes the settings, with these projects.
    fn write(&self, projects: &[(&str, &str, &ScriptedUpstream)]) {
        let table = |(id, region, upstream): &(&str, &str, &ScriptedUpstream)| {
            let endpoint = upstream.address;
            format!(
                "[projects.{id}]\nname = \"{region}\"\nregion = \"{region}\"\n\
                 endpoint = \"http://{endpoint}\"\n"
            )
        };
        self.settings.write(&projects.iter().map(table).collect::<String>());
    }

    /// A gateway with these settings, in front of a third region.
    async fn gateway(&self, variables: &[(&str, &str)]) -> Gateway {
        Gateway::following(region("default").await, &self.settings, variables).await
    }
}

/// A region whose recordings have its name.
async fn region(name: &'static str) -> ScriptedUpstream {
    ScriptedUpstream::start(move |seen| recording(seen, name)).await
}

fn recording(seen: &Seen, name: &str) -> Reply {
    Reply::json(200, &json!({ "id": seen.path.rsplit('/').next(), "desktop_name": name }))
}

fn unavailable(_: &Seen) -> Reply {
    Reply::json(503, &json!({ "error_code": "WKS.00000503", "error_msg": "busy" }))
}

fn record(project: &str, id: &str) -> String {
    format!(r#"{{ screenRecord(projectId: "{project}", id: "{id}") {{ desktopName }} }}"#)
}

fn name(answer: &Value) -> &str {
    answer["data"]["screenRecord"]["desktopName"].as_str().unwrap_or_default()
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

/// The paths that a region has seen.
fn paths(upstream: &ScriptedUpstream) -> Vec<String> {
    upstream.seen().into_iter().map(|seen| seen.path).collect()
}

/// The values of a header that a region has seen.
fn header(upstream: &ScriptedUpstream, name: &str) -> Vec<String> {
    let value = |seen: Seen| Some(seen.headers.get(name)?.to_str().unwrap().to_owned());
    upstream.seen().into_iter().filter_map(value).collect()
}

#[tokio::test]
async fn each_project_is_read_from_its_own_region() {
    let regions = Regions::start().await;
    let gateway = regions.gateway(&[]).await;

    let mut names = Vec::new();
    for project in [EAST, WEST, "EA-57", "another"] {
        names.push(name(&gateway.query(&record(project, "r1")).await).to_owned());
    }

    assert_eq!(names, ["east", "west", "east", "default"]);
    assert_eq!(paths(&regions.east), ["/v2/ea57/screen-records/r1"], "both spellings are one");
    assert_eq!(paths(&regions.west), ["/v2/3e57/screen-records/r1"]);
    assert_eq!(paths(&gateway.upstream), ["/v2/another/screen-records/r1"]);
}

#[tokio::test]
async fn a_token_reaches_the_region_of_the_project_and_no_other() {
    let regions = Regions::start().await;
    let gateway = regions.gateway(&[]).await;

    gateway.query_as("token-of-the-east", &record(EAST, "r1")).await;
    gateway.query_as("token-of-the-west", &record(WEST, "r1")).await;

    assert_eq!(header(&regions.east, "x-auth-token"), ["token-of-the-east"]);
    assert_eq!(header(&regions.west, "x-auth-token"), ["token-of-the-west"]);
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn a_redirect_to_another_region_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let regions = Regions::start().await;
        let location = format!("http://{}/v2/{WEST}/screen-records/r1", regions.west.address);
        regions.east.answer_with(move |_| Reply::bytes(status, &[("location", &location)], ""));
        let gateway = regions.gateway(&[]).await;

        let answer = gateway.query(&record(EAST, "r1")).await;

        assert_eq!(code(&answer), "UPSTREAM_ERROR", "of {status}: {answer}");
        assert_eq!(regions.west.requests(), 0, "a redirect of {status} was followed");
    }
}

#[tokio::test]
async fn a_retry_stays_in_the_region_although_the_project_moves_meanwhile() {
    let regions = Regions::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let held_back = move |seen: &Seen| Reply::Held(Arc::clone(&held), Box::new(unavailable(seen)));
    regions.east.answer_with(held_back);
    let gateway = regions.gateway(&[]).await;
    let (asked, again) = (record(EAST, "r1"), record(EAST, "r1"));

    let (before, after) = tokio::join!(gateway.query_as("early", &asked), async {
        regions.east.arrived(1).await;
        regions.place(EAST, &regions.west);
        assert!(matches!(gateway.reload().await, Outcome::Done { .. }));
        let after = gateway.query_as("late", &again).await;
        gate.add_permits(Semaphore::MAX_PERMITS / 2);
        after
    });

    assert_eq!((code(&before), name(&after)), ("UPSTREAM_UNAVAILABLE", "west"));
    assert_eq!(header(&regions.east, "x-auth-token"), ["early"; 3], "attempts of the first");
    assert_eq!(header(&regions.west, "x-auth-token"), ["late"]);
}

#[tokio::test]
async fn a_project_that_has_moved_is_never_answered_from_its_old_region() {
    let regions = Regions::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    regions.east.answer_with(move |seen| match recording(seen, "east") {
        reply if seen.path.ends_with("slow") => Reply::Held(Arc::clone(&held), Box::new(reply)),
        reply => reply,
    });
    let gateway = regions.gateway(&[]).await;
    let list = format!(r#"{{ screenRecords(projectId: "{EAST}") {{ totalCount }} }}"#);
    gateway.query(&record(EAST, "r1")).await;
    gateway.query(&list).await;
    let slow = record(EAST, "slow");

    let (early, ()) = tokio::join!(gateway.query(&slow), async {
        regions.east.arrived(3).await;
        regions.place(EAST, &regions.west);
        gateway.reload().await;
        assert_eq!(name(&gateway.query(&record(EAST, "r1")).await), "west", "of the cached one");
        assert_eq!(name(&gateway.query(&slow).await), "west", "of the one under way");
        gateway.query(&list).await;
        gate.add_permits(1);
    });

    assert_eq!(name(&early), "east", "it was asked for before the move");
    assert_eq!(name(&gateway.query(&slow).await), "west", "the late answer was kept");
    assert_eq!((regions.east.requests(), regions.west.requests()), (3, 3));
}

#[tokio::test]
async fn a_purge_reads_the_project_from_its_own_region_again() {
    let regions = Regions::start().await;
    let gateway = regions.gateway(&[]).await;
    for project in BOTH {
        gateway.query(&record(project, "r1")).await;
    }

    let purge = gateway.http().post(format!("http://{}/purge", gateway.admin));
    let purge = purge.header("content-type", "application/json");
    purge.body(json!({ "projectId": "EA-57" }).to_string()).send().await.unwrap();
    for project in BOTH {
        gateway.query(&record(project, "r1")).await;
    }

    assert_eq!((regions.east.requests(), regions.west.requests()), (2, 1));
}

#[tokio::test]
async fn a_reload_adds_and_removes_projects() {
    let regions = Regions::start().await;
    regions.write(&[(WEST, "west-1", &regions.west)]);
    let gateway = regions.gateway(&[]).await;
    let before = gateway.query(&record(EAST, "r1")).await;

    regions.write(&[(EAST, "east-1", &regions.east)]);
    let outcome = gateway.reload().await;
    let [east, west] = [EAST, WEST].map(|project| record(project, "r1"));
    let (east, west) = (gateway.query(&east).await, gateway.query(&west).await);

    let changed = vec!["projects.<id>.endpoint", "projects.<id>.name", "projects.<id>.region"];
    assert_eq!(outcome, Outcome::Done { changed, waiting: Vec::new() });
    assert_eq!([name(&before), name(&east), name(&west)], ["default", "east", "default"]);
}

#[tokio::test]
async fn a_wrong_project_refuses_the_whole_reload() {
    let regions = Regions::start().await;
    let gateway = regions.gateway(&[]).await;

    let table = format!("[projects.{EAST}]\nendpoint = \"http://{}\"\n", regions.west.address);
    regions.settings.write(&format!("{table}[projects.{WEST}]\ntime_zone = \"Mars\"\n"));
    let outcome = gateway.reload().await;

    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert_eq!(name(&gateway.query(&record(EAST, "r1")).await), "east");
}

#[tokio::test]
async fn a_project_that_no_table_names_is_refused_where_the_upstream_has_no_address() {
    let gateway = Gateway::configured(region("east").await, |config| {
        let target = config.upstream.default.take().unwrap();
        let id = ProjectId::parse(EAST).unwrap();
        config.upstream.projects = vec![ProjectConfig { id, name: None, target }];
    })
    .await;

    let answer = gateway.query(&record("another", "r1")).await;

    assert_eq!(code(&answer), "FORBIDDEN", "{answer}");
    assert_eq!(name(&gateway.query(&record(EAST, "r1")).await), "east");
}

#[tokio::test]
async fn a_dead_region_opens_its_own_circuit_only() {
    let regions = Regions::start().await;
    regions.east.answer_with(unavailable);
    let variables =
        [("GATEWAY_UPSTREAM__BREAKER_MIN_CALLS", "4"), ("GATEWAY_UPSTREAM__MAX_ATTEMPTS", "1")];
    let gateway = regions.gateway(&variables).await;

    for number in 0..4 {
        gateway.query(&record(EAST, &format!("r{number}"))).await;
    }
    let east = gateway.query(&record(EAST, "r4")).await;
    let west = gateway.query(&record(WEST, "r4")).await;

    assert_eq!((code(&east), name(&west)), ("UPSTREAM_UNAVAILABLE", "west"));
    assert_eq!(regions.east.requests(), 4, "the circuit let a call through");
    let (status, page) = gateway.admin_get("/readyz").await;
    assert_eq!(status, 200);
    assert_eq!(page, "ready, but the circuit to east-1 is open after too many failures\n");
    for line in [
        r#"gateway_upstream_breaker_state{region="east-1",state="open"} 1"#,
        r#"gateway_upstream_breaker_state{region="west-1",state="open"} 0"#,
        r#"gateway_upstream_attempts_total{region="east-1",outcome="503"} 4"#,
        r#"gateway_upstream_attempts_total{region="west-1",outcome="503"} 0"#,
        r#"gateway_upstream_attempts_total{region="west-1",outcome="200"} 1"#,
    ] {
        gateway.until_metric(line).await;
    }
}

#[tokio::test]
async fn a_slow_region_takes_no_permits_of_another() {
    let regions = Regions::start().await;
    regions.east.hold();
    let gateway = regions.gateway(&[("GATEWAY_UPSTREAM__MAX_CONCURRENCY", "2")]).await;
    let slow: Vec<String> = (0..4).map(|number| record(EAST, &format!("r{number}"))).collect();

    let (_, west) = tokio::join!(join_all(slow.iter().map(|slow| gateway.query(slow))), async {
        regions.east.arrived(1).await;
        gateway.until_metric(r#"gateway_upstream_waiting{region="east-1"} 3"#).await;
        let west = gateway.query(&record(WEST, "r1")).await;
        regions.east.release();
        west
    });

    assert_eq!(name(&west), "west");
}

#[tokio::test]
async fn the_gauges_of_a_region_end_with_it() {
    let regions = Regions::start().await;
    let gateway = regions.gateway(&[]).await;
    gateway.until_metric(r#"gateway_upstream_calls_in_flight{region="east-1"} 0"#).await;

    regions.write(&[(WEST, "west-1", &regions.west)]);
    gateway.reload().await;

    let page = gateway.admin_get("/metrics").await.1;
    let gauge = |line: &&str| {
        line.starts_with("gateway_upstream_breaker_state")
            || line.starts_with("gateway_upstream_calls_in_flight")
    };
    let gauges: Vec<&str> = page.lines().filter(gauge).collect();
    assert!(!gauges.iter().any(|line| line.contains("east-1")), "{gauges:#?}");
    assert!(gauges.iter().any(|line| line.contains("west-1")), "{gauges:#?}");
}

const KEYS: [(&str, &str); 4] = [
    ("GATEWAY_UPSTREAM__CREDENTIALS", "aksk"),
    ("HUAWEICLOUD_SDK_AK", "FAKEAK0EXAMPLE000001"),
    ("HUAWEICLOUD_SDK_SK", "fake-secret"),
    ("HUAWEICLOUD_SDK_PROJECT_ID", "own"),
];

#[tokio::test]
async fn a_signature_is_made_for_the_host_and_the_project_that_were_asked_for() {
    let regions = Regions::start().await;
    let gateway = regions.gateway(&KEYS).await;

    for project in [EAST, WEST, "another"] {
        gateway.query(&record(project, "r1")).await;
    }

    for (upstream, project) in
        [(&regions.east, EAST), (&regions.west, WEST), (&gateway.upstream, "own")]
    {
        assert_eq!(header(upstream, "host"), [upstream.address.to_string()]);
        assert_eq!(header(upstream, "x-project-id"), [project]);
        assert!(header(upstream, "authorization")[0].contains("host;x-project-id;x-sdk-date"));
    }
}

/// An IAM that gives each project a token of its own, and refuses some projects.
async fn iam(refused: &'static [(&'static str, u16)]) -> (ScriptedUpstream, Arc<AtomicUsize>) {
    let logins = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&logins);
    let upstream = ScriptedUpstream::start(move |seen| {
        let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        let project = body["auth"]["scope"]["project"]["id"].as_str().unwrap();
        if let Some((_, status)) = refused.iter().find(|(refused, _)| *refused == project) {
            return Reply::json(*status, &json!({ "error": { "code": status } }));
        }
        // The clock of the gateway may be ahead.
        let hours = i64::try_from(24 * number).unwrap();
        let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        let token = format!("token-{number}-of-{project}");
        let answer = json!({ "token": { "expires_at": ends.to_string() } }).to_string();
        Reply::bytes(201, &[("x-subject-token", &token)], answer)
    });
    (upstream.await, logins)
}

async fn logged_in(regions: &Regions, iam: &ScriptedUpstream) -> Gateway {
    let address = format!("http://{}", iam.address);
    let variables = [
        ("GATEWAY_UPSTREAM__CREDENTIALS", "password"),
        ("GATEWAY_IAM__USER", "user"),
        ("GATEWAY_IAM__PASSWORD", "password"),
        ("GATEWAY_IAM__DOMAIN", "account"),
        ("HUAWEICLOUD_SDK_PROJECT_ID", "own"),
        ("HUAWEICLOUD_SDK_IAM_ENDPOINT", &address),
    ];
    regions.gateway(&variables).await
}

#[tokio::test]
async fn each_project_has_one_login_of_its_own_however_many_requests_wait() {
    let regions = Regions::start().await;
    let (iam, logins) = iam(&[]).await;
    let gateway = logged_in(&regions, &iam).await;
    let projects = [EAST, WEST, "another", "yet-another"];
    let documents: Vec<String> = (0..80)
        .map(|number| record(projects[number % projects.len()], &format!("r{number}")))
        .collect();

    let answers = join_all(documents.iter().map(|document| gateway.query(document))).await;

    assert!(answers.iter().all(|answer| answer.get("errors").is_none()), "{answers:?}");
    assert_eq!(logins.load(Ordering::Relaxed), 3, "two projects share the default's login");
    for (upstream, project) in
        [(&regions.east, EAST), (&regions.west, WEST), (&gateway.upstream, "own")]
    {
        let tokens = header(upstream, "x-auth-token");
        assert!(
            tokens.iter().all(|token| token.ends_with(&format!("-of-{project}"))),
            "{tokens:?}"
        );
    }
}

#[tokio::test]
async fn a_login_is_renewed_for_its_own_project_alone() {
    let regions = Regions::start().await;
    let (iam, logins) = iam(&[]).await;
    let gateway = logged_in(&regions, &iam).await;
    gateway.query(&record(EAST, "r1")).await;
    gateway.advance(Duration::from_hours(20));
    gateway.query(&record(WEST, "r1")).await;

    gateway.advance(Duration::from_hours(5));
    gateway.query(&record(EAST, "r2")).await;
    gateway.query(&record(WEST, "r2")).await;

    assert_eq!(logins.load(Ordering::Relaxed), 3);
    assert_eq!(header(&regions.east, "x-auth-token"), ["token-1-of-ea57", "token-3-of-ea57"]);
    assert_eq!(header(&regions.west, "x-auth-token"), ["token-2-of-3e57"; 2]);
}

#[tokio::test]
async fn a_refused_password_stops_the_logins_of_all_projects() {
    let regions = Regions::start().await;
    let (iam, logins) = iam(&[(EAST, 401)]).await;
    let gateway = logged_in(&regions, &iam).await;

    let east = gateway.query(&record(EAST, "r1")).await;
    let west = gateway.query(&record(WEST, "r1")).await;
    let readiness = gateway.admin_get("/readyz").await;
    gateway.advance(Duration::from_mins(16));
    let healed = gateway.query(&record(WEST, "r1")).await;

    assert_eq!([code(&east), code(&west)], ["UPSTREAM_UNAUTHENTICATED"; 2]);
    assert_eq!(readiness, (503, "the gateway cannot log in for a token\n".to_owned()));
    assert_eq!(name(&healed), "west", "{healed}");
    assert_eq!(logins.load(Ordering::Relaxed), 2, "one refusal, and one login after the pause");
}

#[tokio::test]
async fn many_projects_that_begin_together_do_not_lock_the_account() {
    let regions = Regions::start().await;
    let ids: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    let tables: Vec<_> = ids.iter().map(|id| (id.as_str(), "east-1", &regions.east)).collect();
    regions.write(&tables);
    let iam = ScriptedUpstream::start(|_| Reply::json(401, &json!({ "error": {} }))).await;
    let gateway = logged_in(&regions, &iam).await;
    let documents: Vec<String> = ids.iter().map(|id| record(id, "r1")).collect();

    let answers = join_all(documents.iter().map(|document| gateway.query(document))).await;

    assert!(answers.iter().all(|answer| code(answer) == "UPSTREAM_UNAUTHENTICATED"), "{answers:?}");
    assert_eq!(iam.requests(), 1, "each of them counts towards the lock");
}

#[tokio::test]
async fn a_project_without_rights_leaves_the_logins_of_others_alone() {
    let regions = Regions::start().await;
    let (iam, _) = iam(&[(EAST, 403)]).await;
    let gateway = logged_in(&regions, &iam).await;

    let east = gateway.query(&record(EAST, "r1")).await;
    let west = gateway.query(&record(WEST, "r1")).await;

    assert_eq!((code(&east), name(&west)), ("UPSTREAM_UNAUTHENTICATED", "west"));
    let readiness = gateway.admin_get("/readyz").await;
    let partial = "ready, but the gateway cannot log in for a token (project ea57)\n";
    assert_eq!(readiness, (200, partial.to_owned()));
}

const ALL: &str =
    "{ projects { id name region screenRecords(first: 1) { nodes { desktopName } } } }";

/// A list with one recording, which has the region's name.
fn list(seen: &Seen, name: &str) -> Reply {
    seen.page_of("screen_records", &[json!({ "id": "r1", "desktop_name": name })])
}

/// Two regions that answer lists.
async fn listing() -> Regions {
    let regions = Regions::start().await;
    regions.east.answer_with(|seen| list(seen, "east"));
    regions.west.answer_with(|seen| list(seen, "west"));
    regions
}

fn listed(project: &str, region: &str, desktop: &str) -> Value {
    let records = json!({ "nodes": [{ "desktopName": desktop }] });
    json!({ "id": project, "name": region, "region": region, "screenRecords": records })
}

#[tokio::test]
async fn one_query_reads_all_projects_side_by_side_in_the_order_of_the_file() {
    let regions = listing().await;
    let gateway = regions.gateway(&KEYS).await;
    regions.east.hold();
    regions.west.hold();

    let (answer, ()) = tokio::join!(gateway.query(ALL), async {
        tokio::join!(regions.east.arrived(1), regions.west.arrived(1));
        regions.east.release();
        regions.west.release();
    });

    let projects = [listed(EAST, "east-1", "east"), listed(WEST, "west-1", "west")];
    assert_eq!(answer, json!({ "data": { "projects": projects } }));
}

#[tokio::test]
async fn a_project_that_fails_nulls_its_own_field_with_its_own_error() {
    let regions = listing().await;
    regions.east.answer_with(|_| Reply::json(403, &json!({ "error_code": "WKS.0403" })));
    let gateway = regions.gateway(&KEYS).await;

    let answer = gateway.query(ALL).await;

    assert_eq!(answer["data"]["projects"][0]["screenRecords"], Value::Null);
    assert_eq!(answer["data"]["projects"][0]["name"], "east-1");
    assert_eq!(answer["data"]["projects"][1], listed(WEST, "west-1", "west"));
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{answer}");
    assert_eq!(errors[0]["path"], json!(["projects", 0, "screenRecords"]));
    assert_eq!(code(&answer), "FORBIDDEN");
}

#[tokio::test]
async fn with_a_callers_token_projects_are_listed_but_not_read() {
    let regions = listing().await;
    let gateway = regions.gateway(&[]).await;

    let answer = gateway.query(ALL).await;
    let without = gateway.post(ALL, &[]).await.json;

    for number in 0..2 {
        assert_eq!(answer["data"]["projects"][number]["screenRecords"], Value::Null);
        assert_eq!(answer["errors"][number]["extensions"]["code"], "FORBIDDEN", "{answer}");
    }
    assert_eq!(answer["data"]["projects"][1]["id"], WEST);
    assert_eq!((regions.east.requests(), regions.west.requests()), (0, 0));
    assert_eq!(code(&without), "UNAUTHENTICATED", "{without}");
}

#[tokio::test]
async fn one_query_counts_the_recordings_of_all_projects() {
    const COUNTS: &str = "{ projects { screenRecordStatistics { groups { count } } } }";
    let regions = listing().await;
    regions.west.answer_with(|seen| seen.page_of("screen_records", &[]));
    let (own, callers) = (regions.gateway(&KEYS).await, regions.gateway(&[]).await);

    let (counted, forbidden) = (own.query(COUNTS).await, callers.query(COUNTS).await);

    let count = |number: usize| {
        &counted["data"]["projects"][number]["screenRecordStatistics"]["groups"][0]["count"]
    };
    assert_eq!((count(0), count(1)), (&json!(1), &json!(0)), "{counted}");
    assert_eq!(forbidden["data"]["projects"][1]["screenRecordStatistics"], Value::Null);
    assert_eq!(code(&forbidden), "FORBIDDEN", "{forbidden}");
}

#[tokio::test]
async fn a_caller_sees_the_projects_of_its_grant_in_any_spelling() {
    let regions = listing().await;
    let keys = TestFile::of(&format!(
        "[[key]]\nname = \"one\"\nsha256 = \"{}\"\nprojects = [\"3E-57\"]\n",
        hex::encode(Sha256::digest("the key"))
    ));
    let path = keys.0.to_str().unwrap();
    let guard = [("GATEWAY_INBOUND__AUTH", "api-key"), ("GATEWAY_INBOUND__API_KEYS_FILE", path)];
    let gateway = regions.gateway(&[&KEYS[..], &guard].concat()).await;
    let ask = async |document: &str| -> HttpAnswer {
        gateway.post(document, &[("x-api-key", "the key")]).await
    };

    let answer = ask(ALL).await.json;
    let denied = ask(&record(EAST, "r1")).await.json;

    assert_eq!(answer["data"]["projects"], json!([listed(WEST, "west-1", "west")]), "{answer}");
    assert_eq!((code(&denied), regions.east.requests()), ("FORBIDDEN", 0));
}

#[tokio::test]
async fn only_projects_that_are_served_are_listed() {
    let regions = listing().await;
    let served = [("GATEWAY_INBOUND__PROJECTS", "3E57,another")];
    let gateway = regions.gateway(&[&KEYS[..], &served].concat()).await;

    let answer = gateway.query("{ projects { id } }").await;

    assert_eq!(answer["data"]["projects"], json!([{ "id": WEST }]));
}

#[tokio::test]
async fn the_list_of_projects_costs_as_many_fields_as_there_are_projects() {
    let regions = listing().await;
    // Each project costs 1 + 1 + 1 + 1 + 1 * (1 + 1).
    let limit = |limit| [("GATEWAY_LIMITS__MAX_COMPLEXITY", limit)];
    let enough = regions.gateway(&[&KEYS[..], &limit("13")].concat()).await;
    let too_little = regions.gateway(&[&KEYS[..], &limit("12")].concat()).await;

    let (answer, refused) = (enough.query(ALL).await, too_little.query(ALL).await);

    assert_eq!(answer.get("errors"), None, "{answer}");
    assert_eq!(code(&refused), "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn a_renamed_project_is_listed_by_its_new_name_at_once() {
    let regions = listing().await;
    let gateway = regions.gateway(&KEYS).await;
    gateway.query(ALL).await;
    gateway.query(ALL).await;

    let text = std::fs::read_to_string(&regions.settings.0).unwrap();
    regions.settings.write(&text.replace("name = \"west-1\"", "name = \"West\""));
    gateway.reload().await;
    let answer = gateway.query(ALL).await;

    assert_eq!(answer["data"]["projects"][1]["name"], "West", "{answer}");
    assert_eq!(regions.west.requests(), 1, "a name is no reason to read again");
}

/// Fields that read a recording of each project.
fn fields(projects: &[&str]) -> String {
    let field = |project: &&str| {
        format!(r#"of_{project}: screenRecord(projectId: "{project}", id: "r1") {{ id }} "#)
    };
    format!("{{ {}}}", projects.iter().map(field).collect::<String>())
}

/// The first logged line with a sign.
fn logged(sign: &str) -> String {
    log().lines().find(|line| line.contains("INFO") && line.contains(sign)).unwrap().to_owned()
}

#[tokio::test]
async fn an_audit_event_names_the_region_of_its_project_if_the_project_is_served() {
    let regions = Regions::start().await;
    let audit = TestFile::of("");
    let settings = [
        ("GATEWAY_AUDIT__LOG", audit.0.to_str().unwrap()),
        ("GATEWAY_AUDIT__REQUIRED", "true"),
        ("GATEWAY_INBOUND__PROJECTS", "ea57,3e57,another"),
    ];
    let gateway = regions.gateway(&[&KEYS[..], &settings].concat()).await;

    // From the upstream, from the record cache and from the response cache.
    for _ in 0..3 {
        gateway.query(&fields(&[EAST, WEST, "another"])).await;
    }
    gateway.query(&fields(&["foreign"])).await;

    let text = std::fs::read_to_string(&audit.0).unwrap();
    let mut events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| json!([event["event"], event["project"], event["region"]]))
        .collect();
    events.sort_by_key(Value::to_string);
    events.dedup();
    let default = gateway.upstream.address.to_string();
    assert_eq!(
        events,
        [
            json!(["access.denied", "foreign", null]),
            json!(["recording.read", WEST, "west-1"]),
            json!(["recording.read", "another", default]),
            json!(["recording.read", EAST, "east-1"]),
        ]
    );
    assert_eq!(text.lines().count(), 10);
}

#[tokio::test]
async fn the_log_line_of_a_request_names_the_regions_that_it_asked_for() {
    keep_log();
    let regions = Regions::start().await;
    let served = [("GATEWAY_INBOUND__PROJECTS", "ea57,3e57")];
    let gateway = regions.gateway(&[&KEYS[..], &served].concat()).await;

    gateway.query(&fields(&[WEST, "foreign", EAST])).await;

    let line = logged("answered");
    let expected = r#"projects="3e57,foreign,ea57" regions="west-1,east-1""#;
    assert!(line.contains(expected), "{expected} is not in: {line}");
}

#[tokio::test]
async fn the_log_line_of_a_request_names_ten_projects_and_regions_at_most() {
    keep_log();
    let regions = Regions::start().await;
    let upstreams = join_all((0..12).map(|_| region("one"))).await;
    let ids: Vec<String> = (10..22).map(|number| format!("p{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let tables = ids.iter().zip(&upstreams).map(|(id, upstream)| (*id, *id, upstream));
    regions.write(&tables.collect::<Vec<_>>());
    let gateway = regions.gateway(&KEYS).await;
    let (first, second) = ids.split_at(6);

    let batch = json!([{ "query": fields(first) }, { "query": fields(second) }]);
    let request = gateway.http().post(gateway.url()).header("content-type", "application/json");
    request.body(batch.to_string()).send().await.unwrap();

    let ten = ids[..10].join(",");
    let expected = format!(r#"projects="{ten}" regions="{ten}" "#);
    let line = logged("answered");
    assert!(line.contains(&expected), "{expected} is not in: {line}");
}

#[tokio::test]
async fn the_log_line_of_a_purge_names_the_project_and_its_region() {
    keep_log();
    let regions = Regions::start().await;
    let gateway = regions.gateway(&KEYS).await;

    for purge in [json!({ "all": true }), json!({ "projectId": WEST, "id": "r1" })] {
        let request = gateway.http().post(format!("http://{}/purge", gateway.admin));
        let request = request.header("content-type", "application/json").body(purge.to_string());
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    let everything = logged(r#"scope="all""#);
    assert!(!everything.contains("region="), "{everything}");
    let one = logged(r#"scope="record""#);
    let expected = r#"project="3e57" region="west-1""#;
    assert!(one.contains(expected), "{expected} is not in: {one}");
}
