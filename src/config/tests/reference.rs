//! Compares `docs/SETTINGS.md` with the declared settings.

use std::fmt::Write as _;
use std::fs;

use crate::config::settings::{Role, SettingSpec};
use crate::config::{access_key, all_settings, traces};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SETTINGS.md");
const UPDATE: &str = "UPDATE_DOCS";

const INTRODUCTION: &str = "\
# Settings

Every setting is a flag, an environment variable and a key of the TOML file that `--config FILE` or
`GATEWAY_CONFIG` names. The flag wins over the variable, the variable over the file, the file over
the default. An empty variable counts as not set.

Wrong settings stop the start with exit code 2. One message lists all of them: name, value, where
the value came from, and what is allowed. Unknown keys of the file are wrong too, and so are unknown
variables that begin with `GATEWAY_`, except those that Kubernetes sets for a service called
`gateway`. Secrets are never shown.

- Durations need a unit: `250ms`, `5s`, `10m`, `1h`, also `1m30s`.
- Sizes: `64KiB`, `256MiB` and `1GiB` are powers of 1024; `KB`, `MB`, `GB` and `k`, `M`, `G` are
  powers of 1000; a bare number counts bytes.
- Lists: in flags and variables a text with commas; in the file a list, or a text with commas. List
  flags may be repeated.
- Switches: `true` or `false`; a flag without value means `true`.
- `reload`: `yes` if a change takes effect while the gateway runs, `restart` if it needs a restart;
  see [DEPLOYMENT.md](DEPLOYMENT.md#changing-settings-while-it-runs).
- In the file, counts and sizes may be numbers: `[limits]` and below it `max_depth = 12`.

";

const NOTES: &str = "\
Rules between settings:

- `upstream.attempt_timeout` must not exceed `upstream.deadline`, and `upstream.connect_timeout`
  must not exceed `upstream.attempt_timeout`. A default that would exceed the other is lowered.
- `limits.request_timeout` may be shorter than `upstream.deadline`: callers share a load, which
  continues for the others and for the cache.
- `listen` and `admin_listen` must not have the same port on overlapping addresses.
- With the gateway's own credentials (`aksk`, `password`, `metadata`), `cors.allow_origins` must not
  be `*`. `listen` must be a loopback address, unless `inbound.auth` is `api-key` or `jwt`, or
  `inbound.allow_anonymous` is true.
- `inbound.auth=api-key` needs `inbound.api_keys_file`; `inbound.auth=jwt` needs `inbound.jwt_jwks`,
  `inbound.jwt_issuer` and `inbound.jwt_audience`. Each of these is refused without its
  `inbound.auth`, because it would guard nothing.
- `audit.required` needs an `audit.log` that is not `off`.
- `serve` and `check` need `upstream.endpoint` or `upstream.region`; `demo` has its own
  upstream, and listens on loopback addresses only.
- Each command ignores the settings of other commands, so one file can serve all commands.

";

fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (title, role) in
        [("`serve`, `check` and `demo`", Role::Serve), ("`simulate`", Role::Simulate)]
    {
        let _ = writeln!(text, "## {title}\n");
        text.push_str("| key | flag | environment | default | reload | meaning | allowed |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
        let is_shown = |setting: &&&SettingSpec| {
            setting.is_for(role) && (role == Role::Serve || !setting.is_for(Role::Serve))
        };
        for setting in all_settings().iter().filter(is_shown) {
            let _ = writeln!(text, "{}", line(setting));
        }
        text.push('\n');
    }
    text.push_str(NOTES);
    text.push_str("## The official SDKs' variables\n\n| environment | meaning |\n| --- | --- |\n");
    for (name, meaning) in access_key::variables() {
        let _ = writeln!(text, "| `{name}` | {meaning} |");
    }
    text.push_str(
        "\nThe pair comes from the environment, else from section `[basic]` of the profile file (INI,\n\
         UTF-8; keys `ak`, `sk`, `security_token`, `project_id`, in lower or upper case), by\n\
         default `~/.huaweicloud/credentials`. Half a pair is refused. Another pair in the profile file\n\
         takes effect while the gateway runs. With a shared cache, another `ak` needs a restart, because\n\
         the keys of the shared cache are derived from it.\n",
    );
    text.push_str(
        "\n## OpenTelemetry's variables\n\n\
         Traces are on if one of the first two is set; [DEPLOYMENT.md](DEPLOYMENT.md#traces) describes\n\
         their spans. A wrong value stops the start. Variables that are not listed are not read.\n\n\
         | environment | meaning |\n| --- | --- |\n",
    );
    for variable in traces::VARIABLES {
        let names = variable.variables().join("`, `");
        let _ = writeln!(text, "| `{names}` | {} |", variable.meaning);
    }
    text
}

fn line(setting: &SettingSpec) -> String {
    format!(
        "| `{}` | `--{}` | `{}` | {} | {} | {} | {} |",
        setting.key,
        setting.flag(),
        setting.variable(),
        default(setting),
        if setting.is_reloadable { "yes" } else { "restart" },
        meaning(setting),
        setting.allowed().replace('|', "\\|"),
    )
}

fn default(setting: &SettingSpec) -> String {
    let [serve, demo] = [Role::Serve, Role::Demo].map(|role| setting.default_in(role));
    match (serve, demo) {
        (Some(serve), Some(demo)) if serve != demo => format!("`{serve}`; `demo`: `{demo}`"),
        (Some(default), _) => format!("`{default}`"),
        (None, _) => setting.unset.to_owned(),
    }
}

fn meaning(setting: &SettingSpec) -> String {
    let is_in_demo = setting.is_for(Role::Demo) || !setting.is_for(Role::Serve);
    let remark = if is_in_demo { "" } else { " (not in `demo`)" };
    format!("{}{remark}", setting.meaning.replace('|', "\\|"))
}

#[test]
fn the_settings_page_is_made_from_the_settings() {
    let reference = reference();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(FILE, &reference).unwrap();
    }

    let page = fs::read_to_string(FILE).unwrap_or_default();

    assert!(
        page == reference,
        "docs/SETTINGS.md differs from the settings; write it anew with \
         `{UPDATE}=1 cargo test --lib settings_page`"
    );
}
