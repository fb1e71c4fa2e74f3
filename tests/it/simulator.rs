//! The simulated upstream, from outside.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use screen_record_gateway::clock::Clock;
use screen_record_gateway::simulator::{IamUser, Simulator, SimulatorConfig};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::PROJECT;

const TOKEN: &str = "good-token";

/// A running simulation that stops when dropped.
struct Running {
    address: SocketAddr,
    sample: String,
    clock: Clock,
    http: reqwest::Client,
    _stop: oneshot::Sender<()>,
}

impl Running {
    async fn start(adjust: impl FnOnce(&mut SimulatorConfig)) -> Self {
        let mut config = SimulatorConfig {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tokens: vec![TOKEN.to_owned()],
            ..SimulatorConfig::default()
        };
        adjust(&mut config);
        let clock = Clock::default();
        let simulator = Simulator::bind(config, clock.clone()).await.unwrap();
        let (address, sample) = (simulator.local_addr().unwrap(), simulator.sample().1.to_owned());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio_util::task::TaskTracker::new().spawn(simulator.run(async {
            let _ = stopped.await;
        }));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_only([])
            .build()
            .unwrap();
        Self { address, sample, clock, http, _stop: stop }
    }

    async fn get_as(&self, token: &str, path: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.address);
        let answer = self.http.get(url).header("x-auth-token", token).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.get_as(TOKEN, path).await
    }

    async fn record(&self, id: &str) -> Value {
        self.get(&format!("/v2/{PROJECT}/screen-records/{id}")).await.1
    }

    async fn list(&self, query: &str) -> Value {
        self.get(&format!("/v2/{PROJECT}/screen-records?{query}")).await.1
    }
}

#[tokio::test]
async fn equal_seeds_give_equal_recordings() {
    let (one, same) = (Running::start(|_| {}).await, Running::start(|_| {}).await);
    let other = Running::start(|config| config.seed = 2).await;

    let lists = [one.list("limit=1000").await, same.list("limit=1000").await];
    let other = other.list("limit=1000").await;

    // Times and statuses follow the clock, which goes on between the lists, and now and then another
    // recording begins.
    let lasting = |list: &Value| {
        let rows = list["screen_records"].as_array().unwrap().iter();
        let part = |row: &Value| {
            ["id", "desktop_name", "username", "type"].map(|key| row[key].to_string())
        };
        rows.map(part).collect::<HashSet<_>>()
    };
    let [one, same, other] = [&lists[0], &lists[1], &other].map(lasting);
    assert!(one.intersection(&same).count() >= 250);
    assert!(one.len() <= 251 && same.len() <= 251);
    assert_eq!(one.intersection(&other).count(), 0);
}

#[tokio::test]
async fn recordings_move_through_their_life() {
    let simulation = Running::start(|_| {}).await;
    let live = simulation.list("status=RECORDING").await["screen_records"][0].clone();
    let id = live["id"].as_str().unwrap();

    let mut seen = vec![live["status"].clone()];
    for _ in 0..600 {
        simulation.clock.advance(Duration::from_secs(5));
        let status = simulation.record(id).await["status"].clone();
        if seen.last() != Some(&status) {
            seen.push(status);
        }
    }

    let full_life = json!(["RECORDING", "REC_COMPLETED", "UPLOADING", "UPLOAD_COMPLETED"]);
    let endings = [
        full_life,
        json!(["RECORDING", "REC_COMPLETED", "UPLOADING", "UPLOAD_FAILED"]),
        json!(["RECORDING", "REC_FAILED"]),
    ];
    assert!(endings.contains(&Value::from(seen.clone())), "{seen:?}");
}

#[tokio::test]
async fn a_new_recording_begins_every_minute() {
    let simulation = Running::start(|_| {}).await;
    let total = async || simulation.list("limit=1").await["total_count"].as_u64().unwrap();
    let before = total().await;

    simulation.clock.advance(Duration::from_mins(3));

    // The minute may have been over just now.
    let begun = total().await - before;
    assert!((3..=4).contains(&begun), "{begun}");
}

#[tokio::test]
async fn recordings_are_of_every_status_and_type_and_larger_than_32_bits_count() {
    let simulation = Running::start(|_| {}).await;

    let all = simulation.list("limit=1000").await;
    let rows = all["screen_records"].as_array().unwrap();

    for (field, values) in [
        ("status", &["RECORDING", "REC_FAILED", "UPLOAD_COMPLETED", "UPLOAD_FAILED"][..]),
        ("type", &["FULL", "INTERVAL", "OPERATION", "SESSION"]),
    ] {
        for value in values {
            assert!(rows.iter().any(|row| row[field] == *value), "no {field} is {value}");
        }
    }
    assert!(rows.iter().any(|row| row["size"].as_i64().unwrap() > i64::from(i32::MAX)));
    assert!(rows.iter().any(|row| row["id"].as_str().unwrap().contains('-')));
    assert!(rows.iter().any(|row| !row["id"].as_str().unwrap().contains('-')));
    assert!(rows.iter().any(|row| row["start_time"].as_str().is_some_and(|t| t.contains('T'))));
    assert!(rows.iter().any(|row| row["start_time"].as_str().is_some_and(|t| t.contains(' '))));
}

#[tokio::test]
async fn recordings_are_of_several_users_desktops_and_pools_and_a_desktop_has_one_pool() {
    let simulation = Running::start(|_| {}).await;

    let all = simulation.list("limit=1000").await;

    let rows = all["screen_records"].as_array().unwrap();
    let distinct = |keys: &[&str]| {
        let parts = |row: &Value| keys.iter().map(|key| row[key].to_string()).collect::<Vec<_>>();
        rows.iter().map(parts).collect::<HashSet<_>>().len()
    };
    let [users, desktops, pools] =
        ["username", "desktop_id", "desktop_pool_id"].map(|key| distinct(&[key]));
    assert_eq!((users, desktops, pools), (8, 40, 5));
    assert_eq!(distinct(&["desktop_id", "desktop_name", "desktop_pool_id"]), desktops);
}

#[tokio::test]
async fn recordings_have_rush_hours_quiet_weekends_and_one_day_on_which_many_fail() {
    let simulation = Running::start(|config| config.records = 3000).await;
    let mut rows = Vec::new();
    for offset in (0..3000).step_by(1000) {
        let page = simulation.list(&format!("limit=1000&offset={offset}")).await;
        rows.extend(page["screen_records"].as_array().unwrap().clone());
    }
    // One in twenty is written as an epoch.
    rows.retain(|row| row["start_time"].is_string());

    let start = |row: &Value| {
        let text = row["start_time"].as_str().unwrap().replace(' ', "T");
        text.get(..19).unwrap().parse::<jiff::civil::DateTime>().unwrap()
    };
    let is_weekend = |row: &Value| start(row).weekday().to_monday_zero_offset() >= 5;
    let share = |of: &[&Value], is: &dyn Fn(&Value) -> bool| {
        of.iter().filter(|row| is(row)).count() * 100 / of.len().max(1)
    };
    let all: Vec<&Value> = rows.iter().collect();
    assert!(share(&all, &is_weekend) <= 12, "{}", share(&all, &is_weekend));
    let rush = share(&all, &|row| !is_weekend(row) && (8..18).contains(&start(row).hour()));
    assert!(rush >= 75, "{rush}");
    let mut days = HashMap::<_, Vec<&Value>>::new();
    for row in all.iter().filter(|row| !is_weekend(row)) {
        days.entry(start(row).date()).or_default().push(row);
    }
    let failed = |day: &Vec<&Value>| share(day, &|row| row["status"] == "REC_FAILED");
    let mut shares: Vec<usize> = days.values().filter(|day| day.len() >= 40).map(failed).collect();
    shares.sort_unstable();
    let bad = shares.pop().unwrap();
    assert!(bad >= 45 && shares.iter().all(|share| *share <= 30), "{bad} {shares:?}");
}

#[tokio::test]
async fn a_page_has_the_rows_that_either_document_of_the_upstream_allows() {
    for (largest, usual) in [(1000, 100), (100, 10)] {
        let simulation = Running::start(|config| config.largest_page = largest).await;
        let rows = async |query: &str| {
            let list = simulation.list(query).await;
            list["screen_records"].as_array().map(Vec::len)
        };

        assert_eq!(rows("").await, Some(usual));
        assert!(rows(&format!("limit={largest}")).await >= Some(largest.min(250)));
        assert_eq!(rows(&format!("limit={}", largest + 1)).await, None, "a larger page is refused");
    }
}

#[tokio::test]
async fn access_is_denied_as_documented() {
    let simulation = Running::start(|_| {}).await;
    let path = format!("/v2/{PROJECT}/screen-records/{}", simulation.sample);

    let wrong = simulation.get_as("wrong", &path).await;
    let foreign = simulation.get("/v2/another/screen-records/x").await;
    let missing = simulation.get(&format!("/v2/{PROJECT}/screen-records/x")).await;
    let nowhere = simulation.get("/v1/nothing").await;

    for ((status, body), expected, code) in [
        (wrong, 401, "APIGW.0301"),
        (foreign, 403, "WKS.00081102"),
        (missing, 404, "WKS.00211902"),
        (nowhere, 404, "APIGW.0101"),
    ] {
        assert_eq!((status, &body["error_code"]), (expected, &json!(code)));
    }
}

#[tokio::test]
async fn every_reserved_id_is_listed_and_answers_as_listed() {
    let simulation = Running::start(|_| {}).await;

    let (_, faults) = simulation.get("/__faults").await;

    let faults = faults.as_array().unwrap();
    assert_eq!(faults.len(), 72 + 36 + 58 + 5);
    for fault in faults.iter().filter(|fault| !fault["status"].is_null()) {
        let id = fault["id"].as_str().unwrap();
        let (status, _) = simulation.get(&format!("/v2/{PROJECT}/screen-records/{id}")).await;
        assert_eq!(status, fault["status"], "{id}");
    }
}

#[tokio::test]
async fn requests_are_counted_until_the_count_is_reset() {
    let simulation = Running::start(|_| {}).await;
    simulation.record(&simulation.sample).await;
    simulation.record(&simulation.sample).await;

    let (_, stats) = simulation.get("/__stats").await;
    let reset = simulation.http.post(format!("http://{}/__reset", simulation.address));
    reset.send().await.unwrap();
    let (_, after) = simulation.get("/__stats").await;

    let path = format!("GET /v2/{PROJECT}/screen-records/{}", simulation.sample);
    assert_eq!(stats, json!({ "requests": 2, "paths": { path: 2 } }));
    assert_eq!(after["requests"], 0);
}

#[tokio::test]
async fn a_rate_limit_answers_429_past_it() {
    let simulation = Running::start(|config| config.faults.requests_per_second = Some(2)).await;

    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(simulation.get(&format!("/v2/{PROJECT}/screen-records/x")).await.0);
    }
    simulation.clock.advance(Duration::from_secs(1));
    statuses.push(simulation.get(&format!("/v2/{PROJECT}/screen-records/x")).await.0);

    assert_eq!(statuses, [404, 404, 429, 404]);
}

#[tokio::test]
async fn a_fault_rate_fails_about_that_share_in_mixed_ways() {
    let simulation = Running::start(|config| config.faults.rate = 0.5).await;
    let url = format!("http://{}/v2/{PROJECT}/screen-records/x", simulation.address);

    let mut failed = 0;
    for _ in 0..200 {
        let answer = simulation.http.get(&url).header("x-auth-token", TOKEN).send().await;
        failed += usize::from(!answer.is_ok_and(|answer| answer.status() == 404));
    }

    assert!((70..130).contains(&failed), "{failed} of 200 failed");
}

#[tokio::test]
async fn iam_issues_tokens_for_the_right_password_until_their_end() {
    let user = IamUser {
        name: "user".to_owned(),
        password: "right".to_owned(),
        domain: "account".to_owned(),
    };
    let simulation = Running::start(|config| {
        config.iam_users = vec![user];
        config.token_life = Duration::from_hours(1);
    })
    .await;
    let login = async |password: &str| {
        let user = json!({ "name": "user", "password": password, "domain": { "name": "account" } });
        let body = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": user } },
            "scope": { "project": { "id": PROJECT } },
        } });
        let url = format!("http://{}/v3/auth/tokens?nocatalog=true", simulation.address);
        let answer = simulation.http.post(url).body(body.to_string()).send().await.unwrap();
        let token = answer.headers().get("x-subject-token").cloned();
        (answer.status().as_u16(), token.map(|token| token.to_str().unwrap().to_owned()))
    };

    let (status, token) = login("right").await;
    let refused = login("wrong").await;
    let (path, token) =
        (format!("/v2/{PROJECT}/screen-records/{}", simulation.sample), token.unwrap());
    let fresh = simulation.get_as(&token, &path).await.0;
    simulation.clock.advance(Duration::from_hours(1));
    let (ended, body) = simulation.get_as(&token, &path).await;

    assert_eq!((status, refused, fresh), (201, (401, None), 200));
    assert_eq!((ended, &body["error_code"]), (401, &json!("APIGW.0307")));
}
