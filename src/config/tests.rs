//! Compares the tables of `docs/SETTINGS.md` with the declared settings. The rest of the page is written by
//! hand.

use std::fs;

use super::ALL_SETTINGS;
use super::settings::{Role, SettingSpec};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SETTINGS.md");
const UPDATE: &str = "UPDATE_DOCS";

/// The page with its tables written anew. Each stands below a heading of its own.
fn updated(page: &str) -> String {
    let mut page = page.to_owned();
    for (heading, table) in [
        ("## `serve`, `check` and `demo`\n\n", table(Role::Serve)),
        ("## `simulate`\n\n", table(Role::Simulate)),
        ("## `[projects.<id>]`\n\n", projects_table()),
    ] {
        let (before, rest) = page.split_once(heading).unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        page = format!("{before}{heading}{table}\n\n{after}");
    }
    page
}

fn projects_table() -> String {
    let head = ["| key | meaning | allowed |".to_owned(), "| --- | --- | --- |".to_owned()];
    let in_tables = ALL_SETTINGS.iter().filter(|setting| setting.is_in_tables());
    let rows = in_tables.map(|SettingSpec { key, meaning, allowed, .. }| {
        let name = key.rsplit('.').next().unwrap();
        format!("| `{name}` | {meaning} | {allowed} |")
    });
    head.into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

fn table(role: Role) -> String {
    let is_shown = |setting: &&SettingSpec| {
        !setting.is_in_tables()
            && setting.is_for(role)
            && (role == Role::Serve || !setting.is_for(Role::Serve))
    };
    let head = [
        "| key | flag | environment | default | reload | meaning | allowed |".to_owned(),
        "| --- | --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    let rows = ALL_SETTINGS.iter().filter(is_shown).map(line);
    head.into_iter().chain(rows).collect::<Vec<_>>().join("\n")
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
        setting.allowed.replace('|', "\\|"),
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
    let page = fs::read_to_string(FILE).unwrap();
    let updated = updated(&page);

    if std::env::var_os(UPDATE).is_some() {
        fs::write(FILE, updated).unwrap();
    } else {
        assert!(
            page == updated,
            "docs/SETTINGS.md differs from the settings; write it anew with \
             `{UPDATE}=1 cargo test --lib settings_page`"
        );
    }
}
