//! Settings that change while the process runs: which take effect, and which wait for a restart.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use screen_record_gateway::config::CacheConfig;

use super::tls::certificate;
use super::*;

/// Settings that do nothing alone, or need a file: what stands in the settings file before and after the
/// change. All others are changed to a value that their own refusal names as allowed.
const PAIRS: &[(&str, &str, &str)] = &[
    ("upstream.region", "upstream.region = 'a-1'", "upstream.region = 'b-1'"),
    ("upstream.credentials", HERE, "upstream.credentials = 'metadata'"),
    ("upstream.metadata_endpoint", METADATA, "upstream.metadata_endpoint = 'http://127.0.0.1:9'"),
    ("upstream.ca_file", HERE, "upstream.ca_file = 'upstream-ca.pem'"),
    ("cache.redis_url", SHARED, "cache.redis_url = 'redis://b'"),
    ("cache.redis_url_file", SHARED_BY_FILES, "cache.redis_url_file = 'other-url'"),
    ("cache.redis_timeout", SHARED, "cache.redis_timeout = '20ms'"),
    ("cache.key_secret", SHARED, "cache.key_secret = 'another secret'"),
    ("cache.key_secret_file", SHARED_BY_FILES, "cache.key_secret_file = 'other-secret'"),
    ("iam.user", LOGIN, "iam.user = 'other'"),
    ("iam.password", LOGIN, "iam.password = 'other'"),
    ("iam.password_file", LOGIN_BY_FILE, "iam.password_file = 'other-password'"),
    ("iam.domain", LOGIN, "iam.domain = 'other'"),
    ("audit.required", KEYS, "audit.required = true"),
    ("inbound.api_keys_file", KEYS, "inbound.api_keys_file = 'other'"),
    ("inbound.auth", KEYS, "inbound.auth = 'jwt'"),
    ("inbound.jwt_jwks", TOKENS, "inbound.jwt_jwks = 'other'"),
    ("inbound.jwt_issuer", TOKENS, "inbound.jwt_issuer = 'other'"),
    ("inbound.jwt_audience", TOKENS, "inbound.jwt_audience = 'other'"),
    ("inbound.jwt_algorithms", TOKENS, "inbound.jwt_algorithms = 'EdDSA'"),
    ("inbound.jwt_leeway", TOKENS, "inbound.jwt_leeway = '5s'"),
    ("inbound.jwt_projects_claim", TOKENS, "inbound.jwt_projects_claim = 'other'"),
    ("inbound.jwt_usernames_claim", TOKENS, "inbound.jwt_usernames_claim = 'other'"),
    ("inbound.jwt_desktop_ids_claim", TOKENS, "inbound.jwt_desktop_ids_claim = 'other'"),
    ("inbound.jwt_desktop_pool_ids_claim", TOKENS, "inbound.jwt_desktop_pool_ids_claim = 'other'"),
    ("inbound.jwt_permissions_claim", TOKENS, "inbound.jwt_permissions_claim = 'other'"),
    ("tls.cert_file", TLS, "tls.cert_file = 'other'"),
    ("tls.key_file", TLS, "tls.key_file = 'other'"),
    ("tls.client_ca_file", TLS, "tls.client_ca_file = 'clients'"),
    ("graphql.documents_only", DOCUMENTS, "graphql.documents_only = true"),
];

const HERE: &str = "upstream.endpoint = 'http://a'";
const METADATA: &str = "upstream.endpoint = 'http://a'\nupstream.credentials = 'metadata'";
const SHARED: &str = "upstream.endpoint = 'http://a'\ncache.redis_url = 'redis://a'\n\
                      cache.key_secret = 'one secret'";
const SHARED_BY_FILES: &str = "upstream.endpoint = 'http://a'\ncache.redis_url_file = 'url'\n\
                               cache.key_secret_file = 'secret'";
const LOGIN: &str = "upstream.endpoint = 'http://a'\nupstream.credentials = 'password'\n\
                     iam.user = 'one'\niam.password = 'one'\niam.domain = 'one'";
const LOGIN_BY_FILE: &str = "upstream.endpoint = 'http://a'\nupstream.credentials = 'password'\n\
                             iam.user = 'one'\niam.password_file = 'password'\niam.domain = 'one'";
const KEYS: &str = "upstream.endpoint = 'http://a'\ninbound.auth = 'api-key'\n\
                    inbound.api_keys_file = 'one'";
const TOKENS: &str = "upstream.endpoint = 'http://a'\ninbound.auth = 'jwt'\n\
                      inbound.jwt_jwks = 'one'\ninbound.jwt_issuer = 'one'\n\
                      inbound.jwt_audience = 'one'";
const TLS: &str = "upstream.endpoint = 'http://a'\ntls.cert_file = 'one'\ntls.key_file = 'one'";
const DOCUMENTS: &str = "upstream.endpoint = 'http://a'\ngraphql.documents_file = 'one'";
const OWN_CA: &str = "upstream.endpoint = 'https://a'\nupstream.ca_file = 'upstream-ca.pem'";
const OWN_KEY: &str = "upstream.endpoint = 'http://a'\nupstream.credentials = 'aksk'";

static CERTIFICATE: LazyLock<String> = LazyLock::new(certificate);

/// Files that can be written to while settings are in use that were read from them.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<BTreeMap<String, String>>>);

impl Disk {
    fn with(settings: &str) -> Self {
        let disk = Self::default();
        for (name, text) in [
            ("gateway.toml", settings),
            ("url", "redis://a"),
            ("other-url", "redis://b"),
            ("secret", "one secret"),
            ("other-secret", "another secret"),
            ("password", "one"),
            ("other-password", "another"),
            ("profile", "[basic]\nak = ONE\nsk = one\n"),
            ("upstream-ca.pem", &CERTIFICATE),
        ] {
            disk.write(name, text);
        }
        disk
    }

    fn write(&self, name: &str, text: &str) {
        self.0.lock().unwrap().insert(name.to_owned(), text.to_owned());
    }

    fn load(&self) -> Result<Loaded<Config>, SettingsError> {
        let disk = self.clone();
        let read_file = move |path: &Path| {
            let files = disk.0.lock().unwrap();
            let file = path.to_str().and_then(|name| files.get(name));
            file.map(|text| text.clone().into_bytes())
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let variables = [
            ("GATEWAY_CONFIG", "gateway.toml"),
            ("HUAWEICLOUD_SDK_IAM_ENDPOINT", "http://a"),
            ("HUAWEICLOUD_SDK_PROJECT_ID", "p"),
            ("HUAWEICLOUD_SDK_CREDENTIALS_FILE", "profile"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::new(variables, read_file);
        match Invocation::parse(["gateway", "serve"].map(OsString::from), &environment) {
            Ok(Invocation::Serve(loaded)) => Ok(loaded),
            Err(UsageError::Settings(error)) => Err(error),
            other => panic!("expected settings to serve with, got {other:#?}"),
        }
    }

    fn loaded(&self) -> Loaded<Config> {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Reads the settings, changes them, and reads them again.
fn reload(disk: &Disk, change: impl FnOnce(&Disk)) -> Loaded<Config> {
    let loaded = disk.loaded();
    change(disk);
    loaded.reload().unwrap_or_else(|failed| panic!("{failed}"))
}

/// The file's text with another value for one setting.
fn with(text: &str, key: &str, line: &str) -> String {
    let others = text.lines().filter(|other| !other.starts_with(&format!("{key} = ")));
    let mut lines: Vec<&str> = others.chain([line]).collect();
    if key == "inbound.auth" {
        // The way to authenticate and what it needs change together.
        lines.retain(|line| !line.starts_with("inbound.api_keys_file"));
        lines.extend(TOKENS.lines().filter(|line| line.starts_with("inbound.jwt")));
    }
    lines.join("\n")
}

/// The settings that a file gives, if they are accepted.
fn debug(file: &str) -> Option<String> {
    Some(format!("{:?}", Disk::with(file).load().ok()?.settings))
}

/// The settings file before and after a change of one setting.
fn pair(row: &Row) -> (String, String) {
    let Row { key, allowed, .. } = row;
    if let Some((_, before, line)) = PAIRS.iter().find(|(of, ..)| of == key) {
        return ((*before).to_owned(), with(before, key, line));
    }
    let words = allowed.split(' ').map(|word| word.trim_end_matches(','));
    let mut files = words.map(|word| with(HERE, key, &format!("{key} = '{word}'")));
    let before = debug(HERE);
    let after = files.find(|file| debug(file).is_some_and(|after| Some(after) != before));
    (HERE.to_owned(), after.unwrap_or_else(|| panic!("{key} needs a row in PAIRS: {allowed}")))
}

#[test]
fn every_setting_takes_a_change_or_waits_for_a_restart_as_it_is_declared() {
    let mut seen = [0, 0];
    for row in documented("serve") {
        let key = &*row.key;
        let (before, after) = pair(&row);
        let (old, new) = (debug(&before).unwrap(), debug(&after).unwrap());

        let reloaded = reload(&Disk::with(&before), |disk| disk.write("gateway.toml", &after));

        let in_use = format!("{:?}", reloaded.settings);
        let (named, others, expected) = if row.is_reloadable {
            (reloaded.changed, reloaded.waiting, &new)
        } else {
            (reloaded.waiting, reloaded.changed, &old)
        };
        assert!(named.contains(&key), "{key} is not named: {named:?}");
        assert_eq!(others, Vec::<&str>::new(), "of {key}");
        assert_eq!(in_use, *expected, "of {key}");
        let is_secret = ["password", "secret"].iter().any(|part| key.contains(part));
        assert!(old != new || is_secret, "the change of {key} changes nothing");
        seen[usize::from(row.is_reloadable)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
}

#[test]
fn what_stands_in_a_file_counts_as_its_settings_value() {
    for (settings, file, key, takes_changes) in [
        (LOGIN_BY_FILE, "password", "iam.password_file", true),
        (SHARED_BY_FILES, "url", "cache.redis_url_file", false),
        (SHARED_BY_FILES, "secret", "cache.key_secret_file", false),
        (OWN_KEY, "profile", "access key", true),
        (OWN_CA, "upstream-ca.pem", "upstream.ca_file", true),
    ] {
        let other = match file {
            "url" => "redis://b",
            "profile" => "[basic]\nak = TWO\nsk = two\n",
            "upstream-ca.pem" => &certificate(),
            _ => "something else",
        };

        let reloaded = reload(&Disk::with(settings), |disk| disk.write(file, other));

        let expected = if takes_changes { (vec![key], vec![]) } else { (vec![], vec![key]) };
        assert_eq!((reloaded.changed, reloaded.waiting), expected);
    }
}

#[test]
fn another_access_key_waits_where_the_shared_caches_names_are_made_of_it() {
    let settings = format!("{OWN_KEY}\ncache.redis_url = 'redis://a'\nlimits.max_depth = 9");
    let after = settings.replace("= 9", "= 8");

    let reloaded = reload(&Disk::with(&settings), |disk| {
        disk.write("profile", "[basic]\nak = TWO\nsk = two\n");
        disk.write("gateway.toml", &after);
    });

    assert_eq!(
        (reloaded.changed, reloaded.waiting),
        (vec!["limits.max_depth"], vec!["access key"])
    );
    assert_eq!(reloaded.settings.limits.max_depth, 8);
    let CredentialsMode::AkSk(key) = &reloaded.settings.upstream.credentials else { panic!() };
    assert_eq!(key.access.expose(), "ONE");
}

#[test]
fn nothing_that_waits_is_forgotten_by_a_later_reading() {
    let disk = Disk::with(HERE);
    let loaded = disk.loaded();
    disk.write("gateway.toml", &format!("{HERE}\ncache.max_bytes = 0"));
    let first = loaded.reload().unwrap();

    disk.write("gateway.toml", &format!("{HERE}\ncache.max_bytes = 0\nlimits.max_depth = 9"));
    let second = first.reload().unwrap();

    assert_eq!(
        (second.changed, second.waiting),
        (vec!["limits.max_depth"], vec!["cache.max_bytes"])
    );
    assert_eq!(second.settings.cache.max_bytes, CacheConfig::default().max_bytes);
}
