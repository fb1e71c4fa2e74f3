//! Canaries: tokens and keys that must not turn up anywhere.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use screen_record_gateway::config::{AccessKey, CredentialsMode};
use screen_record_gateway::domain::Secret;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::support::{Gateway, Reply, ScriptedUpstream, screen_record};

const TOKEN: &str = "canary-token-5f1c";
const ACCESS: &str = "CANARYAK000000000001";
const SECRET: &str = "canary-secret-9d2b";
const SECURITY_TOKEN: &str = "canary-security-7a3e";

thread_local! {
    /// What this thread has logged. A test's gateway runs on the thread of the test.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to the log of the thread at work.
struct ThisThread;

impl io::Write for ThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps every line from now on, of every level and every crate.
fn keep_log() {
    static STARTED: Once = Once::new();
    // One for all threads: whether a line is of interest to anybody is decided for the process.
    STARTED.call_once(|| {
        let lines = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("trace"))
            .with_writer(|| ThisThread)
            .finish();
        tracing::subscriber::set_global_default(lines).unwrap();
    });
}

fn log() -> String {
    LOG.with_borrow(|log| String::from_utf8(log.clone()).unwrap())
}

/// An upstream that sends everything it was sent back in its error message.
async fn blabbing() -> ScriptedUpstream {
    ScriptedUpstream::start(|seen| {
        let message =
            format!("Get secretKey failed,ak:{ACCESS},err:ak not exist {:?}", seen.headers);
        Reply::json(401, &json!({ "error_code": "APIGW.0301", "error_msg": message }))
    })
    .await
}

fn assert_clean(place: &str, text: &str) {
    for canary in [TOKEN, ACCESS, SECRET, SECURITY_TOKEN] {
        assert!(!text.contains(canary), "{canary} is in {place}:\n{text}");
    }
}

#[tokio::test]
async fn a_callers_token_turns_up_in_no_log_error_metric_or_debug() {
    keep_log();
    let gateway = Gateway::before(blabbing().await).await;

    let by_header = gateway.query_as(TOKEN, &screen_record("id")).await;
    let bearer = format!("Bearer {TOKEN}");
    let by_bearer = gateway.post(&screen_record("id"), &[("authorization", &bearer)]).await;

    assert_eq!(gateway.upstream_requests(), 2);
    assert_clean("an error", &by_header.to_string());
    assert_clean("an error", &by_bearer.json.to_string());
    assert_clean("the metrics", &gateway.admin_get("/metrics").await.1);
    assert!(log().contains("answered"), "nothing was logged");
    assert_clean("the log", &log());
}

#[tokio::test]
async fn the_gateways_own_key_turns_up_in_no_log_error_metric_or_debug() {
    keep_log();
    let key = AccessKey {
        access: Secret::new(ACCESS),
        secret: Secret::new(SECRET),
        security_token: Some(Secret::new(SECURITY_TOKEN)),
        project_id: None,
    };
    assert_clean("Debug", &format!("{key:?}"));
    let gateway = Gateway::configured(blabbing().await, |config| {
        config.upstream.credentials = CredentialsMode::AkSk(key);
        assert_clean("Debug", &format!("{config:?}"));
    })
    .await;

    let answer = gateway.post(&screen_record("id"), &[]).await;

    assert_eq!(gateway.upstream_requests(), 1);
    assert_clean("an error", &answer.json.to_string());
    assert_clean("the metrics", &gateway.admin_get("/metrics").await.1);
    assert!(log().contains("answered"), "nothing was logged");
    assert_clean("the log", &log());
}
