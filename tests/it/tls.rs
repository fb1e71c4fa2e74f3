//! TLS on the GraphQL listener.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Version;
use rustls::pki_types::CertificateDer;
use screen_record_gateway::app::App;
use screen_record_gateway::app::Outcome;
use screen_record_gateway::clock::Clock;
use screen_record_gateway::config::{Config, TlsConfig};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{
    Authority, Gateway, Identity, PROJECT, RECORD, RawResponse, Receiver, Reply, Said,
    ScriptedUpstream, Socket, TOKEN, TestFile, config_for, keep_log, log,
};

const TYPENAME: &str = r#"{"query":"{ __typename }"}"#;

async fn upstream() -> ScriptedUpstream {
    ScriptedUpstream::start(|_| Reply::json(200, &json!({ "id": RECORD, "status": "RECORDING" })))
        .await
}

async fn gateway(tls: TlsConfig) -> Gateway {
    gateway_with(tls, |_| {}).await
}

async fn gateway_with(tls: TlsConfig, adjust: impl FnOnce(&mut Config)) -> Gateway {
    Gateway::configured(upstream().await, |config| {
        config.tls = Some(tls);
        adjust(config);
    })
    .await
}

async fn ask(client: reqwest::ClientBuilder, gateway: &Gateway) -> reqwest::Result<Version> {
    let url = format!("https://{}/graphql", gateway.address);
    let request = client.build().unwrap().post(url).header("content-type", "application/json");
    let response = request.body(TYPENAME).send().await?.error_for_status()?;
    let version = response.version();
    assert_eq!(response.text().await?, r#"{"data":{"__typename":"Query"}}"#);
    Ok(version)
}

/// One request over a kept-alive connection; the status of the answer.
async fn ask_over(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    let length = TYPENAME.len();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{TYPENAME}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection has ended");
    }
    String::from_utf8(answer).unwrap().lines().next().unwrap().to_owned()
}

/// The certificate that a new connection gets.
async fn shown(authority: &Authority, address: SocketAddr) -> CertificateDer<'static> {
    let stream = authority.connect(address).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// Waits until new connections get a certificate.
async fn until_shown(identity: &Identity, authority: &Authority, address: SocketAddr) {
    let looking = async {
        while shown(authority, address).await != identity.der() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.expect("it was never shown");
}

/// Why a gateway with these files does not start.
async fn refusal(tls: TlsConfig) -> String {
    let mut config = config_for(upstream().await.address);
    config.tls = Some(tls);
    App::build(&config, Clock::default()).await.err().unwrap().to_string()
}

#[tokio::test]
async fn the_client_chooses_http_2_or_http_1() {
    let authority = Authority::new("of the gateway");
    let files = authority.issue().files();
    let gateway = gateway(files.config()).await;

    let both = ask(authority.client(), &gateway).await.unwrap();
    let first = ask(authority.client().http1_only(), &gateway).await.unwrap();

    assert_eq!((both, first), (Version::HTTP_2, Version::HTTP_11));
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_supported_and_nothing_older() {
    let authority = Authority::new("of the gateway");
    let files = authority.issue().files();
    let gateway = gateway(files.config()).await;

    for version in [reqwest::tls::Version::TLS_1_2, reqwest::tls::Version::TLS_1_3] {
        let client = authority.client().tls_version_min(version).tls_version_max(version);

        assert!(ask(client, &gateway).await.is_ok(), "by {version:?}");
    }
    // The first flight of TLS 1.0: a record of type 22 with a greeting that offers nothing newer.
    let mut old = TcpStream::connect(gateway.address).await.unwrap();
    let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    old.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    old.read_to_end(&mut answer).await.unwrap();
    // A fatal alert: protocol_version or what else there is to say against it.
    assert_eq!((answer[0], answer[5]), (21, 2), "{answer:?}");
}

#[tokio::test]
async fn only_client_certificates_of_the_configured_ca_are_accepted() {
    let (authority, clients) = (Authority::new("of the gateway"), Authority::new("of clients"));
    let files = authority.issue().files();
    let client_ca = TestFile::of(&clients.pem());
    let gateway =
        gateway(TlsConfig { client_ca_file: Some(client_ca.0.clone()), ..files.config() }).await;

    let none = ask(authority.client(), &gateway).await;
    let others = ask(authority.client().identity(authority.issue().shown()), &gateway).await;
    let ended = ask(authority.client().identity(clients.issue_until(2001).shown()), &gateway).await;
    let good = ask(authority.client().identity(clients.issue().shown()), &gateway).await;

    assert!(none.is_err() && others.is_err() && ended.is_err());
    assert_eq!(good.unwrap(), Version::HTTP_2);
    gateway.until_metric("gateway_tls_handshakes_total{outcome=\"failed\"} 3").await;
    gateway.until_metric("gateway_tls_handshakes_total{outcome=\"completed\"} 1").await;
}

#[tokio::test]
async fn a_new_certificate_is_used_for_new_connections_and_old_ones_stay_open() {
    let authority = Authority::new("of the gateway");
    let (old, new) = (authority.issue(), authority.issue());
    let files = old.files();
    let gateway = gateway(files.config()).await;
    let mut kept = authority.connect(gateway.address).await.unwrap();
    ask_over(&mut kept).await;

    files.replace(&new);
    until_shown(&new, &authority, gateway.address).await;
    let answer = ask_over(&mut kept).await;

    assert_eq!(kept.get_ref().1.peer_certificates().unwrap()[0], old.der());
    assert_eq!(answer, "HTTP/1.1 200 OK");
    gateway.until_metric("gateway_config_reloads_total{outcome=\"success\"} 1").await;
    gateway.until_metric("gateway_config_last_reload_successful 1").await;
}

/// Changes the files of a secret as Kubernetes does: they are links into a folder that is a link itself,
/// and that link is replaced atomically.
#[tokio::test]
async fn certificate_files_behind_replaced_links_are_read_again() {
    use std::fs;
    use std::os::unix::fs::symlink;

    let authority = Authority::new("of the gateway");
    let (old, new) = (authority.issue(), authority.issue());
    let mounted = std::env::temp_dir().join(format!("gateway-secret-{}", std::process::id()));
    for (version, identity) in [("..1", &old), ("..2", &new)] {
        fs::create_dir_all(mounted.join(version)).unwrap();
        fs::write(mounted.join(version).join("tls.crt"), &identity.certificate).unwrap();
        fs::write(mounted.join(version).join("tls.key"), &identity.key).unwrap();
    }
    symlink("..1", mounted.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), mounted.join(name)).unwrap();
    }
    let (cert_file, key_file) = (mounted.join("tls.crt"), mounted.join("tls.key"));
    let gateway = gateway(TlsConfig { cert_file, key_file, client_ca_file: None }).await;

    symlink("..2", mounted.join("..data_tmp")).unwrap();
    fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).unwrap();
    until_shown(&new, &authority, gateway.address).await;

    gateway.until_metric("gateway_config_reloads_total{outcome=\"success\"} 1").await;
    fs::remove_dir_all(mounted).unwrap();
}

#[tokio::test]
async fn broken_certificate_files_change_nothing_and_are_logged_once() {
    keep_log();
    let authority = Authority::new("of the gateway");
    let (old, other, new) = (authority.issue(), authority.issue(), authority.issue());
    let files = old.files();
    let gateway = gateway(files.config()).await;

    files.certificate.write(&other.certificate);
    gateway.until_metric("gateway_config_last_reload_successful 0").await;
    let meanwhile = shown(&authority, gateway.address).await;
    files.replace(&new);
    until_shown(&new, &authority, gateway.address).await;

    let told = log();
    let told: Vec<&str> = told.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert_eq!(meanwhile, old.der());
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("it cannot be used with the first certificate in tls.cert_file"));
}

#[tokio::test]
async fn a_changed_client_ca_file_decides_who_may_connect() {
    let authority = Authority::new("of the gateway");
    let (before, after) = (Authority::new("of clients"), Authority::new("of new clients"));
    let files = authority.issue().files();
    let client_ca = TestFile::of(&before.pem());
    let gateway =
        gateway(TlsConfig { client_ca_file: Some(client_ca.0.clone()), ..files.config() }).await;
    let client = before.issue();
    ask(authority.client().identity(client.shown()), &gateway).await.unwrap();

    client_ca.write(&after.pem());
    gateway.until_metric("gateway_config_reloads_total{outcome=\"success\"} 1").await;
    let old = ask(authority.client().identity(client.shown()), &gateway).await;
    let new = ask(authority.client().identity(after.issue().shown()), &gateway).await;

    assert!(old.is_err());
    assert!(new.is_ok());
}

/// Settings that name these files, with further lines.
fn settings_of(tls: &TlsConfig, more: &str) -> String {
    let (cert, key) = (tls.cert_file.display(), tls.key_file.display());
    format!("{more}\n[tls]\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\n")
}

#[tokio::test]
async fn a_broken_certificate_rejects_the_whole_reload() {
    let authority = Authority::new("of the gateway");
    let (old, new) = (authority.issue(), authority.issue());
    let files = old.files();
    let settings = TestFile::of(&settings_of(&files.config(), "limits.max_batch = 2"));
    let gateway = Gateway::following(upstream().await, &settings, &[]).await;

    files.key.write(&new.key);
    settings.write(&settings_of(&files.config(), "limits.max_batch = 3"));
    let refused = gateway.reload().await;
    let meanwhile = shown(&authority, gateway.address).await;
    files.certificate.write(&new.certificate);
    let done = gateway.reload().await;

    let Outcome::Refused(reasons) = refused else { panic!("it was not refused: {refused:?}") };
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].starts_with("tls.key_file "), "{reasons:?}");
    assert_eq!(meanwhile, old.der());
    let changed = vec!["limits.max_batch"];
    assert_eq!(done, Outcome::Done { changed, waiting: Vec::new() });
    assert_eq!(shown(&authority, gateway.address).await, new.der());
}

#[tokio::test]
async fn newly_named_certificate_files_are_used_and_watched() {
    let authority = Authority::new("of the gateway");
    let [one, other, third] = [(); 3].map(|()| authority.issue());
    let (files, other_files) = (one.files(), other.files());
    let settings = TestFile::of(&settings_of(&files.config(), ""));
    let gateway = Gateway::watching(upstream().await, &settings).await;

    settings.write(&settings_of(&other_files.config(), ""));
    until_shown(&other, &authority, gateway.address).await;
    other_files.replace(&third);
    until_shown(&third, &authority, gateway.address).await;
}

#[tokio::test]
async fn tls_can_be_turned_on_and_off_for_new_connections() {
    let authority = Authority::new("of the gateway");
    let files = authority.issue_until(2100).files();
    let settings = TestFile::of("");
    let gateway = Gateway::following(upstream().await, &settings, &[]).await;
    let mut plain = TcpStream::connect(gateway.address).await.unwrap();
    ask_over(&mut plain).await;

    settings.write(&settings_of(&files.config(), ""));
    gateway.reload().await;
    let over_tls = ask(authority.client(), &gateway).await;
    // 2100-01-01T00:00:00Z.
    gateway.until_metric("gateway_tls_certificate_expiry_timestamp_seconds 4102444800").await;
    let kept = ask_over(&mut plain).await;
    settings.write("");
    gateway.reload().await;
    gateway.until_metric("gateway_tls_certificate_expiry_timestamp_seconds 0").await;
    let without = ask(authority.client(), &gateway).await;
    let mut later = TcpStream::connect(gateway.address).await.unwrap();

    assert!(over_tls.is_ok() && without.is_err());
    assert_eq!(
        (kept.as_str(), &*ask_over(&mut later).await),
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK")
    );
}

#[tokio::test]
async fn spans_of_requests_over_tls_have_the_scheme_https() {
    let receiver = Receiver::start().await;
    let authority = Authority::new("of the gateway");
    let files = authority.issue().files();
    let traces = receiver.config();
    let gateway = gateway_with(files.config(), |config| config.traces = Some(traces)).await;

    ask(authority.client().http1_only(), &gateway).await.unwrap();

    let spans = receiver.until("POST /graphql", 1).await;
    assert_eq!(spans[0].attribute("url.scheme"), Some("https"));
}

#[tokio::test]
async fn a_socket_watches_a_recording_over_tls() {
    let authority = Authority::new("of the gateway");
    let files = authority.issue().files();
    let gateway = gateway(files.config()).await;
    let stream = authority.connect(gateway.address).await.unwrap();
    let headers = [("x-auth-token", TOKEN)];
    let mut socket = Socket::over(stream, &gateway, &headers).await.ok().unwrap();
    socket.say(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hear().await, Said::Message(json!({ "type": "connection_ack" })));

    let document = format!(
        r#"subscription {{ screenRecord(projectId: "{PROJECT}", id: "{RECORD}") {{ status }} }}"#
    );
    socket.subscribe("1", &document).await;
    let said = socket.hear().await;

    assert_eq!(said.json()["payload"]["data"]["screenRecord"]["status"], "RECORDING");
}

#[tokio::test]
async fn wrong_tls_files_are_refused_with_setting_and_path() {
    let authority = Authority::new("of the gateway");
    let (one, other) = (authority.issue(), authority.issue());
    let encrypted = one.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut = one.key.lines().next().unwrap().to_owned() + "\n!!!\n";
    for (certificate, key, setting, problem) in [
        (&one.key, &one.key, "tls.cert_file", "it holds no certificate"),
        (&String::new(), &one.key, "tls.cert_file", "it holds no certificate"),
        (&one.certificate, &one.certificate, "tls.key_file", "it holds no private key"),
        (
            &one.certificate,
            &encrypted,
            "tls.key_file",
            "it holds no private key without a password",
        ),
        (&one.certificate, &cut, "tls.key_file", "it is no PEM"),
        (
            &one.certificate,
            &other.key,
            "tls.key_file",
            "it cannot be used with the first certificate",
        ),
    ] {
        let (certificate, key) = (TestFile::of(certificate), TestFile::of(key));
        let (cert_file, key_file) = (certificate.0.clone(), key.0.clone());
        let path = if setting == "tls.cert_file" { &cert_file } else { &key_file };
        let start = format!("{setting} {} cannot be used: {problem}", path.display());

        let refusal = refusal(TlsConfig { cert_file, key_file, client_ca_file: None }).await;

        assert!(refusal.starts_with(&start), "{refusal} does not start with {start}");
    }
}

#[tokio::test]
async fn missing_tls_files_and_invalid_cas_are_refused() {
    let identity = Authority::new("of the gateway").issue();
    let files = identity.files();
    let (empty, no_ca) = (TestFile::of(""), TestFile::of(&identity.key));
    let missing = std::path::PathBuf::from("/nowhere/file.pem");
    let good = files.config();
    for (tls, start) in [
        (
            TlsConfig { cert_file: missing.clone(), ..good.clone() },
            "tls.cert_file /nowhere/file.pem cannot be used: it cannot be read: ",
        ),
        (
            TlsConfig { key_file: missing.clone(), ..good.clone() },
            "tls.key_file /nowhere/file.pem cannot be used: it cannot be read: ",
        ),
        (
            TlsConfig { client_ca_file: Some(missing), ..good.clone() },
            "tls.client_ca_file /nowhere/file.pem cannot be used: it cannot be read: ",
        ),
        (
            TlsConfig { client_ca_file: Some(empty.0.clone()), ..good.clone() },
            "tls.client_ca_file ",
        ),
        (TlsConfig { client_ca_file: Some(no_ca.0.clone()), ..good }, "tls.client_ca_file "),
    ] {
        let refusal = refusal(tls).await;

        assert!(refusal.starts_with(start), "{refusal} does not start with {start}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_used_with_a_warning_that_has_the_date() {
    keep_log();
    let files = Authority::new("of the gateway").issue_until(2001).files();

    let gateway = gateway(files.config()).await;

    // 2001-01-01T00:00:00Z.
    gateway.until_metric("gateway_tls_certificate_expiry_timestamp_seconds 978307200").await;
    let told = log();
    let warned = told.lines().find(|line| line.contains(" WARN ")).unwrap_or_default();
    assert!(warned.contains("the certificate of the listener has ended"), "{warned}");
    assert!(warned.contains("2001-01-01T00:00:00Z"), "{warned}");
}

#[tokio::test]
async fn a_key_is_never_logged_or_shown() {
    keep_log();
    let authority = Authority::new("of the gateway");
    let (one, other) = (authority.issue(), authority.issue());
    let files = one.files();
    let gateway = gateway(files.config()).await;

    ask(authority.client(), &gateway).await.unwrap();
    files.key.write(&other.key);
    gateway.until_metric("gateway_config_last_reload_successful 0").await;

    let told = log();
    let lines = [&one, &other].map(|identity| identity.key.lines().nth(1).unwrap());
    assert!(told.contains("tls.key_file"));
    assert!(!lines.iter().any(|line| told.contains(line)));
}

#[tokio::test]
async fn a_client_that_never_finishes_its_handshake_delays_no_other_client() {
    let authority = Authority::new("of the gateway");
    let files = authority.issue().files();
    let limit = Duration::from_millis(500);
    let gateway = gateway_with(files.config(), |config| config.limits.header_timeout = limit).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(gateway.address).await.unwrap());
    }

    ask(authority.client(), &gateway).await.unwrap();
    gateway.until_metric("gateway_tls_handshakes_total{outcome=\"timeout\"} 20").await;

    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or_default(), 0);
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_the_refusal_over_tls_too() {
    let authority = Authority::new("of the gateway");
    let gateway = gateway(authority.issue().files().config()).await;
    let length = 4 * 1024 * 1024;
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    let mut request = head.into_bytes();
    request.resize(request.len() + length, b' ');

    let stream = authority.connect(gateway.address).await.unwrap();
    let answer = RawResponse::over(stream, &request).await.unwrap();

    assert_eq!((answer.status, answer.code()), (413, "QUERY_TOO_COMPLEX"));
}

#[tokio::test]
async fn a_head_behind_a_whole_request_has_the_same_time_limit_over_tls() {
    let authority = Authority::new("of the gateway");
    let files = authority.issue().files();
    let limit = Duration::from_millis(500);
    let gateway = gateway_with(files.config(), |config| config.limits.header_timeout = limit).await;
    let length = TYPENAME.len();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{TYPENAME}POST /graphql HTTP/1.1\r\nhost: "
    );

    let stream = authority.connect(gateway.address).await.unwrap();
    // The gateway closes without a TLS close message.
    let _ = RawResponse::over(stream, request.as_bytes()).await;

    gateway.until_metric("gateway_http_connections_ended_total{reason=\"headers\"} 1").await;
}

#[tokio::test]
async fn plain_http_on_the_tls_port_gets_no_answer_and_is_counted() {
    let files = Authority::new("of the gateway").issue().files();
    let gateway = gateway(files.config()).await;

    let answer = gateway.http().post(gateway.url()).body(TYPENAME).send().await;

    assert!(answer.is_err());
    gateway.until_metric("gateway_tls_handshakes_total{outcome=\"failed\"} 1").await;
}
