//! The status of an error decides, even if its body cannot be read.

use std::num::NonZeroU32;
use std::time::Duration;

use screen_record_gateway::config::{AccessKey, Config, CredentialsMode, MetadataService};
use screen_record_gateway::domain::Secret;
use serde_json::{Value, json};

use crate::support::{Gateway, RECORD, Reply, ScriptedUpstream, logs_in, screen_record};

/// Faults of a body.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Plain text with `Content-Encoding: gzip`.
    Mislabelled,
    /// A coding that was not requested.
    UnknownCoding,
    TooLarge,
    Cut,
    Trickle,
}

const FAULTS: [Fault; 5] =
    [Fault::Mislabelled, Fault::UnknownCoding, Fault::TooLarge, Fault::Cut, Fault::Trickle];

impl Fault {
    fn reply(self, status: u16, headers: &[(&str, &str)]) -> Reply {
        let owned = |headers: &[(&str, &str)]| {
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        match self {
            Self::Mislabelled => {
                let headers = [headers, &[("content-encoding", "gzip")]].concat();
                Reply::bytes(status, &headers, "plain text")
            }
            Self::UnknownCoding => {
                let headers = [headers, &[("content-encoding", "br")]].concat();
                Reply::bytes(status, &headers, "who knows")
            }
            Self::TooLarge => Reply::bytes(status, headers, "<html>".repeat(350_000)),
            Self::Cut => Reply::Cut { status, headers: owned(headers) },
            Self::Trickle => Reply::Trickle { status, headers: owned(headers) },
        }
    }
}

/// Short, so that a body's time limit passes quickly.
fn hasty(config: &mut Config) {
    config.upstream.connect_timeout = Duration::from_millis(500);
    config.upstream.attempt_timeout = Duration::from_millis(500);
}

async fn gateway(
    answering: impl Fn(&str) -> Reply + Send + Sync + 'static,
    adjust: impl FnOnce(&mut Config),
) -> Gateway {
    let upstream = ScriptedUpstream::start(move |seen| answering(&seen.path)).await;
    Gateway::configured(upstream, |config| {
        hasty(config);
        adjust(config);
    })
    .await
}

fn good() -> Reply {
    Reply::json(200, &json!({ "id": RECORD, "status": "RECORDING" }))
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_code_follows_the_status_although_the_body_cannot_be_read() {
    for (status, expected) in [
        (401, "UNAUTHENTICATED"),
        (403, "FORBIDDEN"),
        (404, "NOT_FOUND"),
        (409, "CONFLICT"),
        (429, "RATE_LIMITED"),
        (500, "UPSTREAM_ERROR"),
        (503, "UPSTREAM_UNAVAILABLE"),
        (504, "UPSTREAM_TIMEOUT"),
        (302, "UPSTREAM_ERROR"),
    ] {
        for fault in FAULTS {
            let headers = [("x-request-id", "id-of-the-upstream"), ("retry-after", "3")];
            let gateway = gateway(move |_| fault.reply(status, &headers), |_| {}).await;

            let answer = gateway.query(&screen_record("id")).await;

            let extensions = &answer["errors"][0]["extensions"];
            assert_eq!(code(&answer), expected, "{status}, {fault:?}: {answer}");
            assert_eq!(extensions["upstream"]["status"], status, "{status}, {fault:?}");
            assert_eq!(extensions["upstream"]["requestId"], "id-of-the-upstream");
            assert_eq!(extensions["retryAfterMs"], 3000, "{status}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_only_says_that_it_is_compressed_still_refines_the_status() {
    let body = r#"{"error_code":"WKS.0202","error_msg":"no such recording"}"#;
    let headers = [("content-encoding", "gzip")];
    let gateway = gateway(move |_| Reply::bytes(500, &headers, body), |_| {}).await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(code(&answer), "NOT_FOUND", "{answer}");
}

#[tokio::test]
async fn a_recording_that_the_upstream_refuses_is_not_served_from_the_cache() {
    for fault in FAULTS {
        for status in [401, 403, 404] {
            let gateway = gateway(|_| good(), |_| {}).await;
            gateway.query(&screen_record("id")).await;
            gateway.advance(Duration::from_mins(1));
            gateway.upstream.answer_with(move |_| fault.reply(status, &[]));

            let answer = gateway.query(&screen_record("id")).await;

            assert_eq!(
                answer["data"]["screenRecord"],
                Value::Null,
                "{status}, {fault:?}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn throttling_and_outages_are_retried_although_the_body_cannot_be_read() {
    for fault in FAULTS {
        for status in [429, 503] {
            let gateway = gateway(
                move |_| fault.reply(status, &[]),
                |config| config.upstream.max_attempts = NonZeroU32::new(3).unwrap(),
            )
            .await;

            gateway.query(&screen_record("id")).await;

            assert_eq!(gateway.upstream_requests(), 3, "{status}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_key_signs_no_more_although_the_body_cannot_be_read() {
    for fault in FAULTS {
        let gateway = gateway(
            move |_| fault.reply(401, &[]),
            |config| {
                config.upstream.credentials = CredentialsMode::AkSk(AccessKey {
                    access: Secret::new("ACCESSKEY"),
                    secret: Secret::new("secret"),
                    security_token: None,
                    project_id: None,
                });
            },
        )
        .await;

        for _ in 0..3 {
            let answer = gateway.query(&screen_record("id")).await;
            assert_eq!(code(&answer), "UPSTREAM_UNAUTHENTICATED", "{fault:?}: {answer}");
        }

        assert_eq!(gateway.upstream_requests(), 1, "{fault:?}");
    }
}

/// A gateway whose IAM and upstream are the same server.
async fn logging_in(answering: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Gateway {
    let upstream = ScriptedUpstream::start(move |seen| answering(&seen.path)).await;
    let endpoint: url::Url = format!("http://{}", upstream.address).parse().unwrap();
    Gateway::configured(upstream, |config| {
        hasty(config);
        logs_in(config, endpoint, "password");
    })
    .await
}

#[tokio::test]
async fn a_refused_login_is_not_repeated_although_the_body_cannot_be_read() {
    for fault in FAULTS {
        let gateway = logging_in(move |_| fault.reply(401, &[])).await;

        for _ in 0..3 {
            let answer = gateway.query(&screen_record("id")).await;
            assert_eq!(code(&answer), "UPSTREAM_UNAUTHENTICATED", "{fault:?}: {answer}");
            gateway.advance(Duration::from_mins(1));
        }

        assert_eq!(gateway.upstream_requests(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_without_a_readable_reason_is_renewed_once() {
    for fault in FAULTS {
        let gateway = logging_in(move |path| {
            if path.starts_with("/v3/auth/tokens") {
                let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
                let answer = json!({ "token": { "expires_at": ends.to_string() } });
                return Reply::bytes(201, &[("x-subject-token", "issued")], answer.to_string());
            }
            fault.reply(401, &[])
        })
        .await;

        let answer = gateway.query(&screen_record("id")).await;

        assert_eq!(code(&answer), "UPSTREAM_UNAUTHENTICATED", "{fault:?}: {answer}");
        let seen = gateway.upstream.seen();
        let paths = seen.iter().map(|seen| seen.path.contains("/auth/tokens"));
        assert_eq!(paths.collect::<Vec<_>>(), [true, false, true, false], "{fault:?}");
    }
}

#[tokio::test]
async fn a_server_without_agency_is_recognised_although_the_body_cannot_be_read() {
    for fault in FAULTS {
        let upstream = ScriptedUpstream::start(move |seen| {
            if seen.path.ends_with("/api/token") {
                fault.reply(404, &[])
            } else {
                fault.reply(401, &[])
            }
        })
        .await;
        let endpoint = format!("http://{}", upstream.address).parse().unwrap();
        let gateway = Gateway::configured(upstream, |config| {
            config.upstream.credentials =
                CredentialsMode::Metadata(MetadataService { endpoint, project_id: None });
        })
        .await;

        let answer = gateway.query(&screen_record("id")).await;

        assert_eq!(code(&answer), "UPSTREAM_UNAUTHENTICATED", "{fault:?}: {answer}");
    }
}
