//! Fuzz target: the settings file.

use std::ffi::OsString;
use std::path::Path;

use super::setting::Role;
use super::source::Flags;
use super::values::Values;
use super::{Config, Surroundings};

/// Stands in every place that holds a secret.
const SECRET: &str = "CANARY-OF-THE-FUZZER-0001";
const FILE: &str = "gateway.toml";

/// A settings file, once as it is and once with a secret at its end.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if text.contains(SECRET) {
        return;
    }
    let (first, again) = (told(text), told(text));
    assert_eq!(first, again);
    told(&format!("{text}\n[cache]\nkey_secret = \"{SECRET}\"\n"));
    told(&format!("cache.key_secret = \"{SECRET}\"\n{text}"));
    told(&format!("cache.redis_url = \"redis://:{SECRET}@127.0.0.1:6379\"\n{text}"));
}

/// All that is told of the settings: how each came to its value, or why they are refused.
fn told(text: &str) -> Vec<String> {
    let text = text.to_owned();
    let read = move |path: &Path| {
        let is_known = path == Path::new(FILE);
        is_known
            .then(|| text.clone().into_bytes())
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    let environment = [
        ("GATEWAY_CONFIG", FILE),
        ("GATEWAY_IAM__PASSWORD", SECRET),
        ("HUAWEICLOUD_SDK_AK", "AKOFTHEFUZZER0000001"),
        ("HUAWEICLOUD_SDK_SK", SECRET),
        ("HUAWEICLOUD_SDK_SECURITY_TOKEN", SECRET),
    ];
    let environment =
        environment.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let surroundings = Surroundings::new(environment, read);
    // The command line is left out: building its commands takes longer than all that is looked at here.
    let mut values = Values::new(Role::Serve, Flags::default(), &surroundings);
    let config = Config::read(&mut values);
    let lines: Vec<String> = match values.accept(config) {
        Ok(loaded) => {
            let debug = format!("{:?}", loaded.settings);
            assert!(!debug.contains(SECRET), "{debug}");
            loaded.shown.iter().map(ToString::to_string).collect()
        }
        Err(refusal) => refusal.lines().to_vec(),
    };
    assert!(!lines.is_empty());
    for line in &lines {
        assert!(!line.contains(SECRET), "{line}");
        assert!(!line.contains(['\n', '\r']), "{line:?}");
        assert!(line.len() < 4000, "{} bytes: {line}", line.len());
    }
    lines
}
