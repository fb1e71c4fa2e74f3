//! Settings, credentials, keys and documents that change while the gateway runs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use screen_record_gateway::app::Outcome;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{
    AUDIENCE, Gateway, HttpAnswer, ISSUER, Issuer, PROJECT, RECORD, Reply, Said, ScriptedUpstream,
    Socket, TestFile, keep_log, key_set, log, screen_record,
};

const KEY: &str = "key-of-one";
const OTHER_KEY: &str = "key-of-another";

async fn upstream() -> ScriptedUpstream {
    ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD }))).await
}

/// A gateway with the settings of a file, and the file.
async fn with(settings: &str) -> (Gateway, TestFile) {
    let file = TestFile::of(settings);
    (Gateway::following(upstream().await, &file, &[]).await, file)
}

/// As [`with`], with a file that is watched.
async fn watching(settings: &str) -> (Gateway, TestFile) {
    let file = TestFile::of(settings);
    (Gateway::watching(upstream().await, &file).await, file)
}

/// A gateway that signs with a key of a profile file, and requires callers' keys of another file.
async fn guarded(keys: &TestFile, more: &str) -> (Gateway, TestFile, TestFile) {
    let profile = TestFile::of(&profile_of("FAKEAK0EXAMPLE000001", "first-secret"));
    let settings = TestFile::of(&guarded_by(keys, more));
    let variables = [("HUAWEICLOUD_SDK_CREDENTIALS_FILE", profile.0.to_str().unwrap())];
    let gateway = Gateway::following(upstream().await, &settings, &variables).await;
    (gateway, settings, profile)
}

fn guarded_by(keys: &TestFile, more: &str) -> String {
    format!(
        "{more}\n[upstream]\ncredentials = \"aksk\"\n[inbound]\nauth = \"api-key\"\n\
         api_keys_file = \"{}\"\n",
        keys.0.display()
    )
}

fn profile_of(access: &str, secret: &str) -> String {
    format!("[basic]\nak = {access}\nsk = {secret}\n")
}

fn keys(keys: &[(&str, &str, &[&str])]) -> String {
    let key = |(key, name, projects): &(&str, &str, &[&str])| {
        let sha256 = hex::encode(Sha256::digest(key));
        format!("[[key]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\nprojects = {projects:?}\n")
    };
    keys.iter().map(key).collect()
}

async fn by_key(gateway: &Gateway, key: &str) -> HttpAnswer {
    gateway.post(&screen_record("id"), &[("x-api-key", key)]).await
}

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]["code"]
}

/// Whether a document passes the limit of aliases, which shows the settings in use.
async fn aliases_pass(gateway: &Gateway) -> bool {
    let answer = gateway.query("{ a: __typename b: __typename c: __typename }").await;
    answer["errors"].is_null()
}

fn done(outcome: &Outcome) -> (&[&'static str], &[&'static str]) {
    match outcome {
        Outcome::Done { changed, waiting } => (changed, waiting),
        other @ Outcome::Refused(_) => unreachable!("it was not read: {other:?}"),
    }
}

fn reasons(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refused(reasons) => reasons.join("\n"),
        other @ Outcome::Done { .. } => unreachable!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_changed_setting_applies_to_the_next_request() {
    let (gateway, file) = with("[limits]\nmax_aliases = 2\n").await;
    let before = aliases_pass(&gateway).await;

    file.write("[limits]\nmax_aliases = 3\n");
    let outcome = gateway.reload().await;

    assert_eq!(done(&outcome), (&["limits.max_aliases"][..], &[][..]));
    assert!(!before && aliases_pass(&gateway).await);
}

#[tokio::test]
async fn a_changed_settings_file_is_read_without_a_signal() {
    keep_log();
    let (gateway, file) = watching("[limits]\nmax_aliases = 2\n").await;

    file.write("[limits]\nmax_aliases = 3\n");

    gateway.until_metric("gateway_config_reloads_total{outcome=\"success\"} 1").await;
    assert!(aliases_pass(&gateway).await);
    let line = log().lines().find(|line| line.contains("are in use")).unwrap().to_owned();
    for part in ["limits.max_aliases", file.0.to_str().unwrap(), "change"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[tokio::test]
async fn a_link_that_points_elsewhere_is_a_change() {
    let [old, new] = [2, 3].map(|most| TestFile::of(&format!("[limits]\nmax_aliases = {most}\n")));
    let (link, other) = (TestFile::of(""), TestFile::of(""));
    let point = |link: &TestFile, to: &TestFile| {
        std::fs::remove_file(&link.0).unwrap();
        std::os::unix::fs::symlink(&to.0, &link.0).unwrap();
    };
    point(&link, &old);
    let gateway = Gateway::watching(upstream().await, &link).await;

    point(&other, &new);
    std::fs::rename(&other.0, &link.0).unwrap();

    gateway.until_metric("gateway_config_reloads_total{outcome=\"success\"} 1").await;
    assert!(aliases_pass(&gateway).await);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_logged_once_until_it_is_mended() {
    keep_log();
    let (gateway, file) = watching("[limits]\nmax_aliases = 3\n").await;

    file.write("[limits]\nmax_aliases = \"many\"\n");
    gateway.until_metric("gateway_config_reloads_total{outcome=\"failure\"} 3").await;
    let page = gateway.admin_get("/metrics").await.1;
    let during = aliases_pass(&gateway).await;
    let told = log().matches("everything stays as it was").count();
    file.write("[limits]\nmax_aliases = 2\n");
    gateway.until_metric("gateway_config_last_reload_successful 1").await;

    assert!(during && !aliases_pass(&gateway).await);
    assert!(page.contains("\ngateway_config_last_reload_successful 0\n"), "{page}");
    assert_eq!(told, 1);
    let line = log().lines().find(|line| line.contains("everything stays")).unwrap().to_owned();
    assert!(line.contains("limits.max_aliases is many"), "{line}");
    assert!(line.contains("must be a whole number from 1 to 1000000"), "{line}");
}

#[tokio::test]
async fn one_wrong_setting_rejects_the_whole_reload() {
    let callers = TestFile::of(&keys(&[(KEY, "one", &["*"])]));
    let (gateway, settings, profile) = guarded(&callers, "limits.max_aliases = 2").await;

    settings.write(&guarded_by(&callers, "limits.max_aliases = 3"));
    profile.write(&profile_of("FAKEAK0EXAMPLE000002", "second-secret"));
    callers.write("[[key]]\nname = \"one\"\n");
    let refused = reasons(gateway.reload().await);
    let answer = by_key(&gateway, KEY).await;
    let aliases = "{ a: __typename b: __typename c: __typename }";
    let over = gateway.post(aliases, &[("x-api-key", KEY)]).await;

    assert!(refused.starts_with("inbound.api_keys_file "), "{refused}");
    assert_eq!(answer.json["data"]["screenRecord"]["id"], RECORD);
    assert_eq!(code(&over.json), "QUERY_TOO_COMPLEX");
    let signed = gateway.upstream.seen()[0].headers["authorization"].to_str().unwrap().to_owned();
    assert!(signed.contains("FAKEAK0EXAMPLE000001"), "{signed}");
}

#[tokio::test]
async fn a_failed_reload_logs_all_wrong_settings_together() {
    let callers = TestFile::of(&keys(&[(KEY, "one", &["*"])]));
    let documents = TestFile::of("{}");
    let more = format!("graphql.documents_file = \"{}\"", documents.0.display());
    let (gateway, _settings, _profile) = guarded(&callers, &more).await;

    callers.write("");
    documents.write("{");
    let refused = reasons(gateway.reload().await);

    assert!(refused.contains("inbound.api_keys_file "), "{refused}");
    assert!(refused.contains("graphql.documents_file "), "{refused}");
}

#[tokio::test]
async fn settings_that_need_a_restart_are_logged_and_the_others_apply() {
    keep_log();
    let (gateway, file) = with("[limits]\nmax_aliases = 2\n").await;

    let changed = "listen = \"127.0.0.1:1\"\n[limits]\nmax_aliases = 3\n[cache]\nmax_bytes = 0\n";
    file.write(&changed.replace("listen", "log_format = \"text\"\n#"));
    let outcome = gateway.reload().await;
    gateway.until_metric("gateway_config_settings_pending_restart 2").await;
    let in_use = aliases_pass(&gateway).await;
    file.write("[limits]\nmax_aliases = 3\n");
    let back = gateway.reload().await;
    gateway.until_metric("gateway_config_settings_pending_restart 0").await;

    let waiting = ["cache.max_bytes", "log_format"];
    assert_eq!(done(&outcome), (&["limits.max_aliases"][..], &waiting[..]));
    assert!(in_use);
    assert_eq!(done(&back), (&[][..], &[][..]));
    let line = log().lines().find(|line| line.contains("need a restart")).unwrap().to_owned();
    assert!(line.contains("WARN") && line.contains("cache.max_bytes, log_format"), "{line}");
}

#[tokio::test]
async fn a_setting_that_contradicts_one_pending_a_restart_is_refused() {
    let callers = TestFile::of(&keys(&[(KEY, "one", &["*"])]));
    let (gateway, settings, _profile) = guarded(&callers, "").await;

    // Valid together after a restart, but until then every page could use the gateway's own key.
    settings.write("[upstream]\ncredentials = \"passthrough\"\n[cors]\nallow_origins = [\"*\"]\n");
    let refused = reasons(gateway.reload().await);

    assert!(refused.contains("cors.allow_origins is *"), "{refused}");
    assert!(refused.contains("until a restart, these stay as they were: upstream.credentials"));
    assert_eq!(by_key(&gateway, "nonsense").await.status, 401);
}

#[tokio::test]
async fn a_request_in_progress_keeps_its_settings() {
    let (gateway, file) = with("limits.request_timeout = \"15s\"\n").await;
    gateway.upstream.hold();

    let document = screen_record("id a: __typename b: __typename c: __typename");
    let reloading = async {
        gateway.upstream.arrived(1).await;
        file.write("[limits]\nrequest_timeout = \"1ms\"\nmax_aliases = 2\nmax_in_flight = 1\n");
        let outcome = gateway.reload().await;
        gateway.upstream.release();
        outcome
    };
    let (answer, outcome) = tokio::join!(gateway.query(&document), reloading);

    let changed = ["limits.max_aliases", "limits.max_in_flight", "limits.request_timeout"];
    let (mut seen, waiting) = (done(&outcome).0.to_vec(), done(&outcome).1);
    seen.sort_unstable();
    assert_eq!((&seen[..], waiting), (&changed[..], &[][..]));
    assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "{answer}");
    assert_eq!(code(&gateway.query(&document).await), "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn no_secret_of_a_file_is_logged_whether_it_can_be_used_or_not() {
    keep_log();
    let callers = TestFile::of(&keys(&[(KEY, "one", &["*"])]));
    let (gateway, settings, profile) = guarded(&callers, "").await;

    profile.write(&profile_of("CANARY-ACCESS", "CANARY-SECRET"));
    let used = gateway.reload().await;
    profile.write(&profile_of("CANARY-ACCESS", "CANARY SECRET, broken"));
    callers.write("[[key]]\nname = \"one\"\nsha256 = \"CANARY-KEY\"\n");
    let refused = reasons(gateway.reload().await);
    settings.write("[cache]\nkey_secret = \"CANARY\"\nredis_url = \"ftp://CANARY@host\"\n");
    let refused_again = reasons(gateway.reload().await);

    assert_eq!(done(&used), (&["access key"][..], &[][..]));
    for text in [refused, refused_again, log()] {
        let line = text.lines().find(|line| line.contains("CANARY"));
        assert_eq!(line, None);
    }
}

#[tokio::test]
async fn a_removed_key_is_refused_at_once_and_its_socket_closed() {
    let callers = TestFile::of(&keys(&[(KEY, "one", &["*"]), (OTHER_KEY, "another", &["*"])]));
    let (gateway, _settings, _profile) = guarded(&callers, "").await;
    assert_eq!(by_key(&gateway, KEY).await.status, 200);
    let (mut socket, said) = Socket::showing(&gateway, json!({ "x-api-key": KEY })).await;
    assert_eq!(said.json()["type"], "connection_ack");

    callers.write(&keys(&[(OTHER_KEY, "another", &["*"])]));
    gateway.reload().await;

    assert_eq!(by_key(&gateway, KEY).await.status, 401);
    assert_eq!(by_key(&gateway, OTHER_KEY).await.status, 200);
    assert_eq!(socket.hear().await, Said::Closed(4403, "Forbidden".to_owned()));
}

#[tokio::test]
async fn a_removed_project_is_refused_although_its_recordings_are_cached() {
    let callers = TestFile::of(&keys(&[(KEY, "one", &[PROJECT])]));
    let (gateway, settings, _profile) = guarded(&callers, "").await;
    let list = format!("{{ screenRecords(projectId: \"{PROJECT}\") {{ totalCount }} }}");
    for document in [&screen_record("id"), &list] {
        gateway.post(document, &[("x-api-key", KEY)]).await;
    }
    let calls = gateway.upstream_requests();

    callers.write(&keys(&[(KEY, "one", &["other"])]));
    gateway.reload().await;
    let of_the_key = by_key(&gateway, KEY).await;
    callers.write(&keys(&[(KEY, "one", &["*"])]));
    settings.write(&(guarded_by(&callers, "") + "projects = [\"other\"]\n"));
    gateway.reload().await;
    let of_all = by_key(&gateway, KEY).await;
    let of_a_list = gateway.post(&list, &[("x-api-key", KEY)]).await;

    for answer in [of_the_key, of_all, of_a_list] {
        assert_eq!(code(&answer.json), "FORBIDDEN", "{}", answer.json);
    }
    assert_eq!(gateway.upstream_requests(), calls);
}

#[tokio::test]
async fn another_access_key_signs_the_next_call_and_nothing_of_the_old_one_is_served() {
    let callers = TestFile::of(&keys(&[(KEY, "one", &["*"])]));
    let (gateway, _settings, profile) = guarded(&callers, "").await;
    by_key(&gateway, KEY).await;

    profile.write(&profile_of("FAKEAK0EXAMPLE000002", "second-secret"));
    let outcome = gateway.reload().await;
    by_key(&gateway, KEY).await;

    assert_eq!(done(&outcome), (&["access key"][..], &[][..]));
    let seen = gateway.upstream.seen();
    assert_eq!(seen.len(), 2, "what the old key had read was served");
    let signed = seen[1].headers["authorization"].to_str().unwrap();
    assert!(signed.contains("FAKEAK0EXAMPLE000002"), "{signed}");
}

#[tokio::test]
async fn a_new_access_key_is_used_at_once_after_the_old_was_refused() {
    let callers = TestFile::of(&keys(&[(KEY, "one", &["*"])]));
    let (gateway, _settings, profile) = guarded(&callers, "").await;
    gateway.upstream.answer_with(|seen| {
        let signed = seen.headers["authorization"].to_str().unwrap();
        if signed.contains("FAKEAK0EXAMPLE000001") {
            let error = json!({ "error_code": "APIGW.0301", "error_msg": "Incorrect IAM" });
            return Reply::json(401, &error);
        }
        Reply::json(200, &json!({ "id": RECORD }))
    });
    let refused = by_key(&gateway, KEY).await;

    profile.write(&profile_of("FAKEAK0EXAMPLE000002", "second-secret"));
    gateway.reload().await;
    let answer = by_key(&gateway, KEY).await;

    assert_eq!(code(&refused.json), "UPSTREAM_UNAUTHENTICATED");
    assert_eq!(answer.json["data"]["screenRecord"]["id"], RECORD);
    assert_eq!(gateway.admin_get("/readyz").await, (200, "ready\n".to_owned()));
}

#[tokio::test]
async fn a_new_password_is_tried_at_once_after_the_old_was_refused() {
    let password = TestFile::of("old-password");
    let settings = TestFile::of(&format!(
        "[upstream]\ncredentials = \"password\"\n[iam]\nuser = \"user\"\ndomain = \"account\"\n\
         password_file = \"{}\"\n",
        password.0.display()
    ));
    let upstream = ScriptedUpstream::start(|seen| {
        if !seen.path.starts_with("/v3/auth/tokens") {
            return Reply::json(200, &json!({ "id": RECORD }));
        }
        if !String::from_utf8_lossy(&seen.body).contains("new-password") {
            return Reply::json(401, &json!({ "error": { "message": "old-password" } }));
        }
        let answer = json!({ "token": { "expires_at": "2999-01-01T00:00:00.000000Z" } });
        Reply::bytes(201, &[("x-subject-token", "issued")], answer.to_string())
    })
    .await;
    let iam = format!("http://{}", upstream.address);
    let variables =
        [("HUAWEICLOUD_SDK_IAM_ENDPOINT", iam.as_str()), ("HUAWEICLOUD_SDK_PROJECT_ID", PROJECT)];
    let gateway = Gateway::following(upstream, &settings, &variables).await;
    let refused = gateway.query(&screen_record("id")).await;

    password.write("new-password\n");
    let outcome = gateway.reload().await;
    let answer = gateway.query(&screen_record("id")).await;

    assert_eq!(code(&refused), "UPSTREAM_UNAUTHENTICATED");
    assert_eq!(done(&outcome), (&["iam.password_file"][..], &[][..]));
    assert_eq!(answer["data"]["screenRecord"]["id"], RECORD, "{answer}");
}

#[tokio::test]
async fn changed_cache_lifetimes_apply_to_cached_entries() {
    let (gateway, file) = with("").await;
    gateway.query(&screen_record("id")).await;
    gateway.advance(Duration::from_secs(2));

    file.write("[cache]\nttl_active = \"1s\"\nstale_while_revalidate = \"0s\"\n");
    gateway.reload().await;
    gateway.query(&screen_record("id")).await;
    let read_anew = gateway.upstream_requests();
    gateway.upstream.answer_with(|_| Reply::json(500, &json!({})));
    gateway.advance(Duration::from_mins(30));
    file.write("[cache]\nttl_active = \"1s\"\nstale_if_error = \"1h\"\n");
    gateway.reload().await;
    let during_an_outage = gateway.query(&screen_record("id")).await;

    assert_eq!(read_anew, 2);
    assert_eq!(during_an_outage["data"]["screenRecord"]["id"], RECORD, "{during_an_outage}");
}

#[tokio::test]
async fn attempts_and_time_limits_of_the_upstream_change() {
    let (gateway, file) = with("upstream.max_attempts = 1\n").await;
    gateway.upstream.answer_with(|_| Reply::json(503, &json!({})));
    gateway.query(&screen_record("id")).await;
    let before = gateway.upstream_requests();

    file.write("upstream.max_attempts = 2\n");
    gateway.reload().await;
    gateway.query(&screen_record("id")).await;
    let after = gateway.upstream_requests() - before;
    file.write("[upstream]\ndeadline = \"20ms\"\n");
    gateway.reload().await;
    gateway.upstream.answer_with(|_| Reply::Hang);
    let in_vain = gateway.query(&screen_record("id")).await;

    assert_eq!((before, after), (1, 2));
    assert_eq!(code(&in_vain), "UPSTREAM_TIMEOUT");
}

#[tokio::test]
async fn an_unchanged_rate_keeps_the_counts_of_callers_over_a_reload() {
    let (gateway, file) = with("limits.rate = \"1/h\"\n").await;
    let first = gateway.query("{ __typename }").await;

    file.write("limits.rate = \"1/h\"\nlimits.max_depth = 9\n");
    gateway.reload().await;
    let second = gateway.query("{ __typename }").await;
    file.write("limits.rate = \"10/h\"\n");
    gateway.reload().await;
    let third = gateway.query("{ __typename }").await;

    assert_eq!(first["errors"], Value::Null);
    assert_eq!(code(&second), "RATE_LIMITED");
    assert_eq!(third["errors"], Value::Null);
}

#[tokio::test]
async fn introspection_pages_and_origins_change_on_reload() {
    let (gateway, file) = with("").await;
    let schema = "{ __schema { queryType { name } } }";
    let origin = [("origin", "https://console.example.com"), ("x-auth-token", "t")];
    let page = gateway.http().get(gateway.url()).header("accept", "text/html");
    let hidden = gateway.query(schema).await;
    let closed = gateway.post("{ __typename }", &origin).await;
    let no_page = page.try_clone().unwrap().send().await.unwrap().status();
    let console = gateway.http().get(format!("http://{}/", gateway.address));
    let no_console = console.try_clone().unwrap().send().await.unwrap().status();

    file.write(
        "web.console = true\n[graphql]\nintrospection = true\ngraphiql = true\n\
         [cors]\nallow_origins = [\"https://console.example.com\"]\n",
    );
    gateway.reload().await;
    let shown = gateway.query(schema).await;
    let open = gateway.post("{ __typename }", &origin).await;
    let a_page = page.send().await.unwrap().status();
    let a_console = console.send().await.unwrap().status();

    assert!(hidden["data"].is_null() && shown["data"]["__schema"]["queryType"]["name"] == "Query");
    assert_eq!(closed.header("access-control-allow-origin"), "");
    assert_eq!(open.header("access-control-allow-origin"), "https://console.example.com");
    assert_eq!((no_page.as_u16(), a_page.as_u16()), (406, 200));
    assert_eq!((no_console.as_u16(), a_console.as_u16()), (404, 200));
}

#[tokio::test]
async fn an_open_socket_uses_the_new_settings_from_its_next_message() {
    let (gateway, file) = with("").await;
    let (mut socket, _) = Socket::showing(&gateway, json!({ "x-auth-token": "t" })).await;

    file.write("limits.max_aliases = 1\n");
    gateway.reload().await;
    socket.subscribe("1", "{ a: __typename b: __typename }").await;

    let said = socket.hear().await;
    let code = &said.json()["payload"][0]["extensions"]["code"];
    assert_eq!(code, "QUERY_TOO_COMPLEX", "{said:?}");
}

#[tokio::test]
async fn a_lowered_limit_of_requests_applies_once_those_in_progress_end() {
    let (gateway, file) = with("").await;
    gateway.upstream.hold();
    let asking = |id: &'static str| {
        let of = format!("projectId: \"{PROJECT}\", id: \"{id}\"");
        let document = format!("{{ screenRecord({of}) {{ id }} }}");
        let gateway = &gateway;
        async move { gateway.post(&document, &[("x-auth-token", "t")]).await.status }
    };

    let changing = async {
        gateway.upstream.arrived(2).await;
        file.write("limits.max_in_flight = 1\n");
        gateway.reload().await;
        let over = asking("c").await;
        gateway.upstream.release();
        over
    };
    let (one, other, over) = tokio::join!(asking("a"), asking("b"), changing);

    assert_eq!((one, other, over), (200, 200, 503));
    assert_eq!(asking("d").await, 200);
}

#[tokio::test]
async fn a_reload_to_an_address_without_keys_keeps_the_old_keys() {
    let issuer = Issuer::new("one");
    let keys = key_set(&[&issuer]);
    let good = ScriptedUpstream::start(move |_| Reply::json(200, &keys)).await;
    let bad = ScriptedUpstream::start(|_| Reply::json(500, &json!({}))).await;
    let settings_at = |keys: &ScriptedUpstream, audience: &str| {
        format!(
            "[inbound]\nauth = \"jwt\"\njwt_jwks = \"http://{}/keys\"\njwt_issuer = \"{ISSUER}\"\n\
             jwt_audience = \"{audience}\"\n",
            keys.address
        )
    };
    let file = TestFile::of(&settings_at(&good, AUDIENCE));
    let gateway = Gateway::following(upstream().await, &file, &[]).await;
    let bearer = format!("Bearer {}", issuer.token(&json!({})));
    let shown = [("authorization", bearer.as_str())];
    let (mut socket, said) = Socket::showing(&gateway, json!({ "authorization": bearer })).await;
    assert_eq!(said.json()["type"], "connection_ack");

    file.write(&settings_at(&bad, AUDIENCE));
    let refused = reasons(gateway.reload().await);
    let before = gateway.post("{ __typename }", &shown).await.status;
    file.write(&settings_at(&good, "others"));
    gateway.reload().await;
    let after = gateway.post("{ __typename }", &shown).await.status;

    assert!(refused.starts_with("inbound.jwt_jwks is an address"), "{refused}");
    assert_eq!((before, after), (200, 401));
    assert_eq!(socket.hear().await, Said::Closed(4403, "Forbidden".to_owned()));
}

#[tokio::test]
async fn the_limit_of_sockets_per_caller_changes_on_reload() {
    let (gateway, file) = with("subscriptions.max_connections_per_caller = 1\n").await;
    let token = json!({ "x-auth-token": "t" });
    let (_first, _) = Socket::showing(&gateway, token.clone()).await;
    let (_, over) = Socket::showing(&gateway, token.clone()).await;

    file.write("subscriptions.max_connections_per_caller = 2\n");
    gateway.reload().await;
    let (_second, within) = Socket::showing(&gateway, token.clone()).await;
    let (_, third) = Socket::showing(&gateway, token).await;

    assert!(matches!(over, Said::Closed(4429, _)), "{over:?}");
    assert_eq!(within.json()["type"], "connection_ack");
    assert!(matches!(third, Said::Closed(4429, _)), "{third:?}");
}

/// The binary, started with a settings file.
struct Process(Child);

impl Process {
    fn serve(settings: &TestFile, upstream: &ScriptedUpstream) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_screen-record-gateway"))
            .arg("serve")
            .env_clear()
            .env("GATEWAY_CONFIG", &settings.0)
            .env("GATEWAY_LISTEN", "127.0.0.1:0")
            .env("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0")
            .env("GATEWAY_LOG_FORMAT", "json")
            .env("GATEWAY_UPSTREAM__ENDPOINT", format!("http://{}", upstream.address))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_the_settings_and_never_ends_the_process() {
    let file = TestFile::of("log = \"info\"\n");
    let mut process = Process::serve(&file, &upstream().await);
    let said = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let mut logged = BufReader::new(process.0.stderr.take().unwrap()).lines();
    let mut line_with = |text: &str| {
        let found = logged.find(|line| line.as_ref().is_ok_and(|line| line.contains(text)));
        found.unwrap_or_else(|| unreachable!("{text:?} was never logged")).unwrap()
    };
    // Printed just before it serves.
    let said: Vec<String> = said.take(2).map(Result::unwrap).collect();
    let address = said[0].split_once("http://").unwrap().1.trim_end_matches("/graphql");

    process.signal("-HUP");
    let first = line_with("were read again");
    file.write("log = \"debug\"\n");
    process.signal("-HUP");
    let second = line_with("were read again");
    let mut nonsense = TcpStream::connect(address).unwrap();
    nonsense.write_all(b"nonsense\r\n\r\n").unwrap();
    line_with("\"level\":\"DEBUG\"");
    process.signal("-TERM");
    line_with("stopping");
    process.signal("-HUP");
    let status = process.0.wait().unwrap();

    assert!(first.contains("\"changed\":\"\""), "{first}");
    assert!(second.contains("\"changed\":\"log\""), "{second}");
    assert_eq!(status.code(), Some(0));
}
