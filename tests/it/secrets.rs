//! Canaries: tokens and keys that must not appear in logs, errors, metrics or `Debug`.

use screen_record_gateway::config::{
    AccessKey, CredentialsMode, InboundAuth, JwksSource, JwtConfig,
};
use screen_record_gateway::domain::Secret;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::{
    AUDIENCE, Gateway, ISSUER, Issuer, RedisServer, Reply, ScriptedUpstream, Socket, TestFile,
    keep_log, key_set, log, logs_in, screen_record,
};

const TOKEN: &str = "canary-token-5f1c";
const ACCESS: &str = "CANARYAK000000000001";
const SECRET: &str = "canary-secret-9d2b";
const SECURITY_TOKEN: &str = "canary-security-7a3e";
const API_KEY: &str = "canary-api-key-4e8a";
const PASSWORD: &str = "canary-password-81f0";
const ISSUED: &str = "canary-issued-token-c3d7";
const LINK: &str = "https://obs.example/v.mp4?Signature=canary-link-77aa";

/// An upstream that repeats the whole request in its error message.
async fn blabbing() -> ScriptedUpstream {
    ScriptedUpstream::start(|seen| {
        let message =
            format!("Get secretKey failed,ak:{ACCESS},err:ak not exist {:?}", seen.headers);
        Reply::json(401, &json!({ "error_code": "APIGW.0301", "error_msg": message }))
    })
    .await
}

fn assert_clean(place: &str, text: &str) {
    for canary in [TOKEN, ACCESS, SECRET, SECURITY_TOKEN, API_KEY, PASSWORD, ISSUED, LINK] {
        assert!(!text.contains(canary), "{canary} is in {place}:\n{text}");
    }
}

#[tokio::test]
async fn a_callers_token_appears_in_no_log_error_metric_or_debug() {
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
async fn the_gateways_own_key_appears_in_no_log_error_metric_or_debug() {
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

#[tokio::test]
async fn a_password_and_its_token_appear_in_no_log_error_metric_or_debug() {
    keep_log();
    let upstream = ScriptedUpstream::start(|seen| {
        if seen.path.starts_with("/v3/auth") {
            let answer = r#"{"token":{"expires_at":"2099-01-01T00:00:00.000000Z"}}"#;
            return Reply::bytes(201, &[("x-subject-token", ISSUED)], answer);
        }
        let message = format!("{PASSWORD} {:?}", seen.headers);
        Reply::json(401, &json!({ "error_code": "APIGW.0301", "error_msg": message }))
    })
    .await;
    let endpoint = format!("http://{}", upstream.address).parse().unwrap();
    let gateway = Gateway::configured(upstream, |config| {
        logs_in(config, endpoint, PASSWORD);
        assert_clean("Debug", &format!("{config:?}"));
    })
    .await;

    let answer = gateway.query(&screen_record("id")).await;

    let seen = gateway.upstream.seen();
    assert_eq!(seen.last().unwrap().headers["x-auth-token"], ISSUED);
    assert_clean("an error", &answer.to_string());
    assert_clean("the metrics", &gateway.admin_get("/metrics").await.1);
    assert!(log().contains("answered"), "nothing was logged");
    assert_clean("the log", &log());
}

#[tokio::test]
async fn the_shared_caches_password_appears_in_no_log_error_metric_or_debug() {
    keep_log();
    let redis = RedisServer::start().await;
    let upstream = ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": "r" }))).await;
    let gateway = Gateway::configured(upstream, |config| {
        let mut shared = redis.config();
        // The server requires no password, and says so.
        shared.servers.password = Some(Secret::new(PASSWORD));
        config.cache.shared = Some(shared);
        config.cache.key_secret = Some(Secret::new(SECRET));
        assert_clean("Debug", &format!("{config:?}"));
    })
    .await;

    let answer = gateway.query(&screen_record("id")).await;

    assert_clean("an error", &answer.to_string());
    assert_clean("readiness", &gateway.admin_get("/readyz").await.1);
    assert_clean("the metrics", &gateway.admin_get("/metrics").await.1);
    assert!(log().contains("the shared cache cannot be reached"), "nothing was logged");
    assert_clean("the log", &log());
}

#[tokio::test]
async fn a_link_appears_in_its_answer_and_nowhere_else() {
    keep_log();
    let upstream = ScriptedUpstream::start(|seen| {
        if seen.path.ends_with("/download-address") {
            let link = json!({ "id": "linked", "download_url": LINK });
            return Reply::json(200, &json!({ "address": [link] }));
        }
        Reply::json(200, &json!({ "id": "linked" }))
    })
    .await;
    let gateway = Gateway::before(upstream).await;

    let document = screen_record("downloadUrl").replace(crate::support::RECORD, "linked");
    let answer = gateway.query(&document).await;

    assert_eq!(answer["data"]["screenRecord"]["downloadUrl"], LINK);
    assert_clean("the metrics", &gateway.admin_get("/metrics").await.1);
    assert_clean("the log", &log());
}

#[tokio::test]
async fn a_callers_key_appears_in_no_log_error_metric_or_debug_and_is_sent_nowhere() {
    keep_log();
    let sha256 = hex::encode(Sha256::digest(API_KEY));
    let keys = format!("[[key]]\nname = \"one\"\nsha256 = \"{sha256}\"\nprojects = [\"*\"]\n");
    let file = TestFile::of(&keys);
    let gateway = Gateway::configured(blabbing().await, |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
        assert_clean("Debug", &format!("{config:?}"));
    })
    .await;
    let document = screen_record("id");

    let bearer = format!("Bearer {API_KEY}");
    let (by_header, by_bearer) =
        ([("x-api-key", API_KEY), ("x-auth-token", TOKEN)], [("authorization", &*bearer)]);
    let by_header = gateway.post(&document, &by_header).await;
    let by_bearer = gateway.post(&document, &by_bearer).await;
    let wrong = gateway.post(&document, &[("x-api-key", &API_KEY.to_uppercase())]).await;
    let payload = json!({ "X-API-Key": API_KEY, "X-Auth-Token": TOKEN });
    let (mut socket, _) = Socket::showing(&gateway, payload).await;
    socket.subscribe("1", &document).await;
    let by_socket = socket.hear().await;

    assert_eq!(wrong.status, 401);
    for answer in [&by_header.json, &by_bearer.json, &wrong.json, by_socket.json()] {
        assert_clean("an error", &answer.to_string());
    }
    for seen in gateway.upstream.seen() {
        assert!(!format!("{:?}", seen.headers).contains(API_KEY), "the key was sent upstream");
    }
    assert_clean("the metrics", &gateway.admin_get("/metrics").await.1);
    assert!(log().contains("answered"), "nothing was logged");
    assert_clean("the log", &log());
    assert!(!log().contains(&sha256), "the hash is in the log:\n{}", log());
}

#[tokio::test]
async fn a_callers_signed_token_appears_in_no_log_error_metric_or_debug() {
    keep_log();
    let issuer = Issuer::new("one");
    let file = TestFile::of(&key_set(&[&issuer]).to_string());
    let gateway = Gateway::configured(blabbing().await, |config| {
        let jwks = JwksSource::File(file.0.clone());
        config.inbound.auth = InboundAuth::Jwt(JwtConfig::new(jwks, ISSUER, AUDIENCE));
    })
    .await;
    let good = issuer.token(&json!({}));
    let bad = issuer.token(&json!({ "aud": "another" }));

    let mut answers = Vec::new();
    for token in [&good, &bad] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("x-auth-token", TOKEN)];
        answers.push(gateway.post(&screen_record("id"), &headers).await);
    }

    assert_eq!([answers[0].status, answers[1].status], [200, 401]);
    let metrics = gateway.admin_get("/metrics").await.1;
    for part in good.split('.').chain(bad.split('.')) {
        for (place, text) in [
            ("an error", answers[0].json.to_string()),
            ("an error", answers[1].json.to_string()),
            ("the metrics", metrics.clone()),
            ("the log", log()),
            ("what was sent upstream", format!("{:?}", gateway.upstream.seen())),
        ] {
            assert!(!text.contains(part), "{part} is in {place}:\n{text}");
        }
    }
    assert!(log().contains("answered"), "nothing was logged");
}
