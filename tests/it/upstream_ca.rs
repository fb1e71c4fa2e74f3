//! An upstream whose certificate a private CA has signed.

use axum::http::Version;
use screen_record_gateway::app::Outcome;
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{
    Config, CredentialsMode, MetadataService, Target, certificates_of,
};
use screen_record_gateway::simulator::{IamUser, Simulator, SimulatorConfig};
use serde_json::json;

use crate::support::{
    Authority, Gateway, PROJECT, RECORD, Reply, ScriptedUpstream, TestFile, TlsWay, logs_in,
    screen_record,
};

/// A gateway whose upstream speaks TLS and whose settings trust an authority.
async fn gateway(upstreams: &Authority, trusted: Option<&Authority>) -> Gateway {
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await;
    let way = TlsWay::to(upstream.address, upstreams).await;
    Gateway::configured(upstream, |config| {
        config.upstream.default = Some(Target::at(way.url));
        if let Some(trusted) = trusted {
            config.upstream.ca_certificates = certificates_of(trusted.pem().as_bytes()).unwrap();
        }
    })
    .await
}

/// A simulator behind TLS; its project and one of its records.
async fn simulator(authority: &Authority) -> (TlsWay, String, String) {
    let user = IamUser {
        name: "user".to_owned(),
        password: "password".to_owned(),
        domain: "account".to_owned(),
    };
    let listen = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let simulated = SimulatorConfig { listen, iam_users: vec![user], ..SimulatorConfig::default() };
    let simulator = Simulator::bind(simulated, Clock::default()).await.unwrap();
    let way = TlsWay::to(simulator.local_addr().unwrap(), authority).await;
    let (project, record) = simulator.sample();
    let (project, record) = (project.to_owned(), record.to_owned());
    tokio::spawn(simulator.run(std::future::pending()));
    (way, project, record)
}

/// The answer of a gateway that reaches a simulator with these credentials.
async fn with_credentials(
    trusted: Option<&Authority>,
    authority: &Authority,
    credentials: impl FnOnce(&mut Config, url::Url),
) -> serde_json::Value {
    let (way, project, record) = simulator(authority).await;
    let unused = ScriptedUpstream::start(|_| Reply::Hang).await;
    let gateway = Gateway::configured(unused, |config| {
        config.upstream.default = Some(Target::at(way.url.clone()));
        credentials(config, way.url);
        if let Some(trusted) = trusted {
            config.upstream.ca_certificates = certificates_of(trusted.pem().as_bytes()).unwrap();
        }
    })
    .await;
    gateway
        .query(&format!(r#"{{ screenRecord(projectId: "{project}", id: "{record}") {{ id }} }}"#))
        .await
}

#[tokio::test]
async fn an_upstream_is_trusted_by_the_ca_of_the_settings() {
    let authority = Authority::new("of the upstream");
    let gateway = gateway(&authority, Some(&authority)).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "{answer}");
}

#[tokio::test]
async fn http_2_is_used_if_the_upstream_offers_it() {
    let authority = Authority::new("of the upstream");
    for (offered, spoken) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let upstream =
            ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await;
        let way = TlsWay::offering(offered, &authority.issue(), upstream.address).await;
        let gateway = Gateway::configured(upstream.clone(), |config| {
            config.upstream.default = Some(Target::at(way.url));
            config.upstream.ca_certificates = certificates_of(authority.pem().as_bytes()).unwrap();
        })
        .await;

        let answer = gateway.query(&screen_record("id")).await;

        assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "{answer}");
        let versions: Vec<Version> = upstream.seen().iter().map(|seen| seen.version).collect();
        assert_eq!(versions, [spoken], "of {offered:?}");
    }
}

#[tokio::test]
async fn an_upstream_of_another_ca_gets_no_call() {
    let (authority, other) = (Authority::new("of the upstream"), Authority::new("another"));
    for trusted in [None, Some(&other)] {
        let gateway = gateway(&authority, trusted).await;

        let answer = gateway.query(&screen_record("id")).await;

        assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_UNAVAILABLE", "{answer}");
        assert_eq!(gateway.upstream_requests(), 0);
    }
}

#[tokio::test]
async fn a_changed_ca_file_applies_to_the_next_call() {
    let (authority, other) = (Authority::new("of the upstream"), Authority::new("another"));
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await;
    let way = TlsWay::to(upstream.address, &authority).await;
    let (file, settings) = (TestFile::of(&other.pem()), TestFile::of(""));
    let variables = [
        ("GATEWAY_UPSTREAM__ENDPOINT", way.url.as_str()),
        ("GATEWAY_UPSTREAM__CA_FILE", file.0.to_str().unwrap()),
    ];
    let gateway = Gateway::following(upstream, &settings, &variables).await;
    let before = gateway.query(&screen_record("id")).await;

    file.write("no certificate");
    let refused = gateway.reload().await;
    file.write(&authority.pem());
    let outcome = gateway.reload().await;
    let after = gateway.query(&screen_record("id")).await;

    assert_eq!(before["errors"][0]["extensions"]["code"], "UPSTREAM_UNAVAILABLE", "{before}");
    assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    let changed = vec!["upstream.ca_file"];
    assert_eq!(outcome, Outcome::Done { changed, waiting: Vec::new() });
    assert_eq!(after["data"]["screenRecord"]["id"], RECORD, "{after}");
}

#[tokio::test]
async fn the_login_is_trusted_by_the_same_ca() {
    let authority = Authority::new("of IAM");
    let login = |config: &mut Config, iam| logs_in(config, iam, "password");

    let trusted = with_credentials(Some(&authority), &authority, login).await;
    let untrusted = with_credentials(None, &authority, login).await;

    assert_eq!(trusted.get("errors"), None, "{trusted}");
    assert_eq!(untrusted["errors"][0]["extensions"]["code"], "UPSTREAM_UNAVAILABLE");
}

#[tokio::test]
async fn the_metadata_service_is_trusted_by_the_same_ca() {
    let authority = Authority::new("of the service");
    let service = |config: &mut Config, endpoint| {
        let project_id = Some(PROJECT.to_owned());
        config.upstream.credentials =
            CredentialsMode::Metadata(MetadataService { endpoint, project_id });
    };

    let trusted = with_credentials(Some(&authority), &authority, service).await;
    let untrusted = with_credentials(None, &authority, service).await;

    assert_eq!(trusted.get("errors"), None, "{trusted}");
    assert_eq!(untrusted["errors"][0]["extensions"]["code"], "UPSTREAM_UNAVAILABLE");
}
