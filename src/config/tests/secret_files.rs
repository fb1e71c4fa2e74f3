//! Secrets of the shared cache that stand in files of their own.

use super::{Given, serve};
use crate::config::RedisKind;

const URL_FILE: (&str, &str) = ("GATEWAY_CACHE__REDIS_URL_FILE", "/run/secrets/redis-url");
const KEY_FILE: (&str, &str) = ("GATEWAY_CACHE__KEY_SECRET_FILE", "/run/secrets/cache-key");

/// A gateway whose settings name both files.
fn named() -> Given {
    serve().variables(&[URL_FILE, KEY_FILE])
}

#[test]
fn the_address_and_the_secret_are_read_to_the_end_of_their_first_lines() {
    let settings = named()
        .file(URL_FILE.1, "redis://gateway:canary@cache.example\n# more\n")
        .file(KEY_FILE.1, "canary-key-secret \n")
        .loaded();

    let shown: Vec<String> = settings.shown.iter().map(ToString::to_string).collect();
    let shared = settings.settings.cache.shared.unwrap();
    assert_eq!(shared.servers.kind, RedisKind::Single);
    assert_eq!(shared.servers.nodes[0].host, "cache.example");
    assert_eq!(shared.servers.password.unwrap().expose(), "canary");
    assert_eq!(shared.key_secret.unwrap().expose(), "canary-key-secret");
    assert!(!shown.concat().contains("canary"), "{shown:#?}");
}

#[test]
fn a_secret_given_twice_is_refused_and_not_repeated() {
    let refusals = named()
        .file(URL_FILE.1, "redis://:canary@cache.example")
        .file(KEY_FILE.1, "canary-key-secret")
        .variables(&[
            ("GATEWAY_CACHE__REDIS_URL", "redis://:canary@cache.example"),
            ("GATEWAY_CACHE__KEY_SECRET", "canary-key-secret"),
        ])
        .refusals();

    assert_eq!(
        refusals,
        [
            "cache.redis_url_file is /run/secrets/redis-url (GATEWAY_CACHE__REDIS_URL_FILE): must \
             not be set beside cache.redis_url: give one of them",
            "cache.key_secret_file is /run/secrets/cache-key (GATEWAY_CACHE__KEY_SECRET_FILE): must \
             not be set beside cache.key_secret: give one of them",
        ]
    );
}

#[test]
fn a_file_that_is_not_there_or_holds_something_else_is_refused_without_what_it_holds() {
    for (url, secret, problem) in [
        (None, None, "cannot be used: the file cannot be read"),
        (Some("http://canary.example"), Some("canary"), "must hold "),
        (Some(""), Some(""), "must hold "),
        (Some("\nredis://canary.example"), Some("\ncanary-key-secret"), "must hold "),
    ] {
        let settings = [(URL_FILE.1, url), (KEY_FILE.1, secret)]
            .into_iter()
            .filter_map(|(path, text)| Some((path, text?)))
            .fold(named(), |settings, (path, text)| settings.file(path, text));

        let refusals = settings.refusals();

        assert_eq!(refusals.len(), 2, "of {url:?} and {secret:?}: {refusals:#?}");
        assert!(refusals.iter().all(|line| line.contains(problem)), "{refusals:#?}");
        assert!(!refusals.concat().contains("canary"), "{refusals:#?}");
    }
}

#[test]
fn a_secret_in_a_file_is_enough_for_a_shared_cache_under_callers_tokens() {
    let settings = serve()
        .variables(&[("GATEWAY_CACHE__REDIS_URL", "redis://cache.example"), KEY_FILE])
        .file(KEY_FILE.1, "sixteen or more characters");

    assert_eq!(settings.refusals(), [""; 0]);
}
