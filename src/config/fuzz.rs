//! Fuzz target: the settings file.

use std::ffi::OsString;
use std::path::Path;

use super::inputs::{Inputs, Values};
use super::settings::{Role, SettingsError, SettingsLoader};
use super::{ALL_SETTINGS, Config, Environment};

/// The value of every secret.
const SECRET: &str = "CANARY-OF-THE-FUZZER-0001";
const FILE: &str = "gateway.toml";

/// A settings file, once as it is and once with a secret at its end.
pub fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if text.contains(SECRET) {
        return;
    }
    let (first, again) = (shown(text), shown(text));
    assert_eq!(first, again);
    shown(&format!("{text}\n[cache]\nkey_secret = \"{SECRET}\"\n"));
    shown(&format!("cache.key_secret = \"{SECRET}\"\n{text}"));
    shown(&format!("cache.redis_url = \"redis://:{SECRET}@127.0.0.1:6379\"\n{text}"));
}

/// Everything that is shown of the settings: where each value came from, or why they are refused.
fn shown(text: &str) -> Vec<String> {
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
    let variables = environment.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let environment = Environment::new(variables, read);
    // Without the command line, because building its commands takes longer than everything tested here.
    let inputs = Inputs { role: Role::Serve, file: None, flags: Values::new(), environment };
    let lines: Vec<String> = match SettingsLoader::load(&inputs, &ALL_SETTINGS, None, Config::load)
    {
        Ok(loaded) => {
            let debug = format!("{:?}", loaded.settings);
            assert!(!debug.contains(SECRET), "{debug}");
            loaded.shown.iter().map(ToString::to_string).collect()
        }
        Err(SettingsError { problems, .. }) => problems,
    };
    assert!(!lines.is_empty());
    for line in &lines {
        assert!(!line.contains(SECRET), "{line}");
        assert!(!line.contains(['\n', '\r']), "{line:?}");
        assert!(line.len() < 4000, "{} bytes: {line}", line.len());
    }
    lines
}
