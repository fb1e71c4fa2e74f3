//! Temporary keys of the cloud server that the gateway runs on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{CredentialsMode, MetadataService, Target};
use screen_record_gateway::simulator::{Simulator, SimulatorConfig};
use serde_json::{Value, json};

use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream, Seen};

/// The metadata service and the upstream behind one address, under a test's control.
#[derive(Clone, Default)]
struct Services {
    sessions: Arc<AtomicUsize>,
    keys: Arc<AtomicUsize>,
    /// What the session step answers; 0 for success.
    session_status: Arc<AtomicU16>,
    /// Sessions before this one are refused.
    oldest_session: Arc<AtomicUsize>,
    has_no_agency: Arc<AtomicBool>,
    /// How far the gateway's clock was moved, in hours.
    advanced: Arc<AtomicU16>,
}

impl Services {
    fn counts(&self) -> (usize, usize) {
        (self.sessions.load(Ordering::Relaxed), self.keys.load(Ordering::Relaxed))
    }

    /// Moves the time of both sides.
    fn advance(&self, gateway: &Gateway, hours: u16) {
        self.advanced.fetch_add(hours, Ordering::Relaxed);
        gateway.advance(Duration::from_hours(hours.into()));
    }

    fn answer(&self, seen: &Seen) -> Reply {
        match seen.path.as_str() {
            "/meta-data/latest/api/token" => self.session(seen),
            "/openstack/latest/securitykey" => self.key(seen),
            path => {
                assert!(seen.headers.contains_key("authorization"), "{seen:?}");
                Reply::json(200, &json!({ "id": path.rsplit('/').next() }))
            }
        }
    }

    fn session(&self, seen: &Seen) -> Reply {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        assert_eq!(
            (seen.method.as_str(), &seen.headers["x-metadata-token-ttl-seconds"]),
            ("PUT", &"21600".parse().unwrap())
        );
        match self.session_status.load(Ordering::Relaxed) {
            0 => Reply::bytes(200, &[], format!("{number}")),
            status => Reply::bytes(status, &[], ""),
        }
    }

    fn key(&self, seen: &Seen) -> Reply {
        if self.has_no_agency.load(Ordering::Relaxed) {
            self.keys.fetch_add(1, Ordering::Relaxed);
            return Reply::bytes(401, &[], "Please configure Cloud Service Agency first");
        }
        let session = seen.headers.get("x-metadata-token");
        let session = session.map(|value| value.to_str().unwrap().parse::<usize>().unwrap());
        if session.is_some_and(|number| number < self.oldest_session.load(Ordering::Relaxed)) {
            return Reply::bytes(401, &[], "");
        }
        let number = self.keys.fetch_add(1, Ordering::Relaxed) + 1;
        let ends = jiff::Timestamp::now()
            + jiff::SignedDuration::from_hours(
                1 + i64::from(self.advanced.load(Ordering::Relaxed)),
            );
        let ends = ends.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        Reply::json(
            200,
            &json!({ "credential": { "access": format!("key-{number}"), "secret": "s",
                "securitytoken": format!("token-{number}"), "expires_at": ends } }),
        )
    }
}

async fn gateway() -> (Gateway, Services) {
    let services = Services::default();
    let answering = services.clone();
    let upstream = ScriptedUpstream::start(move |seen| answering.answer(seen)).await;
    let endpoint = format!("http://{}", upstream.address).parse().unwrap();
    let gateway = Gateway::configured(upstream, |config| {
        config.upstream.credentials =
            CredentialsMode::Metadata(MetadataService { endpoint, project_id: None });
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
async fn a_hundred_waiting_requests_fetch_one_key() {
    let (gateway, services) = gateway().await;
    let documents: Vec<String> = (0..100).map(|number| record(&format!("r{number}"))).collect();

    let answers = join_all(documents.iter().map(|document| gateway.query(document))).await;

    assert!(answers.iter().all(|answer| answer.get("errors").is_none()), "{answers:?}");
    assert_eq!(services.counts(), (1, 1));
    let seen = gateway.upstream.seen();
    let seen = seen.last().unwrap();
    assert_eq!(seen.headers["x-security-token"], "token-1");
    let authorization = seen.headers["authorization"].to_str().unwrap();
    assert!(authorization.contains("Access=key-1") && authorization.contains("x-security-token"));
}

#[tokio::test]
async fn a_metadata_service_without_sessions_is_called_without_one() {
    for status in [404, 405, 503] {
        let (gateway, services) = gateway().await;
        services.session_status.store(status, Ordering::Relaxed);

        let answer = gateway.query(&record("r1")).await;
        services.advance(&gateway, 2);
        let later = gateway.query(&record("r2")).await;

        assert_eq!((answer.get("errors"), later.get("errors")), (None, None), "{status}");
        assert_eq!(services.counts(), (2, 2), "{status}");
    }
}

#[tokio::test]
async fn a_refused_session_is_replaced_once() {
    for (oldest, is_answered) in [(2, true), (3, false)] {
        let (gateway, services) = gateway().await;
        services.oldest_session.store(oldest, Ordering::Relaxed);

        let answer = gateway.query(&record("r1")).await;

        assert_eq!(answer.get("errors").is_none(), is_answered, "{answer}");
        assert_eq!(services.counts(), (2, usize::from(is_answered)));
    }
}

#[tokio::test]
async fn a_key_is_renewed_in_the_background_before_it_expires() {
    let (gateway, services) = gateway().await;
    gateway.query(&record("r1")).await;

    gateway.advance(Duration::from_mins(49));
    gateway.query(&record("r2")).await;
    assert_eq!(services.counts().1, 1, "it was renewed too early");
    gateway.advance(Duration::from_mins(2));
    let answer = gateway.query(&record("r3")).await;
    gateway.upstream.arrived(7).await;

    assert_eq!(answer.get("errors"), None, "{answer}");
    assert_eq!(services.counts(), (2, 2));
}

#[tokio::test]
async fn without_an_agency_the_metadata_service_is_not_called_again_for_five_minutes() {
    let (gateway, services) = gateway().await;
    services.has_no_agency.store(true, Ordering::Relaxed);

    let first = gateway.query(&record("r1")).await;
    gateway.query(&record("r2")).await;

    assert_eq!(code(&first), "UPSTREAM_UNAUTHENTICATED", "{first}");
    assert_eq!(services.counts().1, 1);
    let (status, page) = gateway.admin_get("/readyz").await;
    assert_eq!((status, page.as_str()), (503, "the metadata service gives no temporary key\n"));

    gateway.advance(Duration::from_mins(5));
    services.has_no_agency.store(false, Ordering::Relaxed);
    assert_eq!(gateway.query(&record("r3")).await.get("errors"), None);
}

#[tokio::test]
async fn a_key_of_the_simulated_metadata_service_is_accepted() {
    let listen = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let simulated = SimulatorConfig { listen, ..SimulatorConfig::default() };
    let simulator = Simulator::bind(simulated, Clock::default()).await.unwrap();
    let endpoint: url::Url = format!("http://{}", simulator.local_addr().unwrap()).parse().unwrap();
    let project = simulator.sample().0.to_owned();
    tokio::spawn(simulator.run(std::future::pending()));
    let unused = ScriptedUpstream::start(|_| Reply::Hang).await;
    let gateway = Gateway::configured(unused, |config| {
        config.upstream.default = Some(Target::at(endpoint.clone()));
        config.upstream.credentials =
            CredentialsMode::Metadata(MetadataService { endpoint, project_id: None });
    })
    .await;

    let document = format!(
        r#"{{ screenRecords(projectId: "{project}", first: 2) {{ nodes {{ id downloadUrl }} }} }}"#
    );
    let answer = gateway.query(&document).await;

    assert_eq!(answer.get("errors"), None, "{answer}");
    assert_eq!(answer["data"]["screenRecords"]["nodes"].as_array().unwrap().len(), 2);
}
