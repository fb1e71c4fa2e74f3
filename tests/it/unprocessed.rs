//! Requests that the upstream never processed are sent again. They use no attempt and do not count for
//! the circuit breaker.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use screen_record_gateway::config::{BreakerConfig, Config, certificates_of};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    Authority, Closing, ClosingUpstream, Gateway, Http2Upstream, Nginx, PROJECT, RECORD, Reply,
    ScriptedUpstream, TlsWay, Turn, patient,
};

const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 11;

fn body() -> String {
    json!({ "id": RECORD }).to_string()
}

fn record(number: usize) -> String {
    format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "r{number}") {{ id }} }}"#)
}

/// A gateway with one attempt and the usual circuit, whose upstream is at an address.
async fn gateway_to(
    url: url::Url,
    authority: Option<&Authority>,
    adjust: impl FnOnce(&mut Config),
) -> Gateway {
    let unused = ScriptedUpstream::start(|_| Reply::Hang).await;
    Gateway::configured(unused, |config| {
        patient(config);
        config.upstream.default.as_mut().unwrap().endpoint = url;
        config.upstream.max_attempts = NonZeroU32::MIN;
        config.upstream.breaker = BreakerConfig::default();
        if let Some(authority) = authority {
            let pem = authority.pem();
            config.upstream.ca_certificates = certificates_of(pem.as_bytes()).unwrap();
        }
        adjust(config);
    })
    .await
}

async fn answers(gateway: &Gateway, numbers: std::ops::Range<usize>) -> Vec<Value> {
    let documents: Vec<String> = numbers.map(record).collect();
    join_all(documents.iter().map(|document| gateway.query(document))).await
}

fn assert_all_answered(answers: &[Value]) {
    let failed: Vec<&Value> =
        answers.iter().filter(|answer| answer.get("errors").is_some()).collect();
    assert!(failed.is_empty(), "{} of {}: {}", failed.len(), answers.len(), failed[0]);
}

/// The metrics of answered attempts, retries and the circuit breaker.
async fn assert_counted(gateway: &Gateway, attempts: usize) {
    let page = gateway.admin_get("/metrics").await.1;
    for line in [
        format!(r#"gateway_upstream_attempts_total{{region="test-1",outcome="200"}} {attempts}"#),
        r#"gateway_upstream_attempts_total{region="test-1",outcome="unreachable"} 0"#.to_owned(),
        r#"gateway_upstream_retries_total{region="test-1"} 0"#.to_owned(),
        r#"gateway_upstream_breaker_opened_total{region="test-1"} 0"#.to_owned(),
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} is not on {page}");
    }
}

#[tokio::test]
async fn an_idle_connection_closed_by_the_upstream_costs_no_attempt() {
    for closing in [Closing::Unread, Closing::Unanswered] {
        let upstream = ClosingUpstream::after(1, closing, &body()).await;
        let url = format!("http://{}", upstream.address).parse().unwrap();
        let gateway = gateway_to(url, None, |_| {}).await;

        for number in 0..30 {
            let answer = gateway.query(&record(number)).await;
            assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "{closing:?}: {answer}");
        }

        assert_eq!((upstream.answered(), upstream.closed()), (30, 29), "{closing:?}");
        assert_counted(&gateway, 30).await;
    }
}

#[tokio::test]
async fn an_idle_tls_connection_closed_by_the_upstream_costs_no_attempt() {
    let authority = Authority::new("of the upstream");
    let upstream = ClosingUpstream::after(1, Closing::Unanswered, &body()).await;
    let way = TlsWay::to(upstream.address, &authority).await;
    let gateway = gateway_to(way.url, Some(&authority), |_| {}).await;

    for number in 0..3 {
        let answer = gateway.query(&record(number)).await;
        assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "{answer}");
    }
}

#[tokio::test]
async fn all_idle_connections_closed_at_once_cost_no_attempt() {
    let upstream = ClosingUpstream::after(usize::MAX, Closing::Unread, &body()).await;
    let url = format!("http://{}", upstream.address).parse().unwrap();
    let gateway = gateway_to(url, None, |_| {}).await;
    assert_all_answered(&answers(&gateway, 0..50).await);
    upstream.restart();

    let again = answers(&gateway, 50..100).await;

    assert_all_answered(&again);
    assert!(upstream.closed() > 0, "no kept connection was used");
    assert_counted(&gateway, 100).await;
}

#[tokio::test]
async fn a_new_connection_that_is_closed_without_a_response_is_a_failure() {
    let upstream = ClosingUpstream::after(0, Closing::Unanswered, "").await;
    let url = format!("http://{}", upstream.address).parse().unwrap();
    let gateway = gateway_to(url, None, |_| {}).await;

    let answer = gateway.query(&record(0)).await;

    assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_UNAVAILABLE", "{answer}");
    assert_eq!((upstream.connections(), upstream.closed()), (1, 1));
}

#[tokio::test]
async fn streams_after_the_last_of_a_goaway_are_sent_again_on_another_connection() {
    for reason in [NO_ERROR, ENHANCE_YOUR_CALM] {
        let authority = Authority::new("of the upstream");
        let upstream = Http2Upstream::start(&authority, &body(), move |place| {
            if place.in_connection < 50 { Turn::Answer } else { Turn::GoAway { reason } }
        })
        .await;
        let gateway = gateway_to(upstream.url.clone(), Some(&authority), |_| {}).await;

        let answers = answers(&gateway, 0..200).await;

        assert_all_answered(&answers);
        assert!(upstream.requests() > 200, "no stream was refused");
        assert_counted(&gateway, 200).await;
        assert_eq!(gateway.admin_get("/readyz").await.1, "ready\n");
    }
}

#[tokio::test]
async fn an_ended_http_2_connection_is_replaced_by_one_for_all_callers() {
    let authority = Authority::new("of the upstream");
    let upstream = Http2Upstream::start(&authority, &body(), |place| {
        if place.in_connection < 50 { Turn::Answer } else { Turn::GoAway { reason: NO_ERROR } }
    })
    .await;
    let gateway = gateway_to(upstream.url.clone(), Some(&authority), |_| {}).await;

    let answers = answers(&gateway, 0..200).await;

    assert_all_answered(&answers);
    assert!((4..20).contains(&upstream.connections()), "{}", upstream.connections());
}

/// A proxy to a port of this machine that lets one connection, by its number from 0, hang.
async fn way_that_hangs(port: u16, hangs: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own_port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                if number == hangs {
                    std::future::pending::<()>().await;
                }
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    own_port
}

#[tokio::test]
async fn a_new_http_2_connection_that_hangs_does_not_delay_others() {
    let authority = Authority::new("of the upstream");
    let upstream = Http2Upstream::start(&authority, &body(), |place| {
        if place.overall == 1 { Turn::GoAway { reason: NO_ERROR } } else { Turn::Answer }
    })
    .await;
    let port = way_that_hangs(upstream.url.port().unwrap(), 1).await;
    let url = format!("https://localhost:{port}").parse().unwrap();
    let gateway = gateway_to(url, Some(&authority), |config| {
        config.upstream.connect_timeout = Duration::from_secs(30);
    })
    .await;
    gateway.query(&record(0)).await;

    let begun = Instant::now();
    let answers = answers(&gateway, 1..5).await;

    assert_all_answered(&answers);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn refused_streams_are_sent_again() {
    let authority = Authority::new("of the upstream");
    let upstream = Http2Upstream::start(&authority, &body(), |place| {
        if place.overall.is_multiple_of(2) { Turn::Refuse } else { Turn::Answer }
    })
    .await;
    let gateway = gateway_to(upstream.url.clone(), Some(&authority), |_| {}).await;

    let answers = answers(&gateway, 0..100).await;

    assert_all_answered(&answers);
    assert!(upstream.requests() >= 199, "{}", upstream.requests());
    assert_counted(&gateway, 100).await;
}

#[tokio::test]
async fn an_upstream_that_refuses_every_stream_is_tried_until_the_deadline_with_pauses() {
    let authority = Authority::new("of the upstream");
    let upstream = Http2Upstream::start(&authority, &body(), |_| Turn::Refuse).await;
    let gateway = gateway_to(upstream.url.clone(), Some(&authority), |config| {
        config.upstream.connect_timeout = Duration::from_millis(400);
        config.upstream.attempt_timeout = Duration::from_millis(400);
        config.upstream.deadline = Duration::from_millis(400);
    })
    .await;

    let begun = Instant::now();
    let answer = gateway.query(&record(0)).await;

    assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_TIMEOUT", "{answer}");
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert!((3..100).contains(&upstream.requests()), "{} requests", upstream.requests());
}

#[tokio::test]
async fn an_http_2_connection_that_ends_without_goaway_is_a_failure() {
    let authority = Authority::new("of the upstream");
    let upstream = Http2Upstream::start(&authority, &body(), |place| {
        if place.overall == 0 { Turn::Answer } else { Turn::Hang }
    })
    .await;
    let gateway = gateway_to(upstream.url.clone(), Some(&authority), |_| {}).await;
    gateway.query(&record(0)).await;

    let answer = gateway.query(&record(1)).await;

    assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_UNAVAILABLE", "{answer}");
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn nginx_that_closes_connections_after_a_hundred_requests_answers_every_caller() {
    const CALLERS: usize = 256;
    const EACH: usize = 6;
    let authority = Authority::new("of the upstream");
    let nginx = Nginx::start(&authority, 100, &body()).await;
    let gateway = gateway_to(nginx.url.clone(), Some(&authority), |_| {}).await;

    let callers = (0..CALLERS).map(async |caller| {
        let mut answers = Vec::new();
        for number in 0..EACH {
            answers.push(gateway.query(&record(caller * EACH + number)).await);
        }
        answers
    });
    let answers = join_all(callers).await.concat();

    assert_all_answered(&answers);
    assert_eq!(nginx.answered(), vec!["HTTP/2.0 200"; CALLERS * EACH]);
    assert_counted(&gateway, CALLERS * EACH).await;
    assert_eq!(gateway.admin_get("/readyz").await.1, "ready\n");
}
