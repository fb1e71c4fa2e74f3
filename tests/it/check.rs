//! The command `check`: what is wrong with a set-up, and what to do about it.

use std::net::TcpListener;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::commands::output;
use crate::support::{
    Authority, Issuer, RedisServer, Reply, ScriptedUpstream, TestFile, TlsWay, key_set,
};

const AK: &str = "CHECKTESTAK000000001";
const SK: &str = "check/test+secret";
const SIGNING: [(&str, &str); 3] = [
    ("HUAWEICLOUD_SDK_AK", AK),
    ("HUAWEICLOUD_SDK_SK", SK),
    ("HUAWEICLOUD_SDK_PROJECT_ID", "089b2f9a3d80d3062f24c00ca4ed5cbd"),
];

/// The output of `check`.
struct Checked {
    code: i32,
    said: String,
    complained: String,
}

impl Checked {
    /// Each problem, and its remedy.
    fn diagnostics(&self) -> Vec<(&str, &str)> {
        let lines: Vec<&str> = self.complained.lines().map(str::trim).collect();
        let pairs = lines.windows(2).filter_map(|pair| {
            Some((pair[0].strip_prefix("wrong: ")?, pair[1].strip_prefix("to do: ")?))
        });
        pairs.collect()
    }

    /// Asserts that there is exactly one problem.
    fn tells(&self, problem: &str, remedy: &str) {
        let diagnostics = self.diagnostics();
        assert_eq!((self.code, diagnostics.len()), (1, 1), "{}", self.complained);
        let (wrong, to_do) = diagnostics[0];
        assert!(wrong.contains(problem), "{problem:?} is not in {wrong:?}");
        assert!(to_do.contains(remedy), "{remedy:?} is not in {to_do:?}");
        assert!(!(self.said.clone() + &self.complained).contains(SK), "the secret key was printed");
    }
}

/// Runs `check` against an address, while other tasks continue.
async fn check(endpoint: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Checked {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    // Far more than it takes, so that no test fails because the machine is busy.
    let patient = [
        ("GATEWAY_UPSTREAM__CONNECT_TIMEOUT", "30s"),
        ("GATEWAY_UPSTREAM__ATTEMPT_TIMEOUT", "30s"),
        ("GATEWAY_UPSTREAM__DEADLINE", "60s"),
    ];
    let environment: Vec<(String, String)> = patient.iter().chain(environment).map(owned).collect();
    let base = ["check", "--upstream-endpoint", endpoint, "--upstream-max-attempts", "1"];
    run([&base[..], arguments].concat(), environment).await
}

/// Runs a command line, while other tasks continue.
async fn run(arguments: Vec<&str>, environment: Vec<(String, String)>) -> Checked {
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (&**name, &**value)).collect();
        output(&arguments, &environment)
    });
    let (code, said, complained) = running.await.unwrap();
    Checked { code, said, complained }
}

async fn check_answering(status: u16, body: Value, arguments: &[&str]) -> Checked {
    let upstream = ScriptedUpstream::start(move |_| Reply::json(status, &body)).await;
    check(&format!("http://{}", upstream.address), arguments, &SIGNING).await
}

/// A correct upstream without the requested recording.
async fn good_upstream() -> ScriptedUpstream {
    let body = json!({ "error_code": "WKS.00211902", "error_msg": "no such recording" });
    ScriptedUpstream::start(move |_| Reply::json(404, &body)).await
}

const SIGNED: [&str; 2] = ["--upstream-credentials", "aksk"];

#[tokio::test]
async fn check_of_valid_settings_says_ready() {
    let upstream = good_upstream().await;

    let checked = check(&format!("http://{}", upstream.address), &SIGNED, &SIGNING).await;

    assert_eq!((checked.code, &*checked.complained), (0, ""));
    assert!(checked.said.contains("ready: the upstream was reached and knows the credentials"));
    let seen = upstream.seen();
    assert!(!seen[0].headers.contains_key("authorization"), "the first look needs no credentials");
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn check_names_a_host_that_does_not_resolve() {
    let checked = check("https://nowhere.invalid", &[], &[]).await;

    checked
        .tells("nowhere.invalid:443 cannot be connected to", "host and port in upstream.endpoint");
    checked.tells("lookup", "DNS");
}

#[tokio::test]
async fn check_names_a_refused_port() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();

    let checked = check(&format!("http://{free}"), &[], &[]).await;

    let problem = format!("{free} cannot be connected to: Connection refused");
    checked.tells(&problem, "host and port in upstream.endpoint");
}

#[tokio::test]
async fn check_names_a_silent_upstream_and_the_time_limit() {
    let upstream = ScriptedUpstream::start(|_| Reply::Hang).await;
    let quick = ["--upstream-attempt-timeout", "2s", "--upstream-connect-timeout", "2s"];

    let checked = check(&format!("http://{}", upstream.address), &quick, &[]).await;

    checked.tells("gives no answer within 2s", "upstream.attempt_timeout");
}

#[tokio::test]
async fn check_says_what_is_wrong_with_a_certificate() {
    let upstream = good_upstream().await;
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    let trusted = TestFile::of(&authority.pem());
    let trusting = ["--upstream-ca-file", trusted.0.to_str().unwrap()];
    for (identity, problem, remedy) in [
        (stranger.issue(), "UnknownIssuer", "upstream.ca_file"),
        (authority.issue_until(2010), "expired", "renewed"),
        (
            authority.issue_for(&["other.example"], 2100),
            "other.example",
            "host and port in upstream.endpoint",
        ),
    ] {
        let way = TlsWay::showing(&identity, upstream.address).await;

        let checked = check(way.url.as_str(), &trusting, &[]).await;

        checked.tells(problem, remedy);
    }
    let good = TlsWay::showing(&authority.issue(), upstream.address).await;
    assert_eq!(
        check(good.url.as_str(), &[&trusting[..], &SIGNED].concat(), &SIGNING).await.code,
        0
    );
    assert_eq!(upstream.requests(), 2, "an untrusted server gets no credentials");
}

#[tokio::test]
async fn check_names_an_upstream_without_tls() {
    let upstream = good_upstream().await;
    let authority = TestFile::of(&Authority::new("any").pem());
    let trusting = ["--upstream-ca-file", authority.0.to_str().unwrap()];

    let checked = check(&format!("https://{}", upstream.address), &trusting, &[]).await;

    checked.tells("there is no TLS connection", "http://");
}

/// The time `minutes` from now, as a `Date` header has it.
fn date_in(minutes: i64) -> String {
    let now = Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

async fn upstream_in(minutes: i64) -> ScriptedUpstream {
    let body = json!({ "error_code": "WKS.00211902", "error_msg": "none" }).to_string();
    ScriptedUpstream::start(move |_| {
        let headers = [("content-type", "application/json"), ("date", &*date_in(minutes))];
        Reply::bytes(404, &headers, body.clone())
    })
    .await
}

#[tokio::test]
async fn check_names_a_clock_that_would_fail_signatures_before_it_signs() {
    for (minutes, way) in [(20, "behind"), (-20, "ahead of")] {
        let upstream = upstream_in(minutes).await;

        let checked = check(&format!("http://{}", upstream.address), &SIGNED, &SIGNING).await;

        checked.tells(&format!("s {way} that of the upstream"), "this machine's clock");
        checked.tells("15 minutes", "NTP");
        assert!(upstream.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));
    }
}

#[tokio::test]
async fn check_mentions_a_clock_that_is_slightly_off() {
    let (apart, right) = (upstream_in(8).await, upstream_in(0).await);

    let apart = check(&format!("http://{}", apart.address), &SIGNED, &SIGNING).await;
    let right = check(&format!("http://{}", right.address), &SIGNED, &SIGNING).await;

    assert_eq!((apart.code, right.code), (0, 0), "{}", apart.complained);
    assert!(apart.said.contains("note: this machine's clock is"), "{}", apart.said);
    assert!(!right.said.contains("note: "), "{}", right.said);
}

#[tokio::test]
async fn check_names_a_refused_access_key_without_showing_it() {
    let body = json!({
        "error_code": "APIGW.0301",
        "error_msg": format!("Incorrect IAM authentication information: verify aksk signature fail, {AK} {SK}"),
        "request_id": "r-1",
    });

    let checked = check_answering(401, body, &SIGNED).await;

    checked.tells(
        "does not accept the gateway's credentials (status 401, APIGW.0301",
        "HUAWEICLOUD_SDK_AK",
    );
    checked.tells("request r-1", "HUAWEICLOUD_SDK_SK");
    assert!(!checked.complained.contains(AK), "{}", checked.complained);
}

#[tokio::test]
async fn check_names_a_missing_permission() {
    let body = json!({ "error_code": "PAP5.0001", "error_msg": "no policy allows it" });

    let checked = check_answering(403, body, &SIGNED).await;

    checked.tells("may not read recordings of this project", "workspace:screenRecord:get");
    checked.tells("PAP5.0001", "upstream.region");
}

#[tokio::test]
async fn check_detects_another_service_even_if_it_answers_200() {
    let none = json!({ "error_code": "APIGW.0101", "error_msg": "The API does not exist" });
    for (status, body) in [(404, none), (404, json!({})), (200, json!([])), (401, json!({}))] {
        let checked = check_answering(status, body, &[]).await;

        checked.tells("what answers is not the screen-recording API", "upstream.region");
    }
}

#[tokio::test]
async fn check_names_a_failing_proxy_without_its_password() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = [("HTTP_PROXY", &*format!("http://user:proxy-secret@{free}"))];

    let checked = check("http://upstream.example", &[], &proxy).await;

    checked.tells(&format!("through the proxy http://{free}"), "NO_PROXY");
    assert!(!checked.complained.contains("proxy-secret"), "{}", checked.complained);
}

#[tokio::test]
async fn check_mentions_a_proxy_in_use() {
    let proxy = good_upstream().await;
    let proxied = [("http_proxy", &*format!("http://{}", proxy.address))];
    let environment = [&SIGNING[..], &proxied[..]].concat();

    let checked = check("http://upstream.example", &SIGNED, &environment).await;

    assert_eq!(checked.code, 0, "{}", checked.complained);
    let note = format!("note: the upstream is called through the proxy http://{}", proxy.address);
    assert!(checked.said.contains(&note), "{}", checked.said);
}

#[tokio::test]
async fn a_password_of_a_proxy_may_hold_an_at_sign() {
    let proxy = good_upstream().await;
    let proxied = [("http_proxy", &*format!("http://user:p@ss@{}", proxy.address))];
    let environment = [&SIGNING[..], &proxied[..]].concat();

    let checked = check("http://upstream.example", &SIGNED, &environment).await;

    assert_eq!(checked.code, 0, "{}", checked.complained);
    // user:p@ss
    let expected = "Basic dXNlcjpwQHNz";
    assert!(proxy.seen().iter().all(|seen| seen.headers["proxy-authorization"] == expected));
    assert!(!checked.said.contains("p@ss"), "{}", checked.said);
}

#[tokio::test]
async fn a_proxy_variable_that_cannot_be_parsed_stops_check_and_serve_by_its_name() {
    let proxied = [("HTTPS_PROXY", "http://user:proxy-secret:99999")];

    let checked =
        check("https://upstream.example", &SIGNED, &[&SIGNING[..], &proxied[..]].concat()).await;
    let (code, _, complained) =
        output(&["serve", "--upstream-endpoint", "https://upstream.example"], &proxied);

    assert_eq!((checked.code, code), (2, 2), "{}", checked.complained);
    for complained in [checked.complained, complained] {
        assert!(
            complained.contains("HTTPS_PROXY is (redacted) (the environment): must be"),
            "{complained}"
        );
        assert!(!complained.contains("proxy-secret"), "{complained}");
    }
}

#[tokio::test]
async fn check_names_a_shared_cache_that_refuses_the_login() {
    let upstream = good_upstream().await;
    let endpoint = format!("http://{}", upstream.address);
    let redis = RedisServer::start().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let with = async |url: String| {
        let shared = [
            ("GATEWAY_CACHE__REDIS_URL", &*url),
            ("GATEWAY_CACHE__KEY_SECRET", "0123456789abcdef0123456789abcdef"),
        ];
        check(&endpoint, &SIGNED, &[&SIGNING[..], &shared[..]].concat()).await
    };

    let refused = with(format!("redis://{free}")).await;
    let stranger = with(format!("redis://nobody:redis-secret@127.0.0.1:{}", redis.port)).await;
    let good = with(format!("redis://127.0.0.1:{}", redis.port)).await;

    refused.tells(&format!("{free}, one server, cannot be used"), "cache.redis_url");
    stranger.tells("one server, cannot be used", "cache.redis_url");
    assert!(!stranger.complained.contains("redis-secret"), "{}", stranger.complained);
    assert_eq!(good.code, 0, "{}", good.complained);
}

#[tokio::test]
async fn check_names_token_keys_that_cannot_be_fetched() {
    let upstream = good_upstream().await;
    let endpoint = format!("http://{}", upstream.address);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let with = async |jwks: String| {
        let tokens = [
            ("GATEWAY_INBOUND__AUTH", "jwt"),
            ("GATEWAY_INBOUND__JWT_JWKS", &*jwks),
            ("GATEWAY_INBOUND__JWT_ISSUER", "https://login.example.com"),
            ("GATEWAY_INBOUND__JWT_AUDIENCE", "recordings"),
        ];
        check(&endpoint, &SIGNED, &[&SIGNING[..], &tokens[..]].concat()).await
    };
    let set = key_set(&[&Issuer::new("one")]);
    let issuer = ScriptedUpstream::start(move |seen| match &*seen.path {
        "/keys" => Reply::json(200, &set),
        "/other" => Reply::json(200, &json!({ "keys": [] })),
        _ => Reply::json(503, &json!({})),
    });
    let issuer = issuer.await;

    let refused = with(format!("http://{free}/keys?code=jwks-secret")).await;
    let other = with(format!("http://{}/other", issuer.address)).await;
    let broken = with(format!("http://{}/broken", issuer.address)).await;
    let good = with(format!("http://{}/keys", issuer.address)).await;

    refused.tells(&format!("{free} cannot be connected to"), "inbound.jwt_jwks");
    assert!(!refused.complained.contains("jwks-secret"), "{}", refused.complained);
    other.tells("not with a set of keys", "jwks_uri");
    broken.tells("status 503", "jwks_uri");
    assert_eq!(good.code, 0, "{}", good.complained);
}

#[tokio::test]
async fn check_lists_every_problem_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let files = [
        ("GATEWAY_INBOUND__AUTH", "api-key"),
        ("GATEWAY_INBOUND__API_KEYS_FILE", "/nowhere/keys.toml"),
        ("GATEWAY_GRAPHQL__DOCUMENTS_FILE", "/nowhere/documents.json"),
        ("GATEWAY_CACHE__REDIS_URL", &*format!("redis://{free}")),
        ("GATEWAY_CACHE__KEY_SECRET", "0123456789abcdef0123456789abcdef"),
    ];

    let checked = check(&format!("http://{free}"), &[], &files).await;

    let diagnostics = checked.diagnostics();
    assert_eq!((checked.code, diagnostics.len()), (1, 4), "{}", checked.complained);
    let wrong = |part: &str| diagnostics.iter().any(|(problem, _)| problem.contains(part));
    for part in
        ["/nowhere/keys.toml", "/nowhere/documents.json", "shared cache", "cannot be connected to"]
    {
        assert!(wrong(part), "{part} is not in {}", checked.complained);
    }
    assert!(diagnostics.iter().all(|(_, to_do)| to_do.starts_with("check ")), "{diagnostics:?}");
}

#[tokio::test]
async fn check_tells_a_failing_iam_from_a_failing_upstream() {
    let upstream = good_upstream().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let login = [
        ("HUAWEICLOUD_SDK_IAM_ENDPOINT", &*format!("http://{free}")),
        ("HUAWEICLOUD_SDK_PROJECT_ID", "089b2f9a3d80d3062f24c00ca4ed5cbd"),
        ("GATEWAY_IAM__USER", "gateway"),
        ("GATEWAY_IAM__PASSWORD", SK),
        ("GATEWAY_IAM__DOMAIN", "domain"),
    ];
    let arguments = ["--upstream-credentials", "password"];

    let checked = check(&format!("http://{}", upstream.address), &arguments, &login).await;

    checked.tells(&format!("{free} cannot be connected to"), "HUAWEICLOUD_SDK_IAM_ENDPOINT");
}

#[tokio::test]
async fn check_says_the_result_of_each_project() {
    let good = good_upstream().await;
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = good.address;
    let settings = TestFile::of(&format!(
        "[projects.one]\nregion = \"r-1\"\nendpoint = \"http://{address}\"\n\
         [projects.two]\nendpoint = \"http://{dead}\"\n"
    ));
    let file = [("GATEWAY_CONFIG", settings.0.to_str().unwrap())];

    let default = format!("http://{address}");
    let checked = check(&default, &SIGNED, &[&SIGNING[..], &file].concat()).await;

    checked.tells(&format!("{dead} cannot be connected to"), "projects.two.endpoint");
    let found = "project one in r-1: the upstream was reached and knows the credentials";
    assert!(checked.said.contains(found), "{}", checked.said);
    // Once without credentials, then for the default's own project and for the first table's.
    assert_eq!(good.seen().len(), 3);
}

#[tokio::test]
async fn check_is_ready_if_every_project_is() {
    let upstream = good_upstream().await;
    let address = upstream.address;
    let table = |id| format!("[projects.{id}]\nendpoint = \"http://{address}\"\n");
    let settings = TestFile::of(&(table("one") + &table("two")));
    let file = [("GATEWAY_CONFIG", settings.0.to_str().unwrap())];
    let variables = [&SIGNING[..2], &file].concat();
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let variables = variables.into_iter().map(owned).collect();

    let checked = run([&["check"], &SIGNED[..]].concat(), variables).await;

    assert_eq!((checked.code, &*checked.complained), (0, ""));
    for project in ["ready: project one: ", "note: project two: "] {
        assert!(checked.said.contains(project), "{}", checked.said);
    }
}
