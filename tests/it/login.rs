//! Tokens that the gateway logs in for: one login for all waiting requests, renewal in time, and no login
//! after a refusal that could lock the user.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::Target;
use screen_record_gateway::simulator::{IamUser, Simulator, SimulatorConfig};
use serde_json::{Value, json};

use crate::support::{
    Gateway, PROJECT, RECORD, Reply, ScriptedUpstream, Seen, logs_in, screen_record,
};

const PASSWORD: &str = "canary-password";

/// IAM and the upstream behind one address, under a test's control.
#[derive(Clone, Default)]
struct Services {
    logins: Arc<AtomicUsize>,
    /// What IAM answers; 0 for success.
    iam_status: Arc<AtomicU16>,
    /// The first login whose token the upstream accepts; 0 for all.
    accepted_from: Arc<AtomicUsize>,
    /// Whether it refuses other tokens as unreadable.
    withdraws: Arc<AtomicBool>,
}

impl Services {
    fn logins(&self) -> usize {
        self.logins.load(Ordering::Relaxed)
    }

    fn answer(&self, seen: &Seen) -> Reply {
        if seen.path.starts_with("/v3/auth/tokens") {
            return self.login(seen);
        }
        let token = seen.headers["x-auth-token"].to_str().unwrap();
        let number: usize = token.strip_prefix("issued-").unwrap().parse().unwrap();
        if number < self.accepted_from.load(Ordering::Relaxed) {
            let (code, message) = if self.withdraws.load(Ordering::Relaxed) {
                ("APIGW.0301", format!("decrypt token fail: {token}"))
            } else {
                ("APIGW.0307", format!("token must be updated: {token}"))
            };
            return Reply::json(401, &json!({ "error_code": code, "error_msg": message }));
        }
        Reply::json(200, &json!({ "id": seen.path.rsplit('/').next() }))
    }

    fn login(&self, seen: &Seen) -> Reply {
        let number = self.logins.fetch_add(1, Ordering::Relaxed) + 1;
        let status = self.iam_status.load(Ordering::Relaxed);
        if status != 0 {
            let error = json!({ "error": { "code": status, "message": PASSWORD, "title": "no" } });
            return Reply::json(status, &error);
        }
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        let identity = &body["auth"]["identity"]["password"]["user"];
        assert_eq!((&identity["name"], &identity["password"]), (&json!("user"), &json!(PASSWORD)));
        assert_eq!(identity["domain"]["name"], "account");
        assert_eq!(body["auth"]["scope"]["project"]["id"], PROJECT);
        let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
        let ends = ends.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let answer = json!({ "token": { "expires_at": ends } }).to_string();
        Reply::bytes(201, &[("x-subject-token", &format!("issued-{number}"))], answer)
    }
}

async fn gateway() -> (Gateway, Services) {
    let services = Services::default();
    let answering = services.clone();
    let upstream = ScriptedUpstream::start(move |seen| answering.answer(seen)).await;
    let endpoint = format!("http://{}", upstream.address).parse().unwrap();
    let gateway = Gateway::configured(upstream, |config| {
        logs_in(config, endpoint, PASSWORD);
    })
    .await;
    (gateway, services)
}

fn record(id: &str) -> String {
    format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "{id}") {{ id }} }}"#)
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_hundred_waiting_requests_make_one_login() {
    let (gateway, services) = gateway().await;
    let documents: Vec<String> = (0..100).map(|number| record(&format!("r{number}"))).collect();

    let answers = join_all(documents.iter().map(|document| gateway.query(document))).await;

    assert!(answers.iter().all(|answer| answer.get("errors").is_none()), "{answers:?}");
    assert_eq!(services.logins(), 1);
}

#[tokio::test]
async fn with_a_login_the_callers_token_never_reaches_the_upstream() {
    let (gateway, _) = gateway().await;

    gateway.query(&screen_record("id")).await;

    let seen = gateway.upstream.seen();
    assert_eq!(seen.last().unwrap().headers["x-auth-token"], "issued-1");
}

#[tokio::test]
async fn a_token_is_renewed_in_the_background_before_it_expires() {
    let (gateway, services) = gateway().await;
    gateway.query(&record("r1")).await;

    gateway.advance(Duration::from_hours(23));
    gateway.query(&record("r2")).await;
    // The renewal runs in the background.
    gateway.upstream.arrived(4).await;
    gateway.until(&record("r3"), |answer| answer.get("errors").is_none()).await;

    assert_eq!(services.logins(), 2);
}

#[tokio::test]
async fn a_token_that_has_to_be_updated_is_renewed_and_the_call_repeated_once() {
    let (gateway, services) = gateway().await;
    gateway.query(&record("r1")).await;
    services.accepted_from.store(2, Ordering::Relaxed);

    let answer = gateway.query(&record("r2")).await;

    assert_eq!(answer["data"]["screenRecord"]["id"], "r2", "{answer}");
    assert_eq!((services.logins(), gateway.upstream_requests()), (2, 5));
}

#[tokio::test]
async fn a_token_that_was_withdrawn_early_is_renewed() {
    let (gateway, services) = gateway().await;
    gateway.query(&record("r1")).await;
    services.withdraws.store(true, Ordering::Relaxed);
    services.accepted_from.store(2, Ordering::Relaxed);

    let answer = gateway.query(&record("r2")).await;

    assert_eq!(answer["data"]["screenRecord"]["id"], "r2", "{answer}");
    assert_eq!(services.logins(), 2);
}

#[tokio::test]
async fn no_issued_token_appears_in_an_error() {
    let (gateway, services) = gateway().await;
    gateway.query(&record("r0")).await;
    services.accepted_from.store(usize::MAX, Ordering::Relaxed);
    let documents: Vec<String> = (1..50).map(|number| record(&format!("r{number}"))).collect();

    let answers = join_all(documents.iter().map(|document| gateway.query(document))).await;

    let messages = answers.iter().map(|answer| &answer["errors"][0]["extensions"]["upstream"]);
    for message in messages.map(|upstream| upstream["errorMessage"].to_string()) {
        assert!(message.contains("token must be updated"), "{message}");
        assert!(!message.contains("issued-"), "{message}");
    }
}

#[tokio::test]
async fn a_token_that_stays_refused_is_renewed_once() {
    let (gateway, services) = gateway().await;
    services.accepted_from.store(usize::MAX, Ordering::Relaxed);

    let answer = gateway.query(&record("r1")).await;
    for number in 2..10 {
        gateway.query(&record(&format!("r{number}"))).await;
    }

    assert_eq!(code(&answer), "UPSTREAM_UNAUTHENTICATED", "{answer}");
    assert_eq!(services.logins(), 2);
}

#[tokio::test]
async fn a_refused_login_is_remembered_although_its_callers_left() {
    let (gateway, services) = gateway().await;
    services.iam_status.store(401, Ordering::Relaxed);
    gateway.upstream.hold();
    let document = record("r1");

    tokio::select! {
        answer = gateway.query(&document) => assert_eq!(answer, Value::Null, "no request should be answered"),
        () = gateway.upstream.arrived(1) => {}
    }
    gateway.upstream.release();
    let answer = gateway.query(&document).await;

    assert_eq!(code(&answer), "UPSTREAM_UNAUTHENTICATED", "{answer}");
    assert_eq!(services.logins(), 1);
}

#[tokio::test]
async fn an_error_of_iam_is_not_shown_to_callers() {
    let (gateway, services) = gateway().await;
    services.iam_status.store(400, Ordering::Relaxed);

    let answer = gateway.query(&record("r1")).await;

    let extensions = &answer["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "UPSTREAM_UNAUTHENTICATED");
    assert_eq!(extensions["upstream"], json!({ "status": 400 }));
}

#[tokio::test]
async fn the_old_token_is_used_while_iam_fails() {
    let (gateway, services) = gateway().await;
    gateway.query(&record("r1")).await;
    services.iam_status.store(503, Ordering::Relaxed);

    gateway.advance(Duration::from_hours(23));
    let renewing = gateway.query(&record("r2")).await;
    gateway.upstream.arrived(4).await;
    let after = gateway.query(&record("r3")).await;

    assert_eq!((renewing.get("errors"), after.get("errors")), (None, None), "{renewing} {after}");
}

#[tokio::test]
async fn a_refused_login_is_not_repeated_for_a_quarter_of_an_hour() {
    let (gateway, services) = gateway().await;
    services.iam_status.store(401, Ordering::Relaxed);

    let first = gateway.query(&record("r1")).await;
    let second = gateway.query(&record("r2")).await;

    assert_eq!(
        (code(&first), code(&second)),
        ("UPSTREAM_UNAUTHENTICATED", "UPSTREAM_UNAUTHENTICATED")
    );
    assert_eq!(services.logins(), 1, "a refused login was repeated");
    assert!(!first.to_string().contains(PASSWORD), "{first}");
    let (status, page) = gateway.admin_get("/readyz").await;
    assert_eq!((status, page.as_str()), (503, "the gateway cannot log in for a token\n"));

    gateway.advance(Duration::from_mins(14));
    gateway.query(&record("r3")).await;
    assert_eq!(services.logins(), 1);

    services.iam_status.store(0, Ordering::Relaxed);
    gateway.advance(Duration::from_mins(1));
    let healed = gateway.query(&record(RECORD)).await;
    assert_eq!(healed.get("errors"), None, "{healed}");
    assert_eq!(gateway.admin_get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_failing_iam_is_called_with_growing_pauses() {
    let (gateway, services) = gateway().await;
    services.iam_status.store(503, Ordering::Relaxed);

    for number in 0..20 {
        let answer = gateway.query(&record(&format!("r{number}"))).await;
        assert_eq!(code(&answer), "UPSTREAM_UNAVAILABLE", "{answer}");
    }

    assert_eq!(services.logins(), 1);
}

#[tokio::test]
async fn a_token_of_the_simulated_iam_is_accepted_and_renewed_when_it_expires() {
    let listen = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let user = |password: &str| IamUser {
        name: "user".to_owned(),
        password: password.to_owned(),
        domain: "account".to_owned(),
    };
    let simulated = SimulatorConfig {
        listen,
        iam_users: vec![user(PASSWORD)],
        token_life: Duration::from_hours(1),
        ..SimulatorConfig::default()
    };
    let clock = Clock::default();
    let simulator = Simulator::bind(simulated, clock.clone()).await.unwrap();
    let endpoint: url::Url = format!("http://{}", simulator.local_addr().unwrap()).parse().unwrap();
    let (project, record) = simulator.sample();
    let document =
        format!(r#"{{ screenRecord(projectId: "{project}", id: "{record}") {{ id }} }}"#);
    tokio::spawn(simulator.run(std::future::pending()));
    let unused = ScriptedUpstream::start(|_| Reply::Hang).await;
    let gateway = Gateway::configured(unused, |config| {
        config.upstream.default = Some(Target::at(endpoint.clone()));
        config.cache.max_bytes = 0;
        logs_in(config, endpoint, PASSWORD);
    })
    .await;

    let first = gateway.query(&document).await;
    // It expires only in the simulator, so the gateway learns it from an answer.
    clock.advance(Duration::from_hours(2));
    let second = gateway.query(&document).await;

    assert_eq!((first.get("errors"), second.get("errors")), (None, None), "{first} {second}");
}
