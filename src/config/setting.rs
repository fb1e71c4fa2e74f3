//! One row of the table of settings. Flags, environment names, `--help`, refusals and
//! `docs/SETTINGS.md` are all made from these rows.

use super::ROWS;
use super::form::{Form, Raw, Shape};

/// What the process runs as: settings may belong to some roles only, or differ in their default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Serve,
    Demo,
    Simulate,
}

/// A setting: its name, its meaning, the form of its values and its default.
pub(super) struct Setting<F> {
    key: &'static str,
    meaning: &'static str,
    form: F,
    default: Option<&'static str>,
    demo_default: Option<&'static str>,
    unset: &'static str,
    flag: Option<&'static str>,
    roles: &'static [Role],
    hides: fn(&str) -> bool,
    takes_changes: bool,
}

/// A setting without the type of its values.
pub(super) trait Row: Sync {
    /// Name in the settings file and in refusals: `upstream.deadline`.
    fn key(&self) -> &'static str;
    fn meaning(&self) -> &'static str;
    fn allowed(&self) -> String;
    fn placeholder(&self) -> &'static str;
    fn shape(&self) -> Shape;
    fn roles(&self) -> &'static [Role];
    /// The default as it would be written, where there is one.
    fn default_in(&self, role: Role) -> Option<&'static str>;
    /// What holds where nothing is set and there is no default to write.
    fn unset(&self) -> &'static str;
    /// Name on the command line, without dashes in front.
    fn flag(&self) -> String;
    /// What a source gave, fit to be shown.
    fn shown(&self, raw: &Raw) -> String;
    /// Whether a change takes effect while the process runs; else it needs a restart.
    fn takes_changes(&self) -> bool;

    /// Name in the environment.
    fn environment(&self) -> String {
        format!("GATEWAY_{}", self.key().replace('.', "__").to_ascii_uppercase())
    }

    /// The part of the name before the dot; empty for settings without section.
    fn section(&self) -> &'static str {
        self.key().split_once('.').map_or("", |(section, _)| section)
    }
}

impl<F: Form> Setting<F> {
    pub(super) const fn new(key: &'static str, form: F, meaning: &'static str) -> Self {
        Self {
            key,
            meaning,
            form,
            default: None,
            demo_default: None,
            unset: "none",
            flag: None,
            roles: &[Role::Serve, Role::Demo],
            hides: |_| false,
            takes_changes: false,
        }
    }

    pub(super) const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(super) const fn in_demo(mut self, default: &'static str) -> Self {
        self.demo_default = Some(default);
        self
    }

    pub(super) const fn or_unset(mut self, unset: &'static str) -> Self {
        self.unset = unset;
        self
    }

    pub(super) const fn only_for(mut self, roles: &'static [Role]) -> Self {
        self.roles = roles;
        self
    }

    pub(super) const fn with_flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    /// Hides values of which `hides` says so.
    pub(super) const fn hiding(mut self, hides: fn(&str) -> bool) -> Self {
        self.hides = hides;
        self
    }

    /// For a setting whose change takes effect while the process runs.
    pub(super) const fn changeable(mut self) -> Self {
        self.takes_changes = true;
        self
    }

    pub(super) const fn secret(self) -> Self {
        self.hiding(|_| true)
    }

    pub(super) fn read(&self, raw: &Raw) -> Result<F::Value, String> {
        self.form.read(raw)
    }
}

impl<F: Form + Sync> Row for Setting<F> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn meaning(&self) -> &'static str {
        self.meaning
    }

    fn allowed(&self) -> String {
        self.form.allowed()
    }

    fn placeholder(&self) -> &'static str {
        self.form.placeholder()
    }

    fn shape(&self) -> Shape {
        self.form.shape()
    }

    fn roles(&self) -> &'static [Role] {
        self.roles
    }

    fn default_in(&self, role: Role) -> Option<&'static str> {
        match role {
            Role::Demo => self.demo_default.or(self.default),
            Role::Serve | Role::Simulate => self.default,
        }
    }

    fn unset(&self) -> &'static str {
        self.unset
    }

    fn flag(&self) -> String {
        self.flag.map_or_else(|| self.key.replace(['.', '_'], "-"), str::to_owned)
    }

    fn takes_changes(&self) -> bool {
        self.takes_changes
    }

    fn shown(&self, raw: &Raw) -> String {
        let hides = match raw {
            Raw::Text(text) | Raw::Number(text) => (self.hides)(text),
            Raw::List(items) => items.iter().any(|item| (self.hides)(item)),
            Raw::Switch(_) | Raw::Unusable(_) => false,
        };
        if hides { "(redacted)".to_owned() } else { raw.to_string() }
    }
}

/// Every setting, in the order in which they are documented.
pub(super) fn rows() -> impl Iterator<Item = &'static dyn Row> {
    [
        ROWS,
        super::upstream::ROWS,
        super::cache::ROWS,
        super::iam::ROWS,
        super::inbound::ROWS,
        super::tls::ROWS,
        super::limits::ROWS,
        super::subscriptions::ROWS,
        super::graphql::ROWS,
        super::log::ROWS,
        super::simulate::ROWS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The settings of one role.
pub(super) fn rows_of(role: Role) -> impl Iterator<Item = &'static dyn Row> {
    rows().filter(move |row| row.roles().contains(&role))
}
