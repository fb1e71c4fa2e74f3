//! Authentication of callers, and the projects that each may see.

use std::time::Duration;

use ring::hmac;
use screen_record_gateway::app::App;
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{
    AccessKey, Config, CredentialsMode, InboundAuth, JwksSource, JwtConfig,
};
use screen_record_gateway::domain::{ProjectId, Secret};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{
    AUDIENCE, Gateway, HttpAnswer, ISSUER, Issuer, PROJECT, RECORD, Reply, Said, ScriptedUpstream,
    Socket, TOKEN, TestFile, base64url, config_for, keep_log, key_set, log, message, screen_record,
    seconds_from_now,
};

const KEY: &str = "key-of-one";
const OTHER_KEY: &str = "key-of-another";

/// A file with keys: the key, its name and its projects.
fn keys(keys: &[(&str, &str, &[&str])]) -> String {
    let key = |(key, name, projects): &(&str, &str, &[&str])| {
        let sha256 = hex::encode(Sha256::digest(key));
        format!("[[key]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\nprojects = {projects:?}\n")
    };
    keys.iter().map(key).collect()
}

fn everything() -> String {
    keys(&[(KEY, "one", &["*"])])
}

async fn upstream() -> ScriptedUpstream {
    ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await
}

fn sign(config: &mut Config) {
    config.upstream.credentials = CredentialsMode::AkSk(AccessKey {
        access: Secret::new("FAKEAK0EXAMPLE000001"),
        secret: Secret::new("fakeSK/Example+Secret=Key~0000000000000001"),
        security_token: None,
        project_id: None,
    });
}

/// A gateway that requires keys of a file, and signs upstream calls with its own.
async fn with_keys(file: &TestFile) -> Gateway {
    Gateway::configured(upstream().await, |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
        config.subscriptions.poll_interval = Duration::from_millis(10);
        sign(config);
    })
    .await
}

fn jwt(jwks: JwksSource) -> InboundAuth {
    InboundAuth::Jwt(JwtConfig::new(jwks, ISSUER, AUDIENCE))
}

/// A gateway that requires tokens of issuers whose keys are in a file.
async fn with_tokens(file: &TestFile) -> Gateway {
    Gateway::configured(upstream().await, |config| {
        config.inbound.auth = jwt(JwksSource::File(file.0.clone()));
        sign(config);
    })
    .await
}

/// A gateway that requires tokens of issuers whose keys are at an address.
async fn with_keys_at(keys: &ScriptedUpstream) -> Gateway {
    let address = format!("http://{}/keys", keys.address).parse().unwrap();
    Gateway::configured(upstream().await, |config| {
        config.inbound.auth = jwt(JwksSource::Address(address));
        sign(config);
    })
    .await
}

async fn by_token(gateway: &Gateway, token: &str) -> HttpAnswer {
    gateway.post(&screen_record("id"), &[("authorization", &format!("Bearer {token}"))]).await
}

async fn by_key(gateway: &Gateway, key: &str) -> HttpAnswer {
    gateway.post(&screen_record("id"), &[("x-api-key", key)]).await
}

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]["code"]
}

fn assert_let_in(answer: &HttpAnswer) {
    assert_eq!((answer.status, &answer.json["data"]["screenRecord"]["id"]), (200, &json!(RECORD)));
}

fn assert_turned_away(answer: &HttpAnswer, challenge: &str) {
    assert_eq!(answer.status, 401, "{}", answer.json);
    assert_eq!(
        answer.json["errors"][0]["extensions"],
        json!({ "code": "UNAUTHENTICATED", "retryable": false })
    );
    assert_eq!(answer.json.get("data"), None);
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    let realm = "Bearer realm=\"screen-record-gateway\"";
    assert_eq!(answer.header("www-authenticate"), format!("{realm}{challenge}"));
}

/// Repeats a request until the answer has a status, after a file has changed.
async fn until_status(gateway: &Gateway, key: &str, status: u16) {
    let asking = async {
        while by_key(gateway, key).await.status != status {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.expect("it never came");
}

#[tokio::test]
async fn a_valid_key_is_accepted_in_either_header() {
    let file = TestFile::of(&everything());
    let gateway = with_keys(&file).await;

    let by_header = by_key(&gateway, KEY).await;
    let by_bearer = by_token(&gateway, KEY).await;
    let both = [("x-api-key", KEY), ("authorization", "Bearer nonsense")];
    let by_both = gateway.post(&screen_record("id"), &both).await;

    for answer in [by_header, by_bearer, by_both] {
        assert_let_in(&answer);
    }
}

#[tokio::test]
async fn a_missing_or_unknown_key_is_401() {
    let file = TestFile::of(&everything());
    let gateway = with_keys(&file).await;
    let unknown = ", error=\"invalid_token\", error_description=\"the key is not known\"";
    let hash = hex::encode(Sha256::digest(KEY));
    for (headers, challenge) in [
        (&[][..], ""),
        (&[("x-auth-token", TOKEN)], ""),
        (&[("authorization", "Basic a2V5LW9mLW9uZQ==")], ""),
        (&[("x-api-key", "  ")], ""),
        (&[("x-api-key", "nonsense")], unknown),
        (&[("x-api-key", &hash)], unknown),
        (&[("authorization", "Bearer nonsense")], unknown),
        (&[("x-api-key", "nonsense"), ("authorization", "Bearer key-of-one")], unknown),
    ] {
        let answer = gateway.post(&screen_record("id"), headers).await;

        assert_turned_away(&answer, challenge);
    }
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn without_a_key_get_event_stream_and_bad_json_are_401() {
    let file = TestFile::of(&everything());
    let gateway = with_keys(&file).await;
    let http = gateway.http();

    let by_get = http.get(format!("{}?query={{__typename}}", gateway.url()));
    let as_stream = http
        .get(format!("{}?query={{__typename}}", gateway.url()))
        .header("accept", "text/event-stream");
    let nonsense = http.post(gateway.url()).body("nonsense");

    for request in [by_get, as_stream, nonsense] {
        let answer = HttpAnswer::of(request.send().await.unwrap()).await;
        assert_turned_away(&answer, "");
    }
}

#[tokio::test]
async fn graphiql_and_preflights_need_no_key() {
    let file = TestFile::of(&everything());
    let gateway = Gateway::configured(upstream().await, |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
        config.graphql.allow_origins = vec!["https://console.example.com".to_owned()];
    })
    .await;
    let http = gateway.http();

    let page = http.get(gateway.url()).header("accept", "text/html").send().await.unwrap();
    let options = http.request(reqwest::Method::OPTIONS, gateway.url()).send().await.unwrap();
    let question = http
        .request(reqwest::Method::OPTIONS, gateway.url())
        .header("origin", "https://console.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-api-key");
    let question = question.send().await.unwrap();

    assert_eq!((page.status().as_u16(), options.status().as_u16()), (200, 200));
    assert!(page.text().await.unwrap().contains("GraphiQL"));
    assert_eq!(question.status().as_u16(), 200);
    let allowed = question.headers()["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.split(',').any(|name| name.trim() == "x-api-key"), "{allowed}");
}

#[tokio::test]
async fn under_passthrough_a_key_for_the_gateway_is_not_sent_upstream() {
    let file = TestFile::of(&everything());
    let gateway = Gateway::configured(upstream().await, |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
    })
    .await;
    let bearer = ("authorization", "Bearer key-of-one");

    let without = gateway.post(&screen_record("id"), &[bearer]).await;
    let before = gateway.upstream_requests();
    let with = gateway.post(&screen_record("id"), &[bearer, ("x-auth-token", TOKEN)]).await;

    assert_eq!((without.status, code(&without.json)), (200, &json!("UNAUTHENTICATED")));
    assert_eq!(before, 0);
    assert_let_in(&with);
    let seen = &gateway.upstream.seen()[0].headers;
    assert_eq!(seen["x-auth-token"], TOKEN);
    assert!(!format!("{seen:?}").contains(KEY), "{seen:?}");
}

#[tokio::test]
async fn a_key_removed_from_the_file_is_refused_and_a_broken_file_changes_nothing() {
    let file = TestFile::of(&everything());
    let gateway = with_keys(&file).await;

    let other = keys(&[(OTHER_KEY, "another", &["*"])]);
    file.write(&other);
    until_status(&gateway, KEY, 401).await;
    file.write(
        &format!("{other}[[key]]\n{}", everything().replace("[[key]]", "")).replace("sha", ""),
    );
    keep_log();
    let warned = async {
        while !log().contains("the settings cannot be used: everything stays as it was") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), warned).await.expect("no warning was logged");

    assert_let_in(&by_key(&gateway, OTHER_KEY).await);
    assert_eq!(by_key(&gateway, KEY).await.status, 401);
}

#[tokio::test]
async fn a_wrong_key_file_stops_the_start_with_file_line_and_what_is_allowed() {
    let file = TestFile::of("[[key]]\nname = \"one\"\nsha256 = \"key-of-one\"\n");
    let mut config = config_for("127.0.0.1:1".parse().unwrap());
    config.inbound.auth = InboundAuth::ApiKey(file.0.clone());

    let refusal = App::build(&config, Clock::default()).await.err().unwrap().to_string();

    let start = format!("inbound.api_keys_file {} cannot be used: line 1: ", file.0.display());
    assert!(refusal.starts_with(&start), "{refusal}");
    assert!(refusal.contains("projects") && !refusal.contains(KEY), "{refusal}");
}

#[tokio::test]
async fn a_problem_of_a_key_file_has_its_line_and_what_is_allowed() {
    let hash = hex::encode(Sha256::digest("secret"));
    let good = format!("name = \"n\"\nsha256 = \"{hash}\"\nprojects = [\"*\"]\n");
    let values = "must be a list of texts, each of 1 to 255 characters";
    let wrong_type = "a value has the wrong type";
    let with = |line: &str| format!("[[key]]\n{good}{line}\n");
    for (content, expected) in [
        ("[[key]\n".to_owned(), "line 1: "),
        (String::new(), "line 1: there is no key"),
        ("[keys]\n".to_owned(), "line 1: unknown field `keys`"),
        ("key = 1\n".to_owned(), &format!("line 1: {wrong_type}, expected a sequence: ")),
        (
            "\nkey = \"secret\"\n".to_owned(),
            &format!("line 2: {wrong_type}, expected a sequence: "),
        ),
        (
            "\nkey = \"a, expected secret\"\n".to_owned(),
            &format!("line 2: {wrong_type}, expected a sequence: "),
        ),
        (
            with("").replace(&format!("\"{hash}\""), "1"),
            &format!("line 3: {wrong_type}, expected a string: "),
        ),
        (with(&format!("[[key]]\n{good}")), "line 5: name or sha256 of \"n\" is another"),
        (
            with(&format!("[[key]]\n{}", good.replace("\"n\"", "\"m\""))),
            "line 5: name or sha256 of \"m\" is another",
        ),
        (with("role = 1"), "line 5: unknown field `role`, expected one of `name`, `sha256`"),
        (with("").replace("\"n\"", "\"a b\""), "line 1: name must be a text of 1 to 64 letters"),
        (
            with("").replace(&hash, "secret"),
            "line 1: sha256 must be the key's SHA-256, 64 hexadecimal digits",
        ),
        (with("").replace("projects = [\"*\"]\n", ""), "line 1: missing field `projects`"),
        (with("").replace("[\"*\"]", "[]"), "line 1: projects must be a list of project ids"),
        (
            with("").replace("[\"*\"]", "\"secret\""),
            &format!("line 4: {wrong_type}, expected a sequence: "),
        ),
        (with("").replace("[\"*\"]", "[\"*\", \"p\"]"), "line 1: projects must be a list"),
        (with("usernames = \"secret\""), &format!("line 5: {wrong_type}, expected a sequence: ")),
        (with("usernames = [\"\"]"), &format!("line 1: usernames {values}")),
        (with("desktop_ids = [\"\"]"), &format!("line 1: desktop_ids {values}")),
        (with("desktop_pool_ids = [1]"), &format!("line 5: {wrong_type}, expected a string: ")),
        (with("desktop_pool_ids = [\"\\n\"]"), &format!("line 1: desktop_pool_ids {values}")),
        (
            with("permissions = [\"operations\"]"),
            "line 1: permissions must be a list of read, operations and download, with read",
        ),
        (with("permissions = [\"read\", \"secret\"]"), "line 1: permissions must be a list"),
    ] {
        let file = TestFile::of(&content);
        let mut config = config_for("127.0.0.1:1".parse().unwrap());
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());

        let refusal = App::build(&config, Clock::default()).await.err().unwrap().to_string();

        let path = file.0.display();
        let start = format!("inbound.api_keys_file {path} cannot be used: {expected}");
        assert!(refusal.starts_with(&start), "{refusal} does not start with {start}");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}

#[tokio::test]
async fn another_callers_project_is_forbidden_everywhere_without_a_call() {
    let file = TestFile::of(&keys(&[(KEY, "one", &["another-project"])]));
    let gateway = with_keys(&file).await;
    let entity = format!(
        r#"{{ _entities(representations: [{{ __typename: "ScreenRecord", projectId: "{PROJECT}",
        id: "{RECORD}" }}]) {{ ... on ScreenRecord {{ id }} }} }}"#
    );
    let watching = format!("subscription {}", screen_record("id"));

    let list = format!(r#"{{ screenRecords(projectId: "{PROJECT}") {{ totalCount }} }}"#);

    let field = by_key(&gateway, KEY).await.json;
    let list = gateway.post(&list, &[("x-api-key", KEY)]).await.json;
    let entity = gateway.post(&entity, &[("x-api-key", KEY)]).await.json;
    let (mut socket, acknowledged) = Socket::showing(&gateway, json!({ "x-api-key": KEY })).await;
    socket.subscribe("1", &watching).await;
    let watched = socket.hear().await;

    assert_eq!(acknowledged.json()["type"], "connection_ack");
    for answer in [&field, &list, &entity, &watched.json()["payload"]] {
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions, &json!({ "code": "FORBIDDEN", "retryable": false }), "{answer}");
    }
    assert_eq!(field["data"], json!({ "screenRecord": null }));
    assert_eq!(entity["data"], json!({ "_entities": [null] }));
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn a_project_that_is_not_served_is_forbidden_for_every_caller() {
    let file = TestFile::of(&everything());
    let gateway = Gateway::configured(upstream().await, |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
        config.inbound.projects = Some([ProjectId::parse("another").unwrap()].into());
        sign(config);
    })
    .await;

    let answer = by_key(&gateway, KEY).await;

    assert_eq!(code(&answer.json), "FORBIDDEN");
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn callers_share_cached_records_only_of_projects_that_each_may_see() {
    let file = TestFile::of(&keys(&[
        ("first", "first", &[PROJECT]),
        ("second", "second", &[PROJECT, "another"]),
        ("third", "third", &["another"]),
    ]));
    let gateway = with_keys(&file).await;

    let first = by_key(&gateway, "first").await;
    let second = by_key(&gateway, "second").await;
    let third = by_key(&gateway, "third").await;

    assert_let_in(&first);
    assert_let_in(&second);
    assert!(second.header("cache-status").contains("hit"), "{}", second.header("cache-status"));
    assert_eq!(code(&third.json), "FORBIDDEN");
    assert_eq!(gateway.upstream_requests(), 1);
}

#[tokio::test]
async fn a_cached_response_is_only_for_callers_who_may_see_its_project() {
    let file = TestFile::of(&keys(&[(KEY, "one", &[PROJECT]), (OTHER_KEY, "other", &["b"])]));
    let rows = [json!({ "id": "r" })];
    let upstream = ScriptedUpstream::start(move |seen| seen.page_of("screen_records", &rows)).await;
    let gateway = Gateway::configured(upstream, |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
        sign(config);
    })
    .await;
    let list = format!(r#"{{ screenRecords(projectId: "{PROJECT}") {{ nodes {{ id }} }} }}"#);
    let first = gateway.post(&list, &[("x-api-key", KEY)]).await.json;
    // The second answer to a request is cached.
    gateway.post(&list, &[("x-api-key", KEY)]).await;

    let strangers = gateway.post(&list, &[("x-api-key", OTHER_KEY)]).await.json;

    assert_eq!(code(&strangers), "FORBIDDEN");
    assert_eq!(gateway.post(&list, &[("x-api-key", KEY)]).await.json, first);
    gateway.until_metric("gateway_cache_answers_reused_total 1").await;
}

#[tokio::test]
async fn the_log_names_caller_project_and_outcome_of_each_request() {
    keep_log();
    let file = TestFile::of(&keys(&[(KEY, "reporting", &["another-project"])]));
    let gateway = with_keys(&file).await;

    by_key(&gateway, KEY).await;
    let (mut socket, _) = Socket::showing(&gateway, json!({ "x-api-key": KEY })).await;
    socket.subscribe("1", &format!("subscription {}", screen_record("id"))).await;
    socket.hear().await;
    socket.hear().await;

    let log = log();
    for said in ["answered", "stream ended"] {
        let line = log.lines().find(|line| line.contains("INFO") && line.contains(said)).unwrap();
        let projects = format!(r#"projects="{PROJECT}" regions="test-1""#);
        for part in [r#"caller.name="reporting""#, &projects, "\"FORBIDDEN\""] {
            assert!(line.contains(part), "{part} is not in: {line}");
        }
    }
}

#[tokio::test]
async fn a_valid_token_is_accepted_and_sees_the_projects_that_it_names() {
    let issuer = Issuer::new("one");
    let file = TestFile::of(&key_set(&[&issuer]).to_string());
    let gateway = with_tokens(&file).await;
    for (claims, is_let_in) in [
        (json!({}), true),
        (json!({ "projects": PROJECT }), true),
        (json!({ "projects": ["another", PROJECT] }), true),
        (json!({ "aud": ["another", AUDIENCE] }), true),
        (json!({ "nbf": seconds_from_now(-5), "iat": seconds_from_now(-5) }), true),
        (json!({ "projects": ["another"] }), false),
        (json!({ "projects": null }), false),
    ] {
        let answer = by_token(&gateway, &issuer.token(&claims)).await;

        if is_let_in {
            assert_let_in(&answer);
        } else {
            assert_eq!((answer.status, code(&answer.json)), (200, &json!("FORBIDDEN")), "{claims}");
        }
    }
    let unnamed = issuer.token_with(&json!({ "alg": "ES256" }), &json!({}));
    assert_let_in(&by_token(&gateway, &unnamed).await);
    assert_turned_away(&gateway.post(&screen_record("id"), &[]).await, "");
}

#[tokio::test]
async fn an_invalid_token_is_refused_with_the_reason() {
    let (issuer, impostor) = (Issuer::new("one"), Issuer::new("one"));
    let file = TestFile::of(&key_set(&[&issuer]).to_string());
    let gateway = with_tokens(&file).await;
    let good = issuer.token(&json!({}));
    let critical = json!({ "alg": "ES256", "kid": "one", "crit": ["b64"], "b64": false });
    for (token, reason) in [
        (issuer.token(&json!({ "exp": seconds_from_now(-61) })), "the token has expired"),
        (issuer.token(&json!({ "exp": null })), "the token has no exp, iss or aud"),
        (issuer.token(&json!({ "exp": "never" })), "the token has no exp, iss or aud"),
        (issuer.token(&json!({ "nbf": seconds_from_now(120) })), "the token is not good yet"),
        (issuer.token(&json!({ "nbf": "later" })), "the token does not say when it begins (nbf)"),
        (issuer.token(&json!({ "aud": "another" })), "the token is for another audience (aud)"),
        (issuer.token(&json!({ "aud": null })), "the token has no exp, iss or aud"),
        (
            issuer.token(&json!({ "iss": "https://another" })),
            "the token is of another issuer (iss)",
        ),
        (issuer.token(&json!({ "iss": null })), "the token has no exp, iss or aud"),
        (issuer.token(&json!({ "iss": 1 })), "the token has no exp, iss or aud"),
        (issuer.token(&json!({ "sub": null })), "the token has no subject (sub)"),
        (impostor.token(&json!({})), "the token is not signed with a key that is known here"),
        (
            issuer.token_with(&critical, &json!({})),
            "the token has critical headers, which are not known",
        ),
        (
            good.rsplit_once('.').unwrap().0.to_owned() + ".",
            "the token is not signed with a key that is known here",
        ),
        (KEY.to_owned(), "the token is no JSON Web Token with a signature that is known here"),
    ] {
        let answer = by_token(&gateway, &token).await;

        let challenge = format!(", error=\"invalid_token\", error_description=\"{reason}\"");
        assert_turned_away(&answer, &challenge);
    }
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn tokens_signed_with_a_public_key_as_secret_or_not_at_all_are_refused() {
    let issuer = Issuer::new("one");
    let jwks = key_set(&[&issuer]);
    let file = TestFile::of(&jwks.to_string());
    let gateway = with_tokens(&file).await;
    let jwk = jwks["keys"][0].to_string();
    let mut forged = Vec::new();
    for secret in [issuer.point(), jwk.as_bytes(), jwks.to_string().as_bytes()] {
        let message = message(&json!({ "alg": "HS256", "kid": "one" }), &json!({}));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let signature = hmac::sign(&secret, message.as_bytes());
        forged.push(format!("{message}.{}", base64url(signature.as_ref())));
    }
    for algorithm in ["none", "None", "NONE"] {
        forged.push(message(&json!({ "alg": algorithm, "kid": "one" }), &json!({})) + ".");
    }

    for token in &forged {
        let answer = by_token(&gateway, token).await;

        assert_eq!(
            (answer.status, code(&answer.json)),
            (401, &json!("UNAUTHENTICATED")),
            "{token}"
        );
    }
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn a_token_is_accepted_until_its_expiry_plus_the_leeway() {
    let issuer = Issuer::new("one");
    let file = TestFile::of(&key_set(&[&issuer]).to_string());
    let gateway = with_tokens(&file).await;
    let token = issuer.token(&json!({ "exp": seconds_from_now(60) }));

    let first = by_token(&gateway, &token).await.status;
    gateway.advance(Duration::from_secs(90));
    let within = by_token(&gateway, &token).await.status;
    gateway.advance(Duration::from_secs(31));
    let after = by_token(&gateway, &token).await.status;

    assert_eq!((first, within, after), (200, 200, 401));
}

#[tokio::test]
async fn an_unknown_key_causes_one_fetch_of_the_keys_in_30_seconds() {
    let (old, new, unknown) = (Issuer::new("old"), Issuer::new("new"), Issuer::new("unknown"));
    let set = key_set(&[&old]);
    let keys = ScriptedUpstream::start(move |_| Reply::json(200, &set)).await;
    let gateway = with_keys_at(&keys).await;
    let known = by_token(&gateway, &old.token(&json!({}))).await.status;
    let set = key_set(&[&old, &new]);
    keys.answer_with(move |_| Reply::json(200, &set));

    let mut at_once = Vec::new();
    for _ in 0..5 {
        at_once.push(by_token(&gateway, &new.token(&json!({}))).await.status);
    }
    let fetches_at_once = keys.requests();
    gateway.advance(Duration::from_secs(31));
    let later = by_token(&gateway, &new.token(&json!({}))).await.status;
    let fetches_later = keys.requests();
    for _ in 0..5 {
        at_once.push(by_token(&gateway, &unknown.token(&json!({}))).await.status);
    }

    assert_eq!((known, later), (200, 200));
    assert_eq!(at_once, [401; 10]);
    assert_eq!((fetches_at_once, fetches_later, keys.requests()), (1, 2, 2));
}

#[tokio::test]
async fn a_key_without_an_id_is_tried_for_a_token_that_names_one() {
    let (issuer, impostor) = (Issuer::new("one"), Issuer::new("one"));
    let mut set = key_set(&[&issuer]);
    set["keys"][0].as_object_mut().unwrap().remove("kid");
    let keys = ScriptedUpstream::start(move |_| Reply::json(200, &set)).await;
    let gateway = with_keys_at(&keys).await;
    gateway.advance(Duration::from_secs(31));

    let good = by_token(&gateway, &issuer.token(&json!({}))).await;
    let fetches = keys.requests();
    let forged = by_token(&gateway, &impostor.token(&json!({}))).await;

    assert_let_in(&good);
    assert_eq!(fetches, 1, "a key that fits was there: nothing had to be fetched");
    assert_eq!(forged.status, 401);
}

#[tokio::test]
async fn a_new_key_is_fetched_for_a_token_that_only_keys_without_an_id_could_have_signed() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let without_ids = |issuer: &Issuer| {
        let mut set = key_set(&[issuer]);
        set["keys"][0].as_object_mut().unwrap().remove("kid");
        set
    };
    let (old_set, new_set) = (without_ids(&old), without_ids(&new));
    let keys = ScriptedUpstream::start(move |_| Reply::json(200, &old_set)).await;
    let gateway = with_keys_at(&keys).await;
    keys.answer_with(move |_| Reply::json(200, &new_set));
    gateway.advance(Duration::from_secs(31));

    let unnamed = new.token_with(&json!({ "alg": "ES256" }), &json!({}));
    let answer = by_token(&gateway, &unnamed).await;

    assert_let_in(&answer);
    assert_eq!(keys.requests(), 2);
    assert_let_in(&by_token(&gateway, &new.token(&json!({}))).await);
}

#[tokio::test]
async fn callers_with_a_new_key_wait_for_one_fetch_of_the_keys() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let set = key_set(&[&old]);
    let keys = ScriptedUpstream::start(move |_| Reply::json(200, &set)).await;
    let gateway = with_keys_at(&keys).await;
    let set = key_set(&[&new]);
    keys.answer_with(move |_| Reply::json(200, &set));
    gateway.advance(Duration::from_secs(31));
    keys.hold();

    let token = new.token(&json!({}));
    let asking = futures_util::future::join_all((0..8).map(|_| by_token(&gateway, &token)));
    let (answers, ()) = tokio::join!(asking, async {
        keys.arrived(2).await;
        gateway.in_flight(8).await;
        keys.release();
    });

    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(keys.requests(), 2);
    assert_eq!(by_token(&gateway, &old.token(&json!({}))).await.status, 401);
}

#[tokio::test]
async fn keys_are_fetched_every_ten_minutes_and_stay_in_use_while_that_fails() {
    let issuer = Issuer::new("one");
    let set = key_set(&[&issuer]);
    let keys = ScriptedUpstream::start(move |_| Reply::json(200, &set)).await;
    let gateway = with_keys_at(&keys).await;
    let long = issuer.token(&json!({ "exp": seconds_from_now(86_400) }));
    for (fetches, reply) in [
        (2, Reply::json(503, &json!({}))),
        (3, Reply::CutMidway),
        (4, Reply::json(200, &json!({ "keys": [] }))),
        (5, Reply::bytes(200, &[], "x".repeat(1024 * 1024 + 1))),
        (6, Reply::bytes(302, &[("location", "/keys")], "")),
    ] {
        keys.answer_with(move |_| reply.clone());

        gateway.advance(Duration::from_mins(10));
        keys.arrived(fetches).await;

        assert_let_in(&by_token(&gateway, &long).await);
    }
    assert_eq!(keys.requests(), 6);
    assert_eq!(gateway.admin_get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_token_that_was_accepted_is_refused_once_its_key_is_gone() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let set = key_set(&[&old]);
    let keys = ScriptedUpstream::start(move |_| Reply::json(200, &set)).await;
    let gateway = with_keys_at(&keys).await;
    let token = old.token(&json!({ "exp": seconds_from_now(86_400) }));
    let [first, again] = [by_token(&gateway, &token).await, by_token(&gateway, &token).await];
    let set = key_set(&[&new]);
    keys.answer_with(move |_| Reply::json(200, &set));

    gateway.advance(Duration::from_mins(10));
    let refused = async {
        while by_token(&gateway, &token).await.status != 401 {
            tokio::task::yield_now().await;
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await;

    assert_eq!((first.status, again.status), (200, 200));
    assert!(refused.is_ok(), "it was accepted without its key");
}

#[tokio::test]
async fn without_token_keys_requests_are_503_until_they_arrive() {
    let issuer = Issuer::new("one");
    let keys = ScriptedUpstream::start(|_| Reply::json(500, &json!({}))).await;
    let gateway = with_keys_at(&keys).await;
    let token = issuer.token(&json!({}));

    let before = by_token(&gateway, &token).await;
    let (unready, why) = gateway.admin_get("/readyz").await;
    let set = key_set(&[&issuer]);
    keys.answer_with(move |_| Reply::json(200, &set));
    gateway.advance(Duration::from_secs(31));
    let after = by_token(&gateway, &token).await;

    assert_eq!((before.status, code(&before.json)), (503, &json!("OVERLOADED")));
    assert_eq!((unready, why.as_str()), (503, "there are no keys of inbound.jwt_jwks yet\n"));
    assert_let_in(&after);
    assert_eq!(gateway.admin_get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_socket_authenticates_by_its_first_message_or_its_headers() {
    let file = TestFile::of(&everything());
    let gateway = with_keys(&file).await;

    for payload in [json!({ "X-API-Key": KEY }), json!({ "Authorization": "Bearer key-of-one" })] {
        let (mut socket, said) = Socket::showing(&gateway, payload).await;
        assert_eq!(said.json()["type"], "connection_ack");
        socket.subscribe("1", &screen_record("id")).await;
        assert_eq!(socket.hear().await.json()["payload"]["data"]["screenRecord"]["id"], RECORD);
    }
    let mut by_header = Socket::open(&gateway, &[("x-api-key", KEY)]).await.ok().unwrap();
    by_header.say(json!({ "type": "connection_init" })).await;
    assert_eq!(by_header.hear().await.json()["type"], "connection_ack");
}

#[tokio::test]
async fn a_socket_without_a_valid_key_is_closed_with_4401_or_4403() {
    let file = TestFile::of(&everything());
    let gateway = with_keys(&file).await;

    let (_, missing) = Socket::showing(&gateway, Value::Null).await;
    let (_, wrong) = Socket::showing(&gateway, json!({ "x-api-key": "nonsense" })).await;
    let wrong_header = Socket::open(&gateway, &[("x-api-key", "nonsense")]).await.err();
    let mut hasty = Socket::open(&gateway, &[("x-api-key", KEY)]).await.ok().unwrap();
    hasty.subscribe("1", &screen_record("id")).await;

    assert_eq!(missing, Said::Closed(4401, "Unauthorized".to_owned()));
    assert_eq!(wrong, Said::Closed(4403, "Forbidden".to_owned()));
    assert_eq!(wrong_header, Some(401));
    assert_eq!(hasty.hear().await, Said::Closed(4401, "Unauthorized".to_owned()));
    assert_eq!(gateway.upstream_requests(), 0);
}

#[tokio::test]
async fn a_socket_is_closed_when_its_key_is_removed() {
    let file = TestFile::of(&everything());
    let gateway = with_keys(&file).await;
    let (mut socket, said) = Socket::showing(&gateway, json!({ "x-api-key": KEY })).await;
    assert_eq!(said.json()["type"], "connection_ack");

    file.write(&keys(&[(OTHER_KEY, "another", &["*"])]));

    let said = tokio::time::timeout(Duration::from_secs(10), socket.hear()).await;
    assert_eq!(said.expect("it stays open"), Said::Closed(4403, "Forbidden".to_owned()));
}

#[tokio::test]
async fn an_event_stream_ends_with_the_token_it_was_opened_with() {
    let issuer = Issuer::new("one");
    let file = TestFile::of(&key_set(&[&issuer]).to_string());
    let gateway = with_tokens(&file).await;
    let document = format!("subscription {}", screen_record("id"));
    let request = gateway
        .http()
        .post(gateway.url())
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .header("authorization", format!("Bearer {}", issuer.token(&json!({}))))
        .body(json!({ "query": document }).to_string());
    let mut stream = request.send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());

    gateway.advance(Duration::from_secs(661));

    let ends = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), ends).await.expect("it goes on");
}

#[tokio::test]
async fn sockets_are_limited_for_each_caller_separately() {
    let file = TestFile::of(&keys(&[(KEY, "one", &["*"]), (OTHER_KEY, "another", &["*"])]));
    let gateway = Gateway::configured(upstream().await, |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
        config.subscriptions.max_connections_per_caller = 1;
        sign(config);
    })
    .await;
    let (socket, first) = Socket::showing(&gateway, json!({ "x-api-key": KEY })).await;

    let (_, second) = Socket::showing(&gateway, json!({ "x-api-key": KEY })).await;
    let stream = gateway
        .post(&screen_record("id"), &[("x-api-key", KEY), ("accept", "text/event-stream")])
        .await;
    let (_, of_another) = Socket::showing(&gateway, json!({ "x-api-key": OTHER_KEY })).await;
    drop(socket);
    let free_again = async {
        while Socket::showing(&gateway, json!({ "x-api-key": KEY })).await.1 == second {
            tokio::task::yield_now().await;
        }
    };

    assert_eq!(first.json()["type"], "connection_ack");
    let reason = "Too many connections: subscriptions.max_connections_per_caller allows 1";
    assert_eq!(second, Said::Closed(4429, reason.to_owned()));
    assert_eq!((stream.status, code(&stream.json)), (429, &json!("RATE_LIMITED")));
    assert_eq!(of_another.json()["type"], "connection_ack");
    tokio::time::timeout(Duration::from_secs(10), free_again).await.expect("it is never free");
}

/// A gateway with keys, one connection for each caller, and two connections in all.
async fn crowded(file: &TestFile) -> Gateway {
    Gateway::configured(upstream().await, |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
        config.subscriptions.max_connections_per_caller = 1;
        config.limits.max_in_flight = 2;
        sign(config);
    })
    .await
}

#[tokio::test]
async fn a_socket_with_a_valid_key_in_its_headers_is_not_limited_with_unauthenticated_ones() {
    let file = TestFile::of(&keys(&[(KEY, "one", &["*"]), (OTHER_KEY, "another", &["*"])]));
    let gateway = crowded(&file).await;
    let unknown = [Socket::open(&gateway, &[]).await, Socket::open(&gateway, &[]).await];

    let third_unknown = Socket::open(&gateway, &[]).await.err();
    let mut known = Socket::open(&gateway, &[("x-api-key", KEY)]).await.ok().unwrap();
    let second_of_the_caller = Socket::open(&gateway, &[("x-api-key", KEY)]).await.err();
    known.say(json!({ "type": "connection_init" })).await;

    assert!(unknown.iter().all(Result::is_ok));
    assert_eq!((third_unknown, second_of_the_caller), (Some(503), Some(429)));
    assert_eq!(known.hear().await.json()["type"], "connection_ack");
}

#[tokio::test]
async fn a_socket_counts_for_the_caller_of_its_first_message_not_of_its_headers() {
    let file = TestFile::of(&keys(&[(KEY, "one", &["*"]), (OTHER_KEY, "another", &["*"])]));
    let gateway = crowded(&file).await;
    let mut socket = Socket::open(&gateway, &[("x-api-key", KEY)]).await.ok().unwrap();
    let init = json!({ "type": "connection_init", "payload": { "x-api-key": OTHER_KEY } });
    socket.say(init).await;
    assert_eq!(socket.hear().await.json()["type"], "connection_ack");

    let (_, of_the_other) = Socket::showing(&gateway, json!({ "x-api-key": OTHER_KEY })).await;
    let (_own, of_the_first) = Socket::showing(&gateway, json!({ "x-api-key": KEY })).await;

    assert!(matches!(of_the_other, Said::Closed(4429, _)), "{of_the_other:?}");
    assert_eq!(of_the_first.json()["type"], "connection_ack");
}

#[tokio::test]
async fn a_caller_at_its_limit_of_watched_records_does_not_limit_others() {
    let file = TestFile::of(&keys(&[(KEY, "one", &["*"]), (OTHER_KEY, "another", &["*"])]));
    let recording = json!({ "id": RECORD, "status": "RECORDING" });
    let upstream = ScriptedUpstream::start(move |_| Reply::json(200, &recording)).await;
    let gateway = Gateway::configured(upstream, |config| {
        config.inbound.auth = InboundAuth::ApiKey(file.0.clone());
        config.subscriptions.poll_interval = Duration::from_hours(1);
        sign(config);
    })
    .await;
    let watch = |id: &str| format!("subscription {}", screen_record("status").replace(RECORD, id));
    let mut sockets = Vec::new();
    for number in 0..10 {
        let (mut socket, _) = Socket::showing(&gateway, json!({ "x-api-key": KEY })).await;
        for id in 0..100 {
            socket.subscribe(&id.to_string(), &watch(&format!("{number}-{id}"))).await;
        }
        for _ in 0..100 {
            let said = socket.hear().await;
            assert_eq!(said.json()["payload"]["errors"], Value::Null, "{said:?}");
        }
        sockets.push(socket);
    }

    let (mut socket, _) = Socket::showing(&gateway, json!({ "x-api-key": KEY })).await;
    socket.subscribe("1", &watch("one-more")).await;
    let refused = socket.hear().await;
    let (mut other, _) = Socket::showing(&gateway, json!({ "x-api-key": OTHER_KEY })).await;
    other.subscribe("1", &watch("of-another")).await;
    let allowed = other.hear().await;

    let error = &refused.json()["payload"]["errors"][0];
    assert_eq!(error["extensions"], json!({ "code": "RATE_LIMITED", "retryable": true }));
    assert!(error["message"].as_str().unwrap().contains("1000 recordings"), "{error}");
    assert_eq!(allowed.json()["payload"]["data"]["screenRecord"]["status"], "RECORDING");
}
