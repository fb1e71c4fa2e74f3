//! Faults of the upstream: retries within a budget, and the circuit breaker.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use screen_record_gateway::config::{BreakerConfig, Config};
use serde_json::{Value, json};

use crate::support::{Gateway, PROJECT, RECORD, Reply, ScriptedUpstream, screen_record};

fn failing(status: u16) -> Reply {
    Reply::json(status, &json!({ "error_code": "WKS.00050902", "error_msg": "no" }))
}

fn good() -> Reply {
    Reply::json(200, &json!({ "id": RECORD }))
}

/// The default retries.
fn with_retries(config: &mut Config) {
    config.upstream.max_attempts = NonZeroU32::new(3).unwrap();
}

/// An upstream that fails a number of times before it answers.
async fn after_failures(failures: usize, status: u16) -> Gateway {
    let calls = AtomicUsize::new(0);
    let upstream = ScriptedUpstream::start(move |_| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        if call < failures { failing(status) } else { good() }
    })
    .await;
    Gateway::configured(upstream, with_retries).await
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_temporary_failure_is_retried_and_not_seen() {
    for status in [429, 500, 502, 503] {
        let gateway = after_failures(2, status).await;

        let answer = gateway.query(&screen_record("id")).await;

        assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "{status}: {answer}");
        assert_eq!(gateway.upstream_requests(), 3, "{status}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_retried() {
    let calls = AtomicUsize::new(0);
    let upstream = ScriptedUpstream::start(move |_| {
        if calls.fetch_add(1, Ordering::Relaxed) == 0 { Reply::CutMidway } else { good() }
    })
    .await;
    let gateway = Gateway::configured(upstream, with_retries).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "{answer}");
}

#[tokio::test]
async fn attempts_end_at_their_limit_with_the_last_failure() {
    let gateway = after_failures(usize::MAX, 503).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!((code(&answer), gateway.upstream_requests()), ("UPSTREAM_UNAVAILABLE", 3));
}

#[tokio::test]
async fn a_504_is_retried_once() {
    let gateway = after_failures(usize::MAX, 504).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!((code(&answer), gateway.upstream_requests()), ("UPSTREAM_TIMEOUT", 2));
}

#[tokio::test]
async fn a_refusal_is_never_retried() {
    for status in [400, 401, 403, 404, 409] {
        let upstream = ScriptedUpstream::start(move |_| Reply::json(status, &json!({}))).await;
        let gateway = Gateway::configured(upstream, with_retries).await;

        gateway.query(&screen_record("id")).await;

        assert_eq!(gateway.upstream_requests(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_retry_after_beyond_the_deadline_is_passed_to_the_caller() {
    let upstream = ScriptedUpstream::start(|_| {
        Reply::bytes(429, &[("retry-after", "30")], r#"{"error_code":"APIGW.0308"}"#)
    })
    .await;
    let gateway = Gateway::configured(upstream, with_retries).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!((code(&answer), gateway.upstream_requests()), ("RATE_LIMITED", 1));
    assert_eq!(answer["errors"][0]["extensions"]["retryAfterMs"], 30_000);
}

#[tokio::test]
async fn a_retry_after_within_the_deadline_is_waited_for() {
    let calls = AtomicUsize::new(0);
    let upstream = ScriptedUpstream::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::bytes(429, &[("retry-after", "1")], r#"{"error_code":"APIGW.0308"}"#),
        _ => good(),
    })
    .await;
    let gateway = Gateway::configured(upstream, with_retries).await;

    let begun = Instant::now();
    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "{answer}");
    assert_eq!(gateway.upstream_requests(), 2);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn nothing_waits_longer_than_its_deadline() {
    let upstream = ScriptedUpstream::start(|_| Reply::Hang).await;
    let gateway = Gateway::configured(upstream, |config| {
        with_retries(config);
        config.upstream.connect_timeout = Duration::from_millis(100);
        config.upstream.attempt_timeout = Duration::from_millis(100);
        config.upstream.deadline = Duration::from_millis(150);
    })
    .await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(code(&answer), "UPSTREAM_TIMEOUT");
    assert!(gateway.upstream_requests() <= 2, "{}", gateway.upstream_requests());
}

/// A document that reads `count` records.
fn records(from: usize, count: usize) -> String {
    let mut document = "{".to_owned();
    for number in from..from + count {
        let record = format!(r#"screenRecord(projectId: "{PROJECT}", id: "r{number}")"#);
        write!(document, " a{number}: {record} {{ id }}").unwrap();
    }
    document + " }"
}

#[tokio::test]
async fn with_a_quarter_of_attempts_failing_nearly_all_loads_succeed() {
    let calls = AtomicUsize::new(0);
    let upstream = ScriptedUpstream::start(move |_| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        // A quarter of all numbers, without a pattern that retries could fall in step with.
        match call.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56 {
            0..16 => failing(503),
            16..32 => failing(500),
            32..48 => failing(429),
            48..64 => Reply::CutMidway,
            _ => good(),
        }
    })
    .await;
    let gateway = Gateway::configured(upstream, |config| {
        with_retries(config);
        config.upstream.breaker = BreakerConfig::default();
    })
    .await;

    let mut answered = 0;
    for batch in 0..20 {
        let answer = gateway.query(&records(batch * 100, 100)).await;
        let fields = answer["data"].as_object().unwrap();
        answered += fields.values().filter(|field| field.is_object()).count();
    }

    assert!(answered > 1940, "{answered} of 2000 loads answered");
    let attempts = gateway.upstream_requests();
    assert!(attempts < 2 * 2000, "{attempts} attempts for 2000 loads");
}

#[tokio::test]
async fn retries_of_all_loads_together_stay_within_the_budget() {
    let gateway = after_failures(usize::MAX, 503).await;

    for batch in 0..4 {
        gateway.query(&records(batch * 100, 100)).await;
    }

    // 400 loads allow 200 retries beside the first 100; without a budget there would be 1200.
    let attempts = gateway.upstream_requests();
    assert!((400..=800).contains(&attempts), "{attempts} attempts for 400 loads");
}

/// A circuit breaker that opens at half of four attempts, for five seconds.
async fn breaking(upstream: ScriptedUpstream) -> Gateway {
    Gateway::configured(upstream, |config| {
        config.upstream.breaker.min_calls = NonZeroU32::new(4).unwrap();
    })
    .await
}

#[tokio::test]
async fn a_dead_upstream_opens_the_circuit_and_is_probed() {
    let gateway = breaking(ScriptedUpstream::start(|_| failing(503)).await).await;
    for number in 0..4 {
        gateway.query(&records(number, 1)).await;
    }

    let refused = gateway.query(&records(4, 100)).await;

    assert_eq!((code(&refused), gateway.upstream_requests()), ("UPSTREAM_UNAVAILABLE", 4));
    assert!(refused["errors"][0]["extensions"]["retryAfterMs"].as_u64().unwrap() <= 5000);
    let (status, page) = gateway.admin_get("/readyz").await;
    assert_eq!(status, 200);
    assert_eq!(page, "ready, but the circuit to test-1 is open after too many failures\n");
    gateway.until_metric(r#"gateway_upstream_breaker_state{region="test-1",state="open"} 1"#).await;

    gateway.advance(Duration::from_secs(5));
    gateway.query(&records(200, 100)).await;
    assert_eq!(gateway.upstream_requests(), 5, "more than one probe went out");

    gateway.upstream.answer_with(|_| good());
    gateway.advance(Duration::from_secs(5));
    gateway.query(&records(300, 1)).await;
    let healed = gateway.query(&records(400, 10)).await;
    assert_eq!(healed.get("errors"), None, "{healed}");
    assert_eq!(gateway.admin_get("/readyz").await.1, "ready\n");
}

/// A gateway in front of an upstream that never answers; its readiness after four loads.
async fn readiness_before_silence(adjust: impl FnOnce(&mut Config)) -> String {
    let upstream = ScriptedUpstream::start(|_| Reply::Hang).await;
    let gateway = Gateway::configured(upstream, |config| {
        config.upstream.breaker.min_calls = NonZeroU32::new(4).unwrap();
        config.upstream.connect_timeout = Duration::from_millis(200);
        config.upstream.attempt_timeout = Duration::from_millis(200);
        adjust(config);
    })
    .await;

    let answer = gateway.query(&records(0, 4)).await;

    assert_eq!(code(&answer), "UPSTREAM_TIMEOUT", "{answer}");
    gateway.admin_get("/readyz").await.1
}

#[tokio::test]
async fn silence_opens_the_circuit_where_one_attempt_may_take_the_whole_deadline() {
    let readiness = readiness_before_silence(|config| {
        config.upstream.deadline = config.upstream.attempt_timeout;
    })
    .await;

    assert_eq!(readiness, "ready, but the circuit to test-1 is open after too many failures\n");
}

#[tokio::test]
async fn silence_opens_the_circuit_although_callers_leave_before_the_attempts_end() {
    let readiness = readiness_before_silence(|config| {
        config.limits.request_timeout = Duration::from_millis(150);
    })
    .await;

    assert_eq!(readiness, "ready, but the circuit to test-1 is open after too many failures\n");
}

#[tokio::test]
async fn a_call_without_a_permit_for_half_a_second_is_overloaded() {
    let upstream = ScriptedUpstream::start(|_| good()).await;
    upstream.hold();
    let gateway = Gateway::configured(upstream, |config| {
        // One caller gets all permits but one.
        config.upstream.max_concurrency = NonZeroU32::new(3).unwrap();
    })
    .await;
    let (first, second) = (records(0, 5), records(5, 3));

    let (waiting_for_itself, turned_away) = tokio::join!(gateway.query(&first), async {
        gateway.upstream.arrived(2).await;
        let turned_away = gateway.query(&second).await;
        gateway.until_metric(r#"gateway_upstream_shed_total{region="test-1"} 3"#).await;
        gateway.until_metric(r#"gateway_upstream_waiting{region="test-1"} 3"#).await;
        gateway.upstream.release();
        turned_away
    });

    assert_eq!(waiting_for_itself.get("errors"), None);
    let errors = turned_away["errors"].as_array().unwrap();
    let shed = errors.iter().filter(|error| {
        let extensions = &error["extensions"];
        extensions["code"] == "OVERLOADED" && extensions["retryable"] == true
    });
    assert_eq!((errors.len(), shed.count()), (3, 3), "{turned_away}");
    assert_eq!(gateway.upstream_requests(), 5);
}

#[tokio::test]
async fn refusals_and_throttling_never_open_the_circuit() {
    let status = Arc::new(AtomicUsize::new(0));
    let turn = Arc::clone(&status);
    let upstream = ScriptedUpstream::start(move |_| {
        let statuses = [400, 401, 403, 404, 409, 429];
        Reply::json(statuses[turn.fetch_add(1, Ordering::Relaxed) % statuses.len()], &json!({}))
    })
    .await;
    let gateway = breaking(upstream).await;

    gateway.query(&records(0, 60)).await;

    assert_eq!(gateway.upstream_requests(), 60);
    assert_eq!(gateway.admin_get("/readyz").await.1, "ready\n");
}

#[tokio::test]
async fn an_open_circuit_still_serves_cached_records() {
    let gateway = breaking(ScriptedUpstream::start(|_| good()).await).await;
    gateway.query(&screen_record("id")).await;
    gateway.advance(Duration::from_mins(2));
    gateway.upstream.answer_with(|_| failing(503));
    for number in 0..4 {
        gateway.query(&records(number, 1)).await;
    }

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(answer["data"]["screenRecord"]["id"], RECORD);
    assert_eq!(answer["extensions"]["stale"], true);
}
